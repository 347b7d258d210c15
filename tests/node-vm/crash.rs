//! `kill -9` at every place between two writes of a plan and of its undo, then `node recover`: the node is as before, or as after.
//!
//! By hand all places (`VIRT_TAILOR_ALL_FAULTS=1`, or `=vf` for one of the plans), in CI a part of them: of each kind of step one when it is made and one when it is
//! undone, in turns right after the journal has it and after its first action; and where a plan begins and ends. Other places differ
//! little from these: before an action it is as after the line about it, and a step that is done is done in every crash of a later one.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::device::Device;
use crate::hands::Remote;
use crate::machine::{Firmware, Init};
use crate::modules;
use crate::vm::Vm;

/// Whether every place is tried: of all plans (`1`), or of one (its name).
fn all() -> bool {
    std::env::var_os(ALL).is_some()
}

const ALL: &str = "VIRT_TAILOR_ALL_FAULTS";
const PLANS: [&str; 3] = ["vf", "usb", "gpu"];

/// A place where the engine may die: its number, the kind of step, what comes there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    number: u64,
    step: String,
    at: String,
}

/// The places that are tried, of those that were passed; `seen` is which kinds of step have been tried in which direction.
fn chosen(places: &[Place], undo: bool, seen: &mut BTreeSet<(bool, String)>) -> Vec<Place> {
    if all() {
        return places.to_vec();
    }
    let mut tried: Vec<&Place> = Vec::new();
    for place in places {
        if !seen.insert((undo, place.step.clone())) {
            continue;
        }
        let of_kind = || places.iter().filter(|other| other.step == place.step);
        let mut at = |what: &str| tried.extend(of_kind().find(|other| other.at == what));
        // In turns, and the other way round in an undo. What is not about one step is where the plan begins and ends.
        match (&*place.step, seen.len().is_multiple_of(2) != undo) {
            ("plan", _) => {
                at("before it is written down");
                at("after it is written down");
                tried.extend(of_kind().next_back());
            }
            (_, true) if of_kind().any(|other| other.at == AFTER) => at(AFTER),
            _ => at("after it is written down"),
        }
    }
    tried.into_iter().cloned().collect()
}

const AFTER: &str = "after an action";

/// A machine with everything that the plans change, what they change as a script, and the configuration.
fn machine() -> Vm {
    let folder = modules::built().display();
    let vm = Vm::builder()
        .init(Init::Systemd)
        .firmware(Firmware::Ovmf)
        .no_coldplug()
        .with(Device::bochs_display("gpu"))
        .with(Device::igb("nic"))
        .with(Device::xhci("usb"))
        .with(Device::qemu("toy", "pci-testdev"))
        .boot();
    let [gpu, nic, usb] = ["gpu", "nic", "usb"].map(|name| vm.bdf(name));
    // What udev loads by itself may come late.
    vm.run(&format!(
        "set -e; for module in vfio-pci igb xhci_pci vxlan vt_toy; do modprobe $module; done
         mkdir -p /opt/vt/lib/modules/$(uname -r); cp {folder}/b/vt_toy.ko /opt/vt/lib/modules/$(uname -r)/
         printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >/usr/lib/systemd/system/toy.service
         systemctl daemon-reload; systemctl start toy; ip link set $(ls /sys/bus/pci/devices/{nic}/net) up
         until [ -e /sys/bus/pci/devices/{gpu}/driver ]; do sleep 0.2; done; udevadm settle
         cd /sys/bus/pci/devices/{usb}; echo auto >power/control; echo 1 >d3cold_allowed"
    ))
    .ok();
    // The driver of virtual functions is udev's: it loads it when the first of them come.
    vm.put(
        "picture.sh",
        format!(
            "cd /sys/bus/pci/devices
             for f in {gpu} {nic} {nic}/virtfn* {usb} /sys/bus/platform/devices/efi-framebuffer.0; do
               test -e $f && echo $f $(readlink $f/driver)
             done
             f=$(dirname $(readlink -f {nic})) g=$(dirname $(readlink -f {usb}))
             for a in sriov_numvfs sriov_drivers_autoprobe driver_override power/control d3cold_allowed reset_method; do
               grep -sH '' {gpu}/$a {nic}/$a {nic}/virtfn*/$a {usb}/$a $f/$a $g/$a
             done
             ip -details link show $(ls {nic}/net) | grep ' vf '
             grep -sH '' /sys/class/vtconsole/*/bind /sys/class/vtconsole/*/name /proc/fb /sys/kernel/mm/hugepages/*/nr_hugepages \
               /sys/module/vt_toy/version /sys/module/vt_toy/parameters/answer /sys/module/printk/parameters/time
             systemctl show -p LoadState,ActiveState,UnitFileState toy
             systemctl list-units --all --plain --no-legend 'virt-tailor*' | cut -d' ' -f1
             cut -d' ' -f1 /proc/modules | grep -v '^igbvf$' | sort"
        )
        .as_bytes(),
    );
    vm.put(
        "cycle.sh",
        b"VIRT_TAILOR_FAULT=$1; shift; export VIRT_TAILOR_FAULT
          virt-tailor node \"$@\" >/dev/null 2>/tmp/said; echo killed: $?
          unset VIRT_TAILOR_FAULT
          virt-tailor node recover >/dev/null 2>>/tmp/said; echo recovered: $?
          echo status: $(virt-tailor node status | tr '\\n' ' '); cat /tmp/said >&2; . /vt/picture.sh",
    );
    vm.put(
        "node.yaml",
        format!(
            "apiVersion: virt-tailor.io/v1alpha1
kind: NodeConfig
metadata: {{name: box}}
spec:
  resources:
  - name: example.com/usb
    nodes: [box]
    selector: {{address: ['{usb}']}}
    prepare:
    - service: {{stop: toy.service, maxHold: 1h}}
    - module: {{unload: vxlan}}
    - module: {{swap: vt_toy, from: /opt/vt, parameters: {{answer: 7}}}}
    - module: {{load: ifb}}
    - module: {{parameter: {{module: printk, name: time, value: N}}}}
    - hugepages: {{size: 2Mi, count: 3}}
    - power: pin
    - reset: [bus]
  - name: example.com/gpu
    nodes: [box]
    selector: {{address: ['{gpu}']}}
    prepare:
    - consoles: release
    - framebuffer: release
  - name: example.com/vf
    nodes: [box]
    kind: sriov
    selector: {{address: ['{nic}']}}
    sriov:
      vfs: 2
      mac: {{prefix: '02:00:5e'}}
      vlan: {{id: 7, qos: 3}}
      spoofCheck: off
  limits:
    modules: {{directories: [/opt]}}
"
        )
        .as_bytes(),
    );
    vm
}

/// Everything that the plans change, as the kernel and systemd show it.
fn picture(vm: &Vm) -> String {
    vm.run(". /vt/picture.sh").stdout
}

/// The places that a command passes, by a run that is not killed.
fn places(vm: &Vm, command: &str) -> Vec<Place> {
    let log = "rm -f /tmp/places; VIRT_TAILOR_FAULT_LOG=/tmp/places virt-tailor node";
    vm.run(&format!("{log} {command}")).ok();
    let log = vm.read("/tmp/places").unwrap();
    let place = |line: &str| {
        let mut words = line.splitn(4, ' ').map(str::to_owned);
        let mut word = || words.next().unwrap();
        let (number, _time) = (word().parse().unwrap(), word());
        Place { number, step: word(), at: word() }
    };
    log.lines().map(place).collect()
}

/// A command killed at a place, and what has become of it after the recovery: all given back, or ready; and the picture.
fn killed(vm: &Vm, place: &Place, command: &str) -> (bool, String) {
    let output = vm.run(&format!("set -- {} {command}; . /vt/cycle.sh", place.number));
    let (head, picture) = output.stdout.split_once("status: ").unwrap_or_else(|| panic!("{place:?}: {output:?}"));
    assert_eq!(head, "killed: 137\nrecovered: 0\n", "{place:?}: {}", output.stderr);
    let (status, picture) = picture.split_once('\n').unwrap();
    if status.trim() == "nothing on this node is changed" {
        return (false, picture.to_owned());
    }
    assert!(status.contains("(ready)"), "{place:?}: {status}");
    (true, picture.to_owned())
}

#[test]
#[ignore = "needs QEMU, OVMF, a Debian kernel and its headers: tests/run"]
fn at_every_place_of_a_plan_and_of_its_undo() {
    let vm = machine();
    let mut seen = BTreeSet::new();
    let (mut points, mut cycles) = (0, 0);
    let only = std::env::var(ALL).ok().filter(|only| PLANS.contains(&only.as_str()));
    for name in PLANS.into_iter().filter(|name| only.as_deref().is_none_or(|only| only == *name)) {
        let apply = format!("apply --config /vt/node.yaml --node-name box --resource example.com/{name} --owner vm");
        let undo = "undo --owner vm";
        let before = picture(&vm);
        let planned = vm.run(&format!("virt-tailor node {}", apply.replacen("apply", "plan", 1))).ok();
        assert!(!planned.contains("cannot be told"), "{planned}");
        let applying = places(&vm, &apply);
        let after = picture(&vm);
        assert_ne!(before, after);
        // A plan tells every action, those about functions that are not there yet included.
        let told = planned.lines().filter(|line| line.starts_with("   - ")).count();
        let done = applying.iter().filter(|place| place.at == AFTER).count();
        assert!(told <= done && told + 1 >= done, "{told} actions are told and {done} done: {planned}");
        let undoing = places(&vm, undo);
        assert_eq!(picture(&vm), before, "{name}");
        points += applying.len() + undoing.len();

        let tried = chosen(&applying, false, &mut seen);
        println!("{name}: {} places in apply, {} of them tried: {tried:?}", applying.len(), tried.len());
        cycles += tried.len();
        for place in &tried {
            let (ready, picture) = killed(&vm, place, &apply);
            assert_eq!(picture, if ready { &*after } else { &*before }, "{place:?}");
            if ready {
                // Killed behind the last step: it stays.
                vm.run(&format!("virt-tailor node {undo}")).ok();
            }
        }
        let tried = chosen(&undoing, true, &mut seen);
        println!("{name}: {} places in undo, {} of them tried: {tried:?}", undoing.len(), tried.len());
        cycles += tried.len();
        for place in &tried {
            vm.run(&format!("virt-tailor node {apply}")).ok();
            let (ready, picture) = killed(&vm, place, undo);
            // Killed before it was written down that it begins: who was to carry it out is noted by then.
            assert!(!ready || place.number <= 2, "{place:?}");
            assert_eq!(picture, if ready { &*after } else { &*before }, "{place:?}");
            if ready {
                vm.run(&format!("virt-tailor node {undo}")).ok();
            }
        }
        assert_eq!(picture(&vm), before, "{name}");
    }
    println!("{points} places, {cycles} cycles");
    let kinds: BTreeSet<&str> = seen.iter().map(|(_, step)| step.as_str()).collect();
    for kind in [
        "plan",
        "stopService",
        "unloadModule",
        "swapModule",
        "loadModule",
        "setParameter",
        "addHugepages",
        "pinPower",
        "setResetMethods",
        "releaseConsoles",
        "releaseFramebuffer",
        "makeVfs",
        "setVf",
        "bind",
    ] {
        assert!(all() || kinds.contains(kind), "{kind} is in none of the plans: {kinds:?}");
    }
}

/// Kinds of step that no resource has, but what an agent does around a VM; and mediated devices, whose sample driver is no PCI driver.
/// The engine runs here and dies without a word, the node is in the machine.
#[test]
#[ignore = "needs QEMU, a Debian kernel and its headers: tests/run"]
fn at_every_action_around_a_vm() {
    modules::built();
    let vm = Vm::builder().cpus(4).boot();
    vm.run("modprobe mtty").ok();
    let job = vm.spawn("ulimit -l 64; exec sleep 100000");
    let pid = job.pid();
    vm.run(&format!("until grep -q sleep /proc/{pid}/comm; do sleep 0.1; done")).ok();
    let started = vm.run(&format!("sed 's/.*) //' /proc/{pid}/stat | cut -d' ' -f20")).ok();
    let started: Value = serde_json::from_str(&started).unwrap();
    let uuid = "6c2f6f7e-8a0f-4d2e-9a55-0f3d6c1b2a90";
    let steps = json!([
        { "step": "makeMdev", "parent": "mtty", "type": "mtty-2", "uuid": uuid },
        { "step": "allowOvercommit", "kib": 2048, "count": 5 },
        { "step": "setMemlock", "process": { "pid": pid, "started": started }, "limit": 1 << 20 },
        { "step": "isolateCpus", "cpus": "3", "cgroup": null },
    ]);
    // Apart: it is dozens of writes.
    let irqs = json!([{ "step": "moveIrqs", "awayFrom": "3" }]);
    let picture = || {
        vm.run(&format!(
            "ls /sys/bus/mdev/devices; grep 'locked memory' /proc/{pid}/limits
             grep -H '' /sys/class/mdev_bus/mtty/mdev_supported_types/*/available_instances \
               /sys/kernel/mm/hugepages/*/nr_overcommit_hugepages /sys/fs/cgroup/cgroup.subtree_control \
               /sys/fs/cgroup/cpuset.cpus.isolated /sys/devices/virtual/workqueue/cpumask \
               /proc/irq/default_smp_affinity /proc/irq/*/smp_affinity_list
             ls /sys/fs/cgroup"
        ))
        .ok()
    };
    let mut engine = Remote::new(&vm);
    let before = picture();
    let (mut points, mut cycles) = (0, 0);
    for steps in [steps, irqs] {
        let applying = engine.places(|engine| drop(engine.apply("vm", steps.clone()).unwrap()));
        assert_ne!(picture(), before);
        let undoing = engine.places(|engine| drop(engine.undo("vm")));
        assert_eq!(picture(), before);
        let (apply, undo) = (part(&applying), part(&undoing));
        println!("places: {} and {}, tried: {} and {}", applying.len(), undoing.len(), apply.len(), undo.len());
        points += applying.len() + undoing.len();
        cycles += apply.len() + undo.len();
        for place in apply {
            assert!(engine.dies_at(place, |engine| drop(engine.apply("vm", steps.clone()))), "{}", applying[place]);
            engine.recover();
            assert_eq!(picture(), before, "{}", applying[place]);
        }
        for place in undo {
            engine.apply("vm", steps.clone()).unwrap();
            assert!(engine.dies_at(place, |engine| drop(engine.undo("vm"))), "{}", undoing[place]);
            engine.recover();
            assert_eq!(picture(), before, "{}", undoing[place]);
        }
    }
    println!("{points} places, {cycles} cycles");
    assert!(cycles >= 20, "{points} {cycles}");
}

/// The places that are tried, by their numbers: all, or of those that are alike (one interrupt or another) the first.
fn part(places: &[String]) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let alike = |place: &String| -> String { place.chars().filter(|character| !character.is_ascii_digit()).collect() };
    let mut tried = |at: &usize| all() || seen.insert(alike(&places[*at]).replace(['-', ','], ""));
    (0..places.len()).filter(&mut tried).collect()
}
