//! A share of a card for a desktop, whose old way is a script that makes vGPUs by hand after each boot.

use serde_json::{Value, json};

use super::{Imported, OTHER, POD, fitted, give, import, vmi, with_settings};
use crate::bind::looks;
use crate::cluster::Node;
use crate::device::Device;
use crate::launcher::{Launcher, Mode, kubevirt_domain};
use crate::modules;
use crate::vm::Vm;

const THIRD: &str = "cccccccc-0000-4000-8000-00000000000c";

/// A script makes vGPUs by hand after each boot, another takes a whole card. Here `vt_vgpu` is the vendor's driver, its card QEMU's `edu`;
/// the card for whole VMs is a USB controller.
#[test]
#[ignore = "needs QEMU, libvirt and a Debian kernel: tests/run"]
fn a_vgpu_desktop_from_its_old_files_and_back() {
    modules::built();
    let vm = Vm::builder().memory_mib(2048).with(Device::qemu("shared", "edu")).with(Device::xhci("whole")).boot();
    let (shared, whole) = (vm.bdf("shared"), vm.bdf("whole"));
    assert_eq!(vm.driver(&shared).as_deref(), Some("vt_vgpu"));
    let kind = format!("/sys/class/mdev_bus/{shared}/mdev_supported_types/vt_vgpu-1q");
    let free = || vm.read(&format!("{kind}/available_instances")).unwrap();
    let before = || (looks(&vm, &shared), looks(&vm, &whole), free(), vm.names("/sys/bus/mdev/devices"));
    let as_it_was = before();
    assert_eq!(free(), "4");

    let Imported { node_config, .. } = import(
        &vm,
        "vgpu-desktop",
        &[
            ("0000:3b:00.0", &shared),
            ("nvidia-232", "vt_vgpu-1q"),
            ("0000:af:00.0", &whole),
            ("drivers/nouveau/", "drivers/xhci_hcd/"),
        ],
    );
    let name = |what: &str, bdf: &str| format!("example.com/{what}-{}", bdf.replace([':', '.'], "-"));
    let (share, card) = (name("mdev", &shared), name("pci", &whole));
    let node = Node::start(&vm, &node_config, "");
    // As many as the script makes, made when they are offered.
    node.offered(&share, 2);
    node.offered(&card, 1);
    assert_eq!(free(), "2");

    node.pod(POD, "default", "virt-launcher-vgpu-desktop-x");
    let given = node.allocate(POD, &share, 1);
    let upper = |resource: &str| resource.to_uppercase().replace(['/', '.'], "_");
    let env = format!("MDEV_PCI_RESOURCE_{}", upper(&share));
    let uuid = given.env(&env);
    let device = format!("/sys/bus/mdev/devices/{uuid}");
    let group = vm.link(&format!("{device}/iommu_group")).expect("a group of its own");
    let mut nodes = given.nodes();
    nodes.sort();
    assert_eq!(nodes, [format!("/dev/vfio/{group}"), "/dev/vfio/vfio".to_owned()]);
    node.prestart(POD);
    vm.run(&format!("test -c /dev/vfio/{group}")).ok();
    assert_eq!(vm.link(&format!("{device}/mdev_type")).as_deref(), Some("vt_vgpu-1q"));

    give(&vm, &group);
    let launcher = Launcher::start(&vm, POD, Mode::Session { uid: 107, memlock: 64 << 30 });
    let sidecar = node.sidecar(POD, "");
    let vmi = vmi("vgpu-desktop", "vgpu-desktop-vgpu", &[("vgpu", &share)], &[]);
    let vmi = with_settings(vmi, "hostDevices: [{device: vgpu, address: \"0000:10:00.0\"}]");
    let fitted = fitted(&node, &sidecar, &vmi, &with_a_vgpu(&kubevirt_domain("desktop", 128, &[]), &uuid));
    // What the profile that import wrote asks for.
    assert!(fitted.contains("<nosharepages"), "{fitted}");
    launcher.boot(&fitted).unwrap_or_else(|why| panic!("{why}\n{fitted}"));
    assert_eq!(launcher.in_the_guest("desktop", "ua-gpu-vgpu"), "0000:10:00.0");
    assert_eq!(vm.link(&format!("{device}/driver")).as_deref(), Some("vt_vgpu"));
    let qemu = launcher.qemu("desktop");
    vm.run(&format!("ls -l /proc/{qemu}/fd | grep -q /dev/vfio/{group}$")).ok();
    // Nobody takes it away from under the VM.
    let refused = vm.run(&format!("virt-tailor node release --device {uuid}"));
    assert!(refused.code != 0 && refused.stderr.contains(&format!("is open in process {qemu}")), "{refused:?}");
    assert_eq!(vm.link(&format!("{device}/driver")).as_deref(), Some("vt_vgpu"));
    // The card stays with the host's driver, and the other one is not touched.
    assert_eq!((looks(&vm, &shared), looks(&vm, &whole)), (as_it_was.0.clone(), as_it_was.1.clone()));

    // The second has another one, and then there is none.
    node.pod(OTHER, "default", "virt-launcher-other-y");
    assert_ne!(node.allocate(OTHER, &share, 1).env(&env), uuid);
    node.prestart(OTHER);
    node.pod(THIRD, "default", "virt-launcher-third-z");
    assert!(node.try_kubelet(&format!("allocate {THIRD} compute {share} 1")).is_err());

    // The card as a whole: given to its VM and returned, beside the share that runs.
    assert_eq!(node.allocate(THIRD, &card, 1).env(&format!("PCI_RESOURCE_{}", upper(&card))), whole);
    node.prestart(THIRD);
    assert_eq!(vm.driver(&whole).as_deref(), Some("vfio-pci"));

    launcher.destroy("desktop");
    for uid in [POD, OTHER, THIRD] {
        node.remove(uid);
    }
    node.until("everything is given back", || {
        let devices = node.status()["agent"]["devices"].as_object().expect("devices").clone();
        let kept = |device: &Value| device["held"] == json!(true) || device.get("promised").is_some();
        (devices.len() == 3 && !devices.values().any(kept)).then_some(())
    });
    assert_eq!(looks(&vm, &whole), as_it_was.1);
    node.offered(&share, 2);
    node.end_agent("TERM");
    vm.run("virt-tailor node release --all").ok();
    assert_eq!(before(), as_it_was);
}

/// A domain with a vGPU as KubeVirt writes it: drawn through by a screen that VNC shows.
fn with_a_vgpu(domain: &str, uuid: &str) -> String {
    let devices = format!(
        "<devices>\n\t\t<hostdev type=\"mdev\" mode=\"subsystem\" model=\"vfio-pci\" display=\"on\" ramfb=\"on\">\n\t\t\t<source>\n\
         \t\t\t\t<address uuid=\"{uuid}\"></address>\n\t\t\t</source>\n\t\t\t<alias name=\"ua-gpu-vgpu\"></alias>\n\t\t</hostdev>\n\
         \t\t<video>\n\t\t\t<model type=\"vga\" heads=\"1\" vram=\"16384\"></model>\n\t\t</video>\n\
         \t\t<graphics type=\"vnc\">\n\t\t\t<listen type=\"socket\" socket=\"/run/launcher/{POD}/virt-vnc\"></listen>\n\t\t</graphics>\n"
    );
    domain.replace("<devices>\n", &devices)
}
