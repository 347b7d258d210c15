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

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn slots_bridges_nodes_and_roles_are_as_asked_for() {
    let vm = Vm::builder()
        .numa(2)
        .with(Device::root_port("card").no_acs())
        .with(Device::xhci("card-usb").function("card", 0))
        .with(Device::nvme("card-disk", Disk::Empty(64)).function("card", 1))
        .with(Device::bridge("pci"))
        .with(Device::hda("old0").under("pci").at("1"))
        .with(Device::hda("old1").under("pci").at("2"))
        .with(Device::xhci("usb"))
        .with(Device::usb_kbd("keyboard", "usb"))
        .with(Device::usb_storage("stick", "usb", Disk::Empty(16)))
        .with(Device::virtio_net("uplink"))
        .boot();

    // Whatever is below a port without ACS, or a conventional bridge, is one group with it.
    let members = |name: &str| vm.names(&format!("/sys/bus/pci/devices/{}/iommu_group/devices", vm.bdf(name)));
    assert_eq!(members("card-usb"), [vm.bdf("card"), vm.bdf("card-usb"), vm.bdf("card-disk")]);
    assert_eq!(members("old0"), [vm.bdf("pci"), vm.bdf("old0"), vm.bdf("old1")]);
    assert_eq!(members("usb"), [vm.bdf("usb")]);

    assert_eq!(vm.read("/sys/devices/system/node/online").as_deref(), Some("0-1"));
    assert_eq!(vm.read("/sys/devices/system/node/node1/cpulist").as_deref(), Some("1"));

    let below = |name: &str, what: &str| vm.run(&format!("ls -d /sys/bus/pci/devices/{}/{what}", vm.bdf(name)));
    vm.run(&format!(
        "until ls -d /sys/bus/pci/devices/{}/usb*/*/*/host*/target*/*/block/sd?; do sleep 0.1; done",
        vm.bdf("usb")
    ))
    .ok();
    assert!(below("usb", "usb*/*/*/0003:*/input/input*").ok().contains("/input/"));
    let nic = below("uplink", "virtio*/net/*").ok();
    let route = vm.run("ip -o route show default").ok();
    assert_eq!(route.split(' ').skip_while(|word| *word != "dev").nth(1), nic.rsplit('/').next(), "{route}");
}
