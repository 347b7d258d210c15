//! The machine is what was asked for, and the kernel does by hand what we are to do.

use serde_json::json;

use crate::device::{Device, Disk};
use crate::vm::Vm;

/// Gives a function to vfio-pci as a person would, and gives it back.
fn by_hand(vm: &Vm, bdf: &str) {
    let device = format!("/sys/bus/pci/devices/{bdf}");
    let before = vm.driver(bdf);
    vm.run(&format!(
        "set -e; echo vfio-pci >{device}/driver_override; echo {bdf} >{device}/driver/unbind
         echo {bdf} >/sys/bus/pci/drivers_probe"
    ))
    .ok();
    assert_eq!(vm.driver(bdf).as_deref(), Some("vfio-pci"), "{bdf}");
    let group = vm.group(bdf).expect("a group");
    vm.run(&format!("test -c /dev/vfio/{group}")).ok();
    vm.run(&format!(
        "set -e; echo {bdf} >{device}/driver/unbind; echo >{device}/driver_override
         echo {bdf} >/sys/bus/pci/drivers_probe"
    ))
    .ok();
    assert_eq!(vm.driver(bdf), before, "{bdf}");
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn devices_are_there_and_can_be_bound_by_hand() {
    let vm = Vm::builder()
        .with(Device::igb("nic"))
        .with(Device::xhci("usb0"))
        .with(Device::xhci("usb1"))
        .with(Device::nvme("disk", Disk::Empty(64)))
        .with(Device::hda("sound"))
        .with(Device::bochs_display("display"))
        .boot();

    let version = vm.run("virt-tailor --version").ok();
    assert!(version.starts_with("virt-tailor "), "{version}");
    let failed = vm.run("echo out; echo err >&2; exit 3");
    assert_eq!((failed.code, &*failed.stdout, &*failed.stderr), (3, "out\n", "err\n"));

    for (name, driver) in [
        ("nic", "igb"),
        ("usb0", "xhci_hcd"),
        ("usb1", "xhci_hcd"),
        ("disk", "nvme"),
        ("sound", "snd_hda_intel"),
        ("display", "bochs-drm"),
    ] {
        assert_eq!(vm.driver(&vm.bdf(name)).as_deref(), Some(driver), "{name}");
    }
    vm.run("modprobe vfio-pci").ok();
    for name in ["nic", "usb0", "usb1", "disk", "sound"] {
        by_hand(&vm, &vm.bdf(name));
    }

    let nic = format!("/sys/bus/pci/devices/{}", vm.bdf("nic"));
    vm.run(&format!("echo 3 >{nic}/sriov_numvfs")).ok();
    let functions = vm.names(&nic).into_iter().filter(|name| name.starts_with("virtfn")).count();
    assert_eq!(functions, 3);
    vm.run(&format!("echo 0 >{nic}/sriov_numvfs")).ok();

    let running = vm.qmp(&json!({ "execute": "query-status" })).unwrap();
    assert_eq!(running["status"], "running");
}
