//! A NIC whose module another build takes the place of, and a time service that rests, while a VM has it.

use std::fs;

use super::{POD, PROFILES, all_looks, example, fitted, hand_over, import, nothing_left, vmi};
use crate::bind::NODE;
use crate::cluster::Node;
use crate::device::Device;
use crate::launcher::{Launcher, Mode, kubevirt_domain};
use crate::machine::Init;
use crate::modules::built;
use crate::vm::Vm;

const NIC: &str = "intel.com/pci-8086";

/// Puts the vendor's builds where the files have them: igb as the distribution built it, but for a version and another build id, and the
/// other build of a module that is not the NIC's.
fn unpack_builds(vm: &Vm) {
    let toy = built().join("b/vt_toy.ko");
    vm.run(&format!(
        r#"set -e; folder=/opt/lib/modules/$(uname -r); mkdir -p $folder; cd $folder
        xz -dc $(modinfo -n igb) >igb.ko; cp {toy} .
        objcopy --dump-section .modinfo=/tmp/info --dump-section .note.gnu.build-id=/tmp/note igb.ko
        printf 'version=of-the-vendor\0' >>/tmp/info
        head -c -4 /tmp/note >/tmp/other && printf 'ours' >>/tmp/other
        objcopy --update-section .modinfo=/tmp/info --update-section .note.gnu.build-id=/tmp/other igb.ko"#,
        toy = toy.display()
    ))
    .ok();
}

/// Modules, which build of them, the service.
fn software(vm: &Vm) -> String {
    vm.run(
        "cut -d' ' -f1 /proc/modules | sort
         for module in igb vt_toy; do echo $module $(cat /sys/module/$module/version); done
         systemctl show -p LoadState,ActiveState,UnitFileState chronyd",
    )
    .ok()
}

fn says(software: &str, line: &str) {
    assert!(software.lines().any(|one| one == line), "no {line} in\n{software}");
}

#[test]
#[ignore = "needs QEMU, libvirt, a Debian kernel and its headers: tests/run"]
fn a_module_is_exchanged_and_time_rests_while_a_vm_has_the_nic() {
    built();
    let vm = Vm::builder().memory_mib(2048).init(Init::Systemd).with(Device::igb("nic")).boot();
    let nic = vm.bdf("nic");
    // What a start of QEMU has the kernel load besides (drm) is there before.
    vm.run(
        "modprobe -a vfio-pci drm vt_toy
         printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >/usr/lib/systemd/system/chronyd.service
         systemctl daemon-reload && systemctl start chronyd",
    )
    .ok();
    unpack_builds(&vm);
    let (before, installed) = (all_looks(&vm, &[&nic]), software(&vm));
    for line in ["igb", "vt_toy A", "ActiveState=active"] {
        says(&installed, line);
    }

    // This machine's NIC is Intel's and its driver igb. A toy stands for onload: its name alone, for a link leads to folders of that name.
    let imported = import(
        &vm,
        "low-latency-nic",
        &[
            ("pci-1924", "pci-8086"),
            ("modprobe -rd /opt sfc ", "modprobe -rd /opt igb "),
            ("modprobe -d /opt sfc ", "modprobe -d /opt igb "),
            ("moduleName: sfc\n", "moduleName: igb\n"),
            ("inTreeModuleToRemove: sfc\n", "inTreeModuleToRemove: igb\n"),
            ("moduleName: onload", "moduleName: vt_toy"),
        ],
    );
    // "The files name no device: every endpoint of this vendor's is meant. Give device or address, too."
    let every = "selector: {vendor: \"8086\"}";
    assert!(imported.node_config.contains(every), "{}", imported.node_config);
    let config = imported.node_config.replace(every, "selector: {vendor: \"8086\", device: \"10c9\"}");

    // While it is the uplink, nobody gets it, and nothing is touched.
    let link = vm.run(&format!("ls /sys/bus/pci/devices/{nic}/net")).ok();
    vm.run(&format!(
        "ip link set {link} up && ip address add 192.0.2.1/24 dev {link} && ip route add default via 192.0.2.254 dev {link}"
    ))
    .ok();
    let node = Node::start(&vm, &config, "");
    node.until("it is known and not offered", || {
        let known = node.try_kubelet(&format!("devices {NIC}")).ok()?;
        (known["unhealthy"].as_array()?.len() == 1 && known["healthy"].as_array()?.is_empty()).then_some(())
    });
    let refused = vm.run(&format!("virt-tailor node plan {NODE} --resource {NIC} --owner vm"));
    assert_eq!(refused.code, 69, "{refused:?}");
    assert!(refused.stderr.contains(&format!("the default route leads over {link} of {nic}")), "{refused:?}");
    node.pod(POD, "trading", "virt-launcher-trading-x");
    assert!(node.try_kubelet(&format!("allocate {POD} compute {NIC} 1")).is_err());
    assert_eq!((all_looks(&vm, &[&nic]), software(&vm)), (before.clone(), installed.clone()));

    // It is not any more.
    vm.run(&format!("ip route del default; ip address flush dev {link}; ip link set {link} down")).ok();
    node.offered(NIC, 1);
    assert_eq!(node.allocate(POD, NIC, 1).env("PCI_RESOURCE_INTEL_COM_PCI-8086"), nic);
    node.prestart(POD);
    assert_eq!(vm.driver(&nic).as_deref(), Some("vfio-pci"));
    let held = software(&vm);
    for line in ["igb of-the-vendor", "vt_toy B", "LoadState=masked", "ActiveState=inactive"] {
        says(&held, line);
    }
    assert_ne!(vm.run("systemctl start chronyd").code, 0, "it is held");

    // These files say nothing of a domain, so import writes no profile: this one is the user's own.
    vm.put("trading-nic.yaml", &fs::read(example("low-latency-nic", "profile.yaml")).unwrap());
    vm.run(&format!("install -m 644 -t {PROFILES} /vt/trading-nic.yaml")).ok();
    hand_over(&vm, &nic);
    let launcher = Launcher::start(&vm, POD, Mode::Session { uid: 107, memlock: 64 << 30 });
    let sidecar = node.sidecar(POD, "");
    let xml = kubevirt_domain("trading", 128, &[("hostdevice-sfc0", &nic)]);
    let fitted = fitted(&node, &sidecar, &vmi("trading", "trading-nic", &[], &[("sfc0", NIC)]), &xml);
    launcher.boot(&fitted).unwrap_or_else(|why| panic!("{why}\n{fitted}"));
    assert_eq!(launcher.in_the_guest("trading", "ua-hostdevice-sfc0"), "0000:10:00.0");
    assert_eq!(software(&vm), held, "it stays so while the VM runs");

    launcher.destroy("trading");
    node.remove(POD);
    node.until("the node is as it was", || {
        (all_looks(&vm, &[&nic]) == before && software(&vm) == installed).then_some(())
    });
    assert_eq!(vm.run(&format!("ls /sys/bus/pci/devices/{nic}/net")).ok(), link);
    nothing_left(&node);
}
