//! The published procedures end to end: from the boot-time files of an example to a started VM, and back.
//!
//! `import` reads `examples/<scenario>/before` in the machine, with only those addresses, ids and names of modules changed that differ
//! there; the NodeConfig that comes out is the agent's, the profiles are where the sidecar finds them.

mod dpdk_worker;
mod gpu_workstation;
mod low_latency_nic;
mod pci_passthrough;
mod vgpu_desktop;

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
    let from = example(scenario, "before");
    let mut found = BTreeSet::new();
    for file in files(&from) {
        let mut text = fs::read_to_string(&file).unwrap();
        for (there, here) in here {
            if text.contains(there) {
                found.insert(*there);
                text = text.replace(there, here);
            }
        }
        let to = vm.share().join("before").join(file.strip_prefix(&from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, text).unwrap();
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
    Imported { node_config: read("node-config.yaml"), report: read("report.txt") }
}

/// The files of a folder and those below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
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

/// The same VMI with settings of the VM's own besides.
fn with_settings(mut vmi: Value, settings: &str) -> Value {
    vmi["metadata"]["annotations"]["virt-tailor.io/domain"] = settings.into();
    vmi
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
    give(vm, &vm.group(bdf).unwrap());
}

/// The same with the device of a group.
fn give(vm: &Vm, group: &str) {
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
