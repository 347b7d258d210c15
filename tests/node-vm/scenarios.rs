//! The published procedures end to end: from the boot-time files of an example to a started VM, and back.
//!
//! `import` reads `examples/<scenario>/before` in the machine, with only those addresses, ids and names of modules changed that differ
//! there; the NodeConfig that comes out is the agent's, the profiles are where the sidecar finds them.

mod gpu_workstation;
mod low_latency_nic;
mod pci_passthrough;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::bind::looks;
use crate::cluster::{Node, Sidecar};
use crate::vm::Vm;

const POD: &str = "aaaaaaaa-0000-4000-8000-00000000000a";
const OTHER: &str = "bbbbbbbb-0000-4000-8000-00000000000b";

/// Where the sidecar looks for profiles by itself.
const PROFILES: &str = "/etc/virt-tailor/profiles.d";

/// What was made of an example's `before/`.
struct Imported {
    node_config: String,
    report: String,
}

/// A file of the example.
fn example(scenario: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(scenario).join(file)
}

/// Runs `import` on the node, each text of `here` in place of the one that the example has.
fn import(vm: &Vm, scenario: &str, here: &[(&str, &str)]) -> Imported {
    let share = vm.share().join("before");
    fs::create_dir(&share).unwrap();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(example(scenario, "before")).unwrap() {
        let path = entry.unwrap().path();
        let mut text = fs::read_to_string(&path).unwrap();
        for (there, here) in here.iter().filter(|(there, _)| fs::read_to_string(&path).unwrap().contains(there)) {
            found.insert(*there);
            text = text.replace(there, here);
        }
        fs::write(share.join(path.file_name().unwrap()), text).unwrap();
    }
    assert_eq!(found, here.iter().map(|(there, _)| *there).collect(), "the example has changed");
    vm.run(&format!(
        "set -e; cd /vt
         virt-tailor import before --name {scenario} --check-node --node-name box -o /root/imported
         install -d -m 755 {PROFILES}
         if [ -d /root/imported/profiles ]; then install -m 644 -t {PROFILES} /root/imported/profiles/*.yaml; fi"
    ))
    .ok();
    let read = |name: &str| vm.read(&format!("/root/imported/{name}")).unwrap();
    let imported = Imported { node_config: read("node-config.yaml"), report: read("report.txt") };
    // On the node itself nothing is left to fill in; the name of that word in the first lines is another matter.
    assert!(!imported.node_config.contains("[fill-in]"), "{}", imported.node_config);
    imported
}

/// What a hook is told of a VM: the profiles that it asks for, its GPUs and its other devices, by name and resource.
fn vmi(name: &str, profiles: &str, gpus: &[(&str, &str)], others: &[(&str, &str)]) -> Value {
    let devices = |all: &[(&str, &str)]| -> Value {
        all.iter().map(|(name, resource)| json!({ "name": name, "deviceName": resource })).collect()
    };
    json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
        "metadata": { "name": name, "namespace": "default", "annotations": { "virt-tailor.io/profiles": profiles } },
        "spec": { "domain": { "devices": { "gpus": devices(gpus), "hostDevices": devices(others) } } },
        "status": { "nodeName": "box" },
    })
}

/// The domain as the sidecar hands it on, which KubeVirt asks again while the agent works.
#[track_caller]
fn fitted(node: &Node<'_>, sidecar: &Sidecar<'_>, vmi: &Value, xml: &str) -> String {
    node.until("the sidecar answers", || match sidecar.define(vmi, xml) {
        Ok(fitted) => Some(fitted),
        Err(why) => {
            assert!(why.contains("Unavailable"), "{why}");
            None
        }
    })
}

/// A function's files go to the VM's user: virt-handler does this before it starts a domain.
fn hand_over(vm: &Vm, bdf: &str) {
    let group = vm.group(bdf).unwrap();
    vm.run(&format!("chown 107:107 /dev/vfio/{group} && chmod 666 /dev/vfio/vfio")).ok();
}

/// How functions look from outside.
fn all_looks(vm: &Vm, all: &[&String]) -> Vec<Vec<Option<String>>> {
    all.iter().map(|bdf| looks(vm, bdf)).collect()
}

/// The agent ends, and nothing of ours is left.
#[track_caller]
fn nothing_left(node: &Node<'_>) {
    assert_eq!(node.end_agent("TERM").code, 0);
    assert_eq!(node.vm.run("virt-tailor node status").ok(), "nothing on this node is changed");
}
