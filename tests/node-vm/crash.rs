//! `kill -9` at every place between two writes of a plan and of its undo, then `node recover`.

use crate::device::Device;
use crate::machine::Machine;
use crate::vm::Vm;

/// Everything that the plan below changes, as the kernel shows it.
fn picture(vm: &Vm) -> String {
    vm.run(". /vt/picture.sh").ok()
}

/// A machine with a plan that has a step of most kinds, and a script that shows what they change.
fn machine() -> Vm {
    let machine: Machine = Vm::builder().with(Device::igb("nic")).with(Device::bochs_display("display"));
    let vm = machine.boot();
    let nic = vm.bdf("nic");
    vm.run("modprobe vfio-pci && modprobe igbvf && modprobe dummy numdummies=0 && ip link set dev $(ls /sys/bus/pci/devices/*/net | grep -v : | head -1) up; true").ok();
    vm.put(
        "picture.sh",
        format!(
            "for f in /sys/bus/pci/devices/{nic} /sys/bus/pci/devices/{nic}/virtfn* $(dirname $(readlink -f /sys/bus/pci/devices/{nic})); do
               for a in sriov_numvfs sriov_drivers_autoprobe driver_override power/control d3cold_allowed reset_method; do
                 test -e $f/$a && echo \"$f/$a $(cat $f/$a)\"
               done
               echo \"$f $(basename $(readlink $f/driver 2>/dev/null) 2>/dev/null)\"
             done
             ip -details link show $(ls /sys/bus/pci/devices/{nic}/net) | grep ' vf '
             grep -H . /sys/class/vtconsole/*/bind /sys/kernel/mm/hugepages/*/nr_hugepages
             test -e /sys/module/loop; echo loop $?
             cat /sys/module/igb/parameters/* /sys/module/printk/parameters/time"
        )
        .as_bytes(),
    );
    vm.put(
        "node.yaml",
        format!(
            r#"apiVersion: virt-tailor.io/v1alpha1
kind: NodeConfig
metadata: {{name: box}}
spec:
  resources:
  - name: example.com/vf
    nodes: [box]
    kind: sriov
    selector: {{address: ["{nic}"]}}
    sriov:
      vfs: 2
      mac: {{prefix: "02:00:5e"}}
      vlan: {{id: 7, qos: 3}}
      spoofCheck: on
    prepare:
    - module: {{load: loop}}
    - module: {{parameter: {{module: printk, name: time, value: N}}}}
    - hugepages: {{size: 2Mi, count: 3}}
    - power: pin
"#
        )
        .as_bytes(),
    );
    vm
}

/// The places that a command passes, by a run that is not killed.
fn places(vm: &Vm, command: &str) -> u64 {
    vm.run(&format!("rm -f /tmp/places; VIRT_TAILOR_FAULT_LOG=/tmp/places virt-tailor node {command}")).ok();
    vm.run("tail -n 1 /tmp/places | cut -d ' ' -f 1").ok().parse().unwrap()
}

const APPLY: &str = "apply --config /vt/node.yaml --node-name box --resource example.com/vf --owner vm";
const UNDO: &str = "undo --owner vm";

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn at_every_place_of_a_plan_and_of_its_undo() {
    let vm = machine();
    let before = picture(&vm);
    let apply = places(&vm, APPLY);
    let after = picture(&vm);
    assert_ne!(before, after);
    let undo = places(&vm, UNDO);
    assert_eq!(picture(&vm), before);
    // In CI every third, by hand all: VIRT_TAILOR_ALL_FAULTS=1.
    let all = std::env::var_os("VIRT_TAILOR_ALL_FAULTS").is_some();
    let step = if all { 1 } else { 3 };
    println!("{apply} places in apply, {undo} in undo; every {step}");
    assert!(apply > 40 && undo > 40, "{apply} {undo}");

    for place in (1..=apply).step_by(step) {
        let killed = vm.run(&format!("VIRT_TAILOR_FAULT={place} virt-tailor node {APPLY}"));
        assert_eq!(killed.code, 137, "place {place}: {killed:?}");
        let recovered = vm.run("virt-tailor node recover");
        assert_eq!(recovered.code, 0, "place {place}: {recovered:?}");
        let status = vm.run("virt-tailor node status").ok();
        if status == "nothing on this node is changed" {
            assert_eq!(picture(&vm), before, "place {place}");
        } else {
            // Killed behind the last step: it is ready, and stays so.
            assert!(status.contains("(ready)"), "place {place}: {status}");
            assert_eq!(picture(&vm), after, "place {place}");
            vm.run(&format!("virt-tailor node {UNDO}")).ok();
        }
    }
    for place in (1..=undo).step_by(step) {
        vm.run(&format!("virt-tailor node {APPLY}")).ok();
        let killed = vm.run(&format!("VIRT_TAILOR_FAULT={place} virt-tailor node {UNDO}"));
        assert_eq!(killed.code, 137, "place {place}: {killed:?}");
        let recovered = vm.run("virt-tailor node recover");
        assert_eq!(recovered.code, 0, "place {place}: {recovered:?}");
        if vm.run("virt-tailor node status").ok() != "nothing on this node is changed" {
            // Killed before anything was written down: it has not begun.
            assert_eq!((place, picture(&vm)), (1, after.clone()));
            vm.run(&format!("virt-tailor node {UNDO}")).ok();
        }
        assert_eq!(picture(&vm), before, "place {place}");
    }
}
