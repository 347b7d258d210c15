//! Two of the examples from `import` of their old files to a VM that runs, and back: a share of a card, and functions for DPDK.
//!
//! What is put into the files before they are imported is what differs on this machine: addresses, drivers, ids, and how many of a thing
//! it has. What comes out is used as it is, but for the placeholders that it names.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use virt_tailor::kubevirt::cloudinit::original_user_data;

use crate::bind::looks;
use crate::cluster::{Node, Sidecar};
use crate::device::Device;
use crate::launcher::{Launcher, Mode, kubevirt_domain};
use crate::modules;
use crate::vm::Vm;

const POD: &str = "aaaaaaaa-0000-4000-8000-0000000000e1";
const OTHER: &str = "bbbbbbbb-0000-4000-8000-0000000000e2";
const THIRD: &str = "cccccccc-0000-4000-8000-0000000000e3";

/// Names of domains, short: a socket of libvirt's lies in a folder of that name far down, and its address is no longer than 107 bytes.
const DESKTOP: &str = "desktop";
const WORKER: &str = "worker";

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

    let config = imported(
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
    let node = Node::start(&vm, &config, "");
    // As many as the script makes, made when they are offered.
    node.offered(&share, 2);
    node.offered(&card, 1);
    assert_eq!(free(), "2");

    node.pod(POD, "desktops", "virt-launcher-vgpu-desktop-x");
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
    let vmi = vmi(
        "vgpu-desktop",
        "desktops",
        "hostDevices: [{device: vgpu, address: \"0000:10:00.0\"}]",
        "vgpu-desktop-vgpu",
        &json!({ "gpus": [{ "name": "vgpu", "deviceName": share }] }),
    );
    let fitted = define(&node, &sidecar, &vmi, &with_a_vgpu(&kubevirt_domain(DESKTOP, 128, &[]), &uuid));
    // What the profile that import wrote asks for.
    assert!(fitted.contains("<nosharepages"), "{fitted}");
    launcher.boot(&fitted).unwrap_or_else(|why| panic!("{why}\n{fitted}"));
    assert_eq!(launcher.in_the_guest(DESKTOP, "ua-gpu-vgpu"), "0000:10:00.0");
    assert_eq!(vm.link(&format!("{device}/driver")).as_deref(), Some("vt_vgpu"));
    let qemu = launcher.qemu(DESKTOP);
    vm.run(&format!("ls -l /proc/{qemu}/fd | grep -q /dev/vfio/{group}$")).ok();
    // The card stays with the host's driver, and the other one is not touched.
    assert_eq!((looks(&vm, &shared), looks(&vm, &whole)), (as_it_was.0.clone(), as_it_was.1.clone()));

    // The second has another one, and then there is none.
    node.pod(OTHER, "desktops", "virt-launcher-other-y");
    assert_ne!(node.allocate(OTHER, &share, 1).env(&env), uuid);
    node.prestart(OTHER);
    node.pod(THIRD, "desktops", "virt-launcher-third-z");
    assert!(node.try_kubelet(&format!("allocate {THIRD} compute {share} 1")).is_err());

    // The card as a whole: given to its VM and returned, beside the share that runs.
    assert_eq!(node.allocate(THIRD, &card, 1).env(&format!("PCI_RESOURCE_{}", upper(&card))), whole);
    node.prestart(THIRD);
    assert_eq!(vm.driver(&whole).as_deref(), Some("vfio-pci"));

    launcher.destroy(DESKTOP);
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

/// A worker of a cluster in VMs: kernel arguments, module options, a udev rule that is broken in two. The NIC is an igb here, its functions'
/// driver igbvf, which stands for iavf; it makes fewer functions, and the node has two CPUs.
#[test]
#[ignore = "needs QEMU, libvirt and a Debian kernel: tests/run"]
fn a_dpdk_worker_from_its_old_files_and_back() {
    let vm = Vm::builder().memory_mib(2560).with(Device::igb("nic")).boot();
    let pf = vm.bdf("nic");
    let number = || vm.read(&format!("/sys/bus/pci/devices/{pf}/sriov_numvfs")).unwrap();
    let as_it_was = (looks(&vm, &pf), number());

    let config = imported(
        &vm,
        "dpdk-worker",
        &[
            ("8086:10ed", "8086:10ca"),
            ("blacklist=ixgbevf", "blacklist=igbvf"),
            ("ID_NET_DRIVER}==\"ixgbe\"", "ID_NET_DRIVER}==\"igb\""),
            ("options ixgbe ", "options igb "),
            ("sriov_numvfs}=\"8\"", "sriov_numvfs}=\"4\""),
            ("isolated: 2-7", "isolated: \"1\""),
            ("reserved: 0-1", "reserved: \"0\""),
        ],
    );
    let node = Node::start(&vm, &with_the_port(&config, &pf), "");
    let resource = "example.com/vf";
    node.offered(resource, 4);
    assert_eq!(number(), "4");

    node.pod(POD, "virtual-ocp", "virt-launcher-ocp-worker-0-x");
    let given = node.allocate(POD, resource, 2);
    let functions: Vec<String> = given.env("PCI_RESOURCE_EXAMPLE_COM_VF").split(',').map(str::to_owned).collect();
    assert_eq!(functions.len(), 2);
    node.prestart(POD);
    let unused: Vec<String> = vm
        .names(&format!("/sys/bus/pci/devices/{pf}"))
        .into_iter()
        .filter_map(|name| {
            let function =
                name.starts_with("virtfn").then(|| vm.link(&format!("/sys/bus/pci/devices/{pf}/{name}")))??;
            (!functions.contains(&function)).then_some(function)
        })
        .collect();
    for function in &functions {
        assert_eq!(vm.driver(function).as_deref(), Some("vfio-pci"));
        assert!(given.nodes().contains(&format!("/dev/vfio/{}", vm.group(function).unwrap())));
        give(&vm, &vm.group(function).unwrap());
    }
    // No driver of the host has the others, which is what keeping igbvf away was for.
    assert_eq!(unused.iter().map(|function| vm.driver(function)).collect::<Vec<_>>(), [None, None]);

    let low = 64 << 20;
    let launcher = Launcher::start(&vm, POD, Mode::Session { uid: 107, memlock: low });
    let sidecar = node.sidecar(POD, "--cloud-init --agent required");
    let vmi = vmi(
        "ocp-worker-0",
        "virtual-ocp",
        // Where the guest's own manifests expect them.
        "hostDevices:\n- {device: vf0, address: \"0000:10:00.0\"}\n- {device: vf1, address: \"0000:11:00.0\"}\n",
        "dpdk-worker-dpdk",
        &json!({ "hostDevices": [
            { "name": "vf0", "deviceName": resource }, { "name": "vf1", "deviceName": resource },
        ] }),
    );
    // virt-launcher asks for the guest's disk first.
    let owner = "#cloud-config\nhostname: ocp-worker-0\n";
    let user_data = sidecar.cloud_init(&vmi, owner);
    assert_eq!(original_user_data(user_data.as_bytes()).unwrap(), owner.as_bytes());
    for line in [
        "'options vfio-pci ids=8086:10ca'",
        "'blacklist igbvf'",
        "deny 'igbvf'",
        "load 'vfio-pci' 'ids=8086:10ca'",
        "hugepages 2048 1024",
        "hugepages 1048576 2 hugepagesz=1G hugepages=2",
        "memlock infinity unlimited",
        "wanted=' intel_iommu=on iommu=pt'$wanted",
    ] {
        assert!(user_data.lines().any(|one| one.contains(line)), "{line}: {user_data}");
    }

    let xml = kubevirt_domain(WORKER, 128, &[("hostdevice-vf0", &functions[0]), ("hostdevice-vf1", &functions[1])]);
    let limit = |pid: u32| -> u64 {
        vm.run(&format!("prlimit --pid {pid} --memlock --noheadings --output HARD"))
            .ok()
            .trim()
            .parse()
            .unwrap_or(u64::MAX)
    };
    assert_eq!(limit(launcher.daemon_pid()), low);
    let fitted = define(&node, &sidecar, &vmi, &xml);
    assert!(fitted.contains("<iommu model=\"intel\"") && fitted.contains("intremap=\"on\""), "{fitted}");
    // 128 MiB of guest for each of two functions, and a GiB.
    let need = 2 * (128_u64 << 20) + (1 << 30);
    assert!(limit(launcher.daemon_pid()) >= need);
    launcher.boot(&fitted).unwrap_or_else(|why| panic!("{why}\n{fitted}"));
    for (alias, at) in [("ua-hostdevice-vf0", "0000:10:00.0"), ("ua-hostdevice-vf1", "0000:11:00.0")] {
        assert_eq!(launcher.in_the_guest(WORKER, alias), at);
    }
    assert_eq!(limit(launcher.qemu(WORKER)), need);
    for function in &functions {
        assert_eq!(vm.driver(function).as_deref(), Some("vfio-pci"));
    }

    launcher.destroy(WORKER);
    node.remove(POD);
    node.until("the functions are free", || {
        functions.iter().all(|function| vm.driver(function).is_none()).then_some(())
    });
    node.end_agent("TERM");
    assert_eq!(number(), "4", "they last as long as they are offered");
    vm.run("virt-tailor node release --all").ok();
    assert_eq!((looks(&vm, &pf), number()), as_it_was);
}

/// Imports an example's old files on the node, with what differs here put in their place; each text must be there. Profiles go where named
/// ones are found.
#[track_caller]
fn imported(vm: &Vm, example: &str, here: &[(&str, &str)]) -> String {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example).join("before");
    let mut met = vec![false; here.len()];
    for file in files(&from) {
        let mut text = fs::read_to_string(&file).unwrap();
        for ((there, here), met) in here.iter().zip(&mut met) {
            *met |= text.contains(there);
            text = text.replace(there, here);
        }
        let to = vm.share().join("before").join(file.strip_prefix(&from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, text).unwrap();
    }
    assert_eq!(met, vec![true; here.len()], "{here:?}");
    vm.run(&format!(
        "set -e; cd /vt; virt-tailor import before --name {example} --check-node --node-name box --output imported
         mkdir -p /etc/virt-tailor/profiles.d; cp imported/profiles/*.yaml /etc/virt-tailor/profiles.d/"
    ))
    .ok();
    fs::read_to_string(vm.share().join("imported/node-config.yaml")).unwrap()
}

/// The files of a folder and those below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// As the NodeConfig's remarks say: the resource that makes the functions is filled in and put among the resources, in the place of the one
/// for functions that something else makes; and who may have the steps around a VM is named.
#[track_caller]
fn with_the_port(config: &str, port: &str) -> String {
    assert!(config.contains("Take this one out if the one of kind sriov at the end makes these functions"), "{config}");
    let (head, rest) = config.split_once("  resources:\n").expect("resources");
    let (_, rest) = rest.split_once("  profiles:\n").expect("profiles");
    let (profiles, unplaced) = rest.split_once("\n# Fill in, take the \"# \" away").expect("what is to be filled in");
    let lines = unplaced.lines().skip(1).take_while(|line| !line.starts_with("# - module:"));
    let resource: String = lines.map(|line| format!("  {}\n", line.strip_prefix("# ").unwrap())).collect();
    let resource = resource.replace("0000:00:00.0", port).replace("fill-in", "box");
    format!("{head}  resources:\n{resource}  profiles:\n{}\n", profiles.replace("fill-in", "virtual-ocp"))
}

/// What virt-handler does with a device's file before it starts a domain.
#[track_caller]
fn give(vm: &Vm, group: &str) {
    vm.run(&format!("chown 107:107 /dev/vfio/{group}; chmod 666 /dev/vfio/vfio")).ok();
}

/// A VMI with the profile that import wrote and settings of its own.
fn vmi(name: &str, namespace: &str, own: &str, profile: &str, devices: &Value) -> Value {
    json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
        "metadata": { "name": name, "namespace": namespace, "annotations": {
            "virt-tailor.io/profiles": profile, "virt-tailor.io/domain": own,
        } },
        "spec": { "domain": { "devices": devices } },
        "status": { "nodeName": "box" },
    })
}

/// The domain as the sidecar gives it back, once the agent has confirmed what it needs.
#[track_caller]
fn define(node: &Node<'_>, sidecar: &Sidecar<'_>, vmi: &Value, domain: &str) -> String {
    node.until("the agent has confirmed", || match sidecar.define(vmi, domain) {
        Ok(fitted) => Some(fitted),
        Err(why) => {
            assert!(why.contains("Unavailable"), "{why}");
            None
        }
    })
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
