//! Binding and restoring on a real kernel, through the command line.

use serde_json::Value;

use crate::device::{Device, Disk};
use crate::vm::Vm;

/// What a function looks like from outside: driver, override, power switches.
pub(crate) fn looks(vm: &Vm, bdf: &str) -> Vec<Option<String>> {
    let folder = format!("/sys/bus/pci/devices/{bdf}");
    let mut looks = vec![vm.driver(bdf)];
    looks.extend(
        ["driver_override", "power/control", "d3cold_allowed"].map(|name| vm.read(&format!("{folder}/{name}"))),
    );
    looks
}

/// A NodeConfig that selects each device by its address.
pub(crate) fn by_address(vm: &Vm, names: &[(&str, &str)]) -> String {
    let mut config =
        "apiVersion: virt-tailor.io/v1alpha1\nkind: NodeConfig\nmetadata: {name: box}\nspec:\n  resources:\n"
            .to_owned();
    for (name, more) in names {
        let bdf = vm.bdf(name);
        config.push_str(&format!(
            "  - name: example.com/{name}\n    nodes: [box]\n    selector: {{address: [\"{bdf}\"]}}\n"
        ));
        for line in more.lines() {
            config.push_str(&format!("    {line}\n"));
        }
    }
    config
}

/// The options that every command about a node takes here.
pub(crate) const NODE: &str = "--config /vt/node.yaml --node-name box";

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn devices_go_and_come_back() {
    let vm = Vm::builder()
        .with(Device::igb("nic"))
        .with(Device::xhci("usb0"))
        .with(Device::xhci("usb1"))
        .with(Device::nvme("disk", Disk::Empty(64)))
        .with(Device::hda("sound"))
        .with(Device::bochs_display("display"))
        .boot();
    let names = ["nic", "usb0", "disk", "sound", "display"];
    let config = by_address(
        &vm,
        &names.map(|name| (name, if name == "display" { "prepare:\n- consoles: release" } else { "" })),
    );
    vm.put("node.yaml", config.as_bytes());
    let before: Vec<_> = names.iter().map(|name| looks(&vm, &vm.bdf(name))).collect();
    let twin = looks(&vm, &vm.bdf("usb1"));

    for name in names {
        let bdf = vm.bdf(name);
        let plan: Value = serde_json::from_str(
            &vm.run(&format!("virt-tailor node plan {NODE} --resource example.com/{name} --owner vm-{name} --json"))
                .ok(),
        )
        .unwrap();
        assert_eq!(plan["refused"], serde_json::json!([]), "{plan:#}");
        let before = looks(&vm, &bdf);
        // There and back: one of them twenty times, for what is left behind each time adds up.
        for round in 0..if name == "nic" { 20 } else { 2 } {
            let apply =
                vm.run(&format!("virt-tailor node apply {NODE} --resource example.com/{name} --owner vm-{name}")).ok();
            assert_eq!(apply, format!("vm-{name} has example.com/{name} ({bdf})"), "round {round}");
            assert_eq!(vm.driver(&bdf).as_deref(), Some("vfio-pci"));
            let group = vm.group(&bdf).unwrap();
            vm.run(&format!("test -c /dev/vfio/{group}")).ok();
            let undo = vm.run(&format!("virt-tailor node undo --owner vm-{name}")).ok();
            assert_eq!(undo, format!("everything of vm-{name} is as it was"));
            assert_eq!(looks(&vm, &bdf), before, "round {round}");
        }
    }
    assert_eq!(names.iter().map(|name| looks(&vm, &vm.bdf(name))).collect::<Vec<_>>(), before);
    assert_eq!(looks(&vm, &vm.bdf("usb1")), twin, "the twin of what went is left alone");
    assert_eq!(vm.run("virt-tailor node status").ok(), "nothing on this node is changed");

    // All at once, each for an owner of its own, and gone in another order.
    for name in names {
        vm.run(&format!("virt-tailor node apply {NODE} --resource example.com/{name} --owner vm-{name}")).ok();
    }
    let second = vm.run(&format!("virt-tailor node apply {NODE} --resource example.com/nic --owner other"));
    assert_eq!(second.code, 69, "{second:?}");
    assert!(second.stderr.contains(&format!("{} belongs to vm-nic", vm.bdf("nic"))), "{second:?}");
    for name in ["disk", "nic", "display", "usb0", "sound"] {
        vm.run(&format!("virt-tailor node undo --owner vm-{name}")).ok();
    }
    assert_eq!(names.iter().map(|name| looks(&vm, &vm.bdf(name))).collect::<Vec<_>>(), before);
}

/// A benchmark, so it asserts nothing but that it ran: the kernel's own time of a bind and restore, by hand, and ours. Under TCG all of it
/// is slow, and a ratio is what it tells.
#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn how_long_a_bind_and_restore_take() {
    let vm = Vm::builder().with(Device::nvme("disk", Disk::Empty(64))).boot();
    let disk = vm.bdf("disk");
    vm.put("node.yaml", by_address(&vm, &[("disk", "")]).as_bytes());
    vm.run("modprobe vfio-pci").ok();
    let device = format!("/sys/bus/pci/devices/{disk}");
    let timed = |command: &str| {
        let script = format!(
            "set -e; b=$(date +%s%N); for i in 1 2 3 4 5 6 7 8 9 10; do {command}; done; e=$(date +%s%N); echo $(( (e - b) / 10000 ))"
        );
        vm.run_within(300, &script).ok().lines().last().unwrap().parse::<u64>().unwrap()
    };
    let by_hand = timed(&format!(
        "echo vfio-pci >{device}/driver_override; echo {disk} >{device}/driver/unbind; echo {disk} >/sys/bus/pci/drivers_probe
         echo >{device}/driver_override; echo {disk} >{device}/driver/unbind; echo {disk} >/sys/bus/pci/drivers_probe"
    ));
    let start = timed("virt-tailor --version >/dev/null");
    let ours = timed(&format!(
        "virt-tailor node apply {NODE} --resource example.com/disk --owner vm >/dev/null 2>&1; virt-tailor node undo --owner vm >/dev/null 2>&1"
    ));
    println!(
        "bind and restore of an nvme: the kernel's own {by_hand} µs, two commands of ours {ours} µs (of which starting one: {start} µs)"
    );
}
