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
        // There and back many times, for what is left behind each time adds up: with one of them twenty, by hand with all.
        let times = if name == "nic" || std::env::var_os("VIRT_TAILOR_ALL_FAULTS").is_some() { 20 } else { 5 };
        let group = vm.group(&bdf).unwrap();
        let rounds = vm
            .run_within(
                900,
                &format!(
                    "cd /sys/bus/pci/devices/{bdf}
                     look() {{ echo $(readlink driver) $(cat driver_override power/control d3cold_allowed); }}
                     for round in $(seq {times}); do
                       virt-tailor node apply {NODE} --resource example.com/{name} --owner vm-{name} 2>/dev/null || break
                       basename $(readlink driver); test -c /dev/vfio/{group} || break
                       virt-tailor node undo --owner vm-{name} 2>/dev/null || break
                       look
                     done"
                ),
            )
            .ok();
        let shown: Vec<&str> = rounds.lines().collect();
        let (has, gone) =
            (format!("vm-{name} has example.com/{name} ({bdf})"), format!("everything of vm-{name} is as it was"));
        assert_eq!(shown.len(), 4 * times, "{rounds}");
        for (round, lines) in shown.chunks(4).enumerate() {
            assert_eq!(lines[..3], [&*has, "vfio-pci", &*gone], "round {round}");
            assert_eq!(lines[3], shown[3], "round {round}");
        }
        assert_eq!(looks(&vm, &bdf), before);
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

/// A benchmark, so it asserts nothing but that it ran: the kernel's own time of a bind and of a restore, by hand, and ours. Under TCG all
/// of it is slow, and a ratio is what it tells. The journal lies in memory, so that no disk is in these times.
#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn how_long_a_bind_and_restore_take() {
    let vm = Vm::builder().with(Device::nvme("disk", Disk::Empty(64))).boot();
    let disk = vm.bdf("disk");
    vm.put("node.yaml", by_address(&vm, &[("disk", "")]).as_bytes());
    vm.run("modprobe vfio-pci").ok();
    let device = format!("/sys/bus/pci/devices/{disk}");
    const ROUNDS: u64 = 5;
    // Each half of what a person would do, in the same shell: ten words, no process started.
    let by_hand = vm
        .run(&format!(
            "set -e; stamp() {{ date +%s%N; }}
             there=0 back=0
             for i in $(seq {ROUNDS}); do
               a=$(stamp)
               echo vfio-pci >{device}/driver_override; echo {disk} >{device}/driver/unbind; echo {disk} >/sys/bus/pci/drivers_probe
               b=$(stamp)
               echo >{device}/driver_override; echo {disk} >{device}/driver/unbind; echo {disk} >/sys/bus/pci/drivers_probe
               c=$(stamp)
               there=$((there + b - a)) back=$((back + c - b))
             done
             echo $((there / 1000 / {ROUNDS})) $((back / 1000 / {ROUNDS}))"
        ))
        .ok();
    let by_hand: Vec<u64> = by_hand.split(' ').map(|number| number.parse().unwrap()).collect();
    // Ours: the whole command, and of it the step that binds, from its line in the journal to the one that says it is done.
    let mut ours = Vec::new();
    for command in [format!("apply {NODE} --resource example.com/disk --owner vm"), "undo --owner vm".to_owned()] {
        ours.push((0, 0, command));
    }
    for _ in 0..ROUNDS {
        for (whole, step, command) in &mut ours {
            let script = format!(
                "rm -f /tmp/places; a=$(date +%s%N); VIRT_TAILOR_FAULT_LOG=/tmp/places virt-tailor node {command} >/dev/null
                 b=$(date +%s%N); echo $(((b - a) / 1000)); grep ' bind ' /tmp/places | cut -d' ' -f2 | sed -n '1p;$p'"
            );
            let numbers: Vec<u64> = vm.run(&script).ok().lines().map(|line| line.parse().unwrap()).collect();
            *whole += numbers[0] / ROUNDS;
            *step += (numbers[2] - numbers[1]) / ROUNDS;
        }
    }
    for ((what, kernel), (whole, step, _)) in ["bind", "restore"].iter().zip(by_hand).zip(ours) {
        println!("{what} of an nvme: the kernel's own {kernel} µs; our step {step} µs; our whole command {whole} µs");
    }
}
