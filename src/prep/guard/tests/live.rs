//! A node that changes while it is looked at, and one of which too little can be seen.

use super::*;
use crate::host::testing::Tree;
use crate::host::{DeviceNode, Holder, NodeKind, Owner, Process};
use crate::prep::engine::Guard as _;
use crate::prep::guard::LiveGuard;
use crate::prep::guard::live::said;
use crate::prep::journal::Request;
use crate::prep::step::Step;
use crate::prep::steps::{Bind, MakeVfs, PinPower};

const AUDIO: &str = "0000:01:00.1";
const PARENT: &str = "pci0000:00/0000:00:01.0";

/// A node with one sound card, alone in its group, and an IOMMU.
fn node() -> Tree {
    Tree::new()
        .pci(PARENT, DEVICE, "0x040300", 0)
        .group(7, PARENT, DEVICE)
        .link(&format!("sys/devices/{PARENT}/{DEVICE}/driver"), "/sys/bus/pci/drivers/snd_hda_intel")
        .file(&format!("sys/devices/{PARENT}/{DEVICE}/reset_method"), "flr\n")
        .file("sys/class/iommu/dmar0/x", "")
        .file("proc/interrupts", "  1:  0  IR-IO-APIC  1-edge  i8042\n")
        .file("proc/1/mountinfo", "")
        .file("proc/1/net/dev", "Inter-|\n face |\n")
}

/// One more function in the same group.
fn plugged_in(tree: Tree) -> Tree {
    let driver = format!("sys/devices/{PARENT}/{AUDIO}/driver");
    tree.pci(PARENT, AUDIO, "0x0c0330", 0)
        .group(7, PARENT, AUDIO)
        .link(&driver, "/sys/bus/pci/drivers/xhci_hcd")
        .file(&format!("sys/devices/{PARENT}/{AUDIO}/reset_method"), "flr\n")
}

fn guard(tree: &Tree, more: &str) -> LiveGuard {
    LiveGuard::new(tree.root(), config(&format!("selector: {{address: '{DEVICE}'}}{more}"), ""))
}

fn bind(at: &str) -> Step {
    Step::Bind(Bind { address: address(at), driver: "vfio-pci".to_owned() })
}

fn request(purpose: &str) -> Request {
    Request {
        owner: "vm".parse().unwrap(),
        purpose: purpose.to_owned(),
        devices: vec![address(DEVICE)],
        unit: vec![DEVICE.to_owned()],
        domain: vec![format!("function {DEVICE}")],
        steps: vec![Step::PinPower(PinPower { address: address(DEVICE) }), bind(DEVICE)],
    }
}

#[test]
fn what_joins_the_group_between_plan_and_write_is_seen() {
    let tree = node();
    let request = request("example.com/device");
    assert_eq!(guard(&tree, "").before_plan(&request).unwrap(), [""; 0]);
    assert_eq!(guard(&tree, "").before_step(&request, &bind(DEVICE)).unwrap(), [""; 0]);
    let tree = plugged_in(tree);
    let words = "0000:01:00.1 (xhci_hcd) is in IOMMU group 7 with 0000:01:00.0: take it along (companions: auto, or name it), or leave \
                 both to the host";
    assert_eq!(guard(&tree, "").before_step(&request, &bind(DEVICE)).unwrap(), [words]);
    // Even where it would have been taken along, for nobody has planned that.
    assert_eq!(
        guard(&tree, ", companions: auto").before_step(&request, &bind(DEVICE)).unwrap(),
        ["what goes with 0000:01:00.0 has changed since it was planned: ask again"]
    );
    assert_eq!(
        guard(&tree, ", companions: auto").before_plan(&request).unwrap(),
        ["what goes with 0000:01:00.0 has changed since it was planned: ask again"]
    );
    // What takes nothing away is not in question.
    assert_eq!(guard(&tree, "").before_step(&request, &request.steps[0]).unwrap(), [""; 0]);
}

#[test]
fn without_its_resource_nothing_is_allowed() {
    let tree = node();
    let gone = request("example.com/gone");
    let words = ["the configuration has no resource \"example.com/gone\" for this node"];
    assert_eq!(guard(&tree, "").before_plan(&gone).unwrap(), words);
    assert_eq!(guard(&tree, "").before_step(&gone, &bind(DEVICE)).unwrap(), words);
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let request = request("example.com/device");
    let blind = Tree::new();
    let error = guard(&blind, "").before_plan(&request).unwrap_err().message;
    assert!(error.starts_with("what is mounted cannot be read: ") && error.ends_with("is not there"), "{error}");
    let container = node().link("proc/1/ns/pid", "pid:[4026532201]");
    for error in [
        guard(&container, "").before_plan(&request).unwrap_err().message,
        guard(&container, "").before_step(&request, &bind(DEVICE)).unwrap_err().message,
    ] {
        assert!(error.ends_with("run this with the host's PID namespace (hostPID: true)"), "{error}");
    }
    let host = node().link("proc/1/ns/pid", "pid:[4026531836]");
    assert_eq!(guard(&host, "").before_plan(&request).unwrap(), [""; 0]);
}

/// A process that has a device open: the node of this number is `/dev/null`, which is there wherever tests run.
fn held(tree: Tree, folder: &str, name: &str) -> Tree {
    tree.file(&format!("{folder}/dev"), "1:3\n")
        .file(&format!("{folder}/uevent"), format!("DEVNAME={name}\n"))
        .link("proc/4711/fd/3", "/dev/null")
        .file("proc/4711/stat", format!("4711 (pulse audio) S{}\n", " 1".repeat(30)))
        .file("proc/4711/status", "Uid:\t1000\t1000\t1000\t1000\n")
        .file("proc/4711/cgroup", "0::/system.slice/sound.service\n")
        .file("proc/4711/mountinfo", "")
}

#[test]
fn whoever_has_a_file_of_it_open_keeps_it() {
    let tree = held(node(), &format!("sys/devices/{PARENT}/{DEVICE}/sound/card0/controlC0"), "snd/controlC0");
    let request = request("example.com/device");
    let words = ["snd/controlC0 of 0000:01:00.0 is open in process 4711 (pulse audio, sound.service)"];
    assert_eq!(guard(&tree, "").before_plan(&request).unwrap(), words);
    assert_eq!(guard(&tree, "").before_step(&request, &bind(DEVICE)).unwrap(), words);
    // The host's own users are no reason to withhold it from the host.
    assert_eq!(guard(&tree, "").before_undo(&request).unwrap(), [""; 0]);
}

#[test]
fn an_undo_waits_for_whoever_uses_it_through_vfio() {
    let tree =
        held(node(), "sys/devices/virtual/vfio/7", "vfio/7").link("sys/class/vfio/7", "../../devices/virtual/vfio/7");
    let request = request("example.com/device");
    assert_eq!(
        guard(&tree, "").before_undo(&request).unwrap(),
        ["vfio/7 of 0000:01:00.0 is open in process 4711 (pulse audio, sound.service)"]
    );
}

#[test]
fn a_mediated_device_in_use_counts_for_its_parent() {
    let mdev = format!("sys/devices/{PARENT}/{DEVICE}/c2177883-f1bb-47f0-914d-32a22e3a8804");
    let tree = held(node(), "sys/devices/virtual/vfio/9", "vfio/9")
        .link("sys/class/vfio/9", "../../devices/virtual/vfio/9")
        .link(&format!("{mdev}/iommu_group"), "../../../../../kernel/iommu_groups/9");
    assert_eq!(guard(&tree, "").before_undo(&request("example.com/device")).unwrap().len(), 1);
}

/// sriov-network-operator makes the functions and makes them anew: that they are there is how it is on its nodes, and no permission.
#[test]
fn what_sriov_network_operator_manages_is_not_ours() {
    const PF: &str = "0000:02:00.0";
    let node = || {
        node()
            .pci(PARENT, PF, "0x020000", 0)
            .group(8, PARENT, PF)
            .file(&format!("sys/devices/{PARENT}/{PF}/sriov_totalvfs"), "8\n")
            .link(&format!("sys/devices/{PARENT}/{PF}/virtfn0"), &format!("../{DEVICE}"))
            .link(&format!("sys/devices/{PARENT}/{DEVICE}/physfn"), &format!("../{PF}"))
    };
    let step = Step::MakeVfs(MakeVfs { pf: address(PF), count: 1 });
    let makes = Request { devices: Vec::new(), steps: vec![step.clone()], ..request("example.com/device") };
    let takes = request("example.com/device");
    let made = ["sriov-network-operator manages 0000:02:00.0: its virtual functions are not for this program to make"];
    let taken = [
        "sriov-network-operator manages 0000:02:00.0: 0000:01:00.0, a virtual function of it, is not for this program to hand over",
    ];
    let others = node().file(&format!("etc/sriov-operator/pci/{DEVICE}"), "{}");
    for (tree, made, taken) in [
        (others, &[][..], &[][..]),
        (node().file(&format!("etc/sriov-operator/pci/{PF}"), "{}"), &made[..], &taken[..]),
        // Of a container it is the host's folder.
        (
            node().file(&format!("host/etc/sriov-operator/pci/{PF}"), "{}").link("proc/1/root", "../../host"),
            &made[..],
            &taken[..],
        ),
    ] {
        let guard = guard(&tree, "");
        assert_eq!(guard.before_plan(&makes).unwrap(), made);
        assert_eq!(guard.before_step(&makes, &step).unwrap(), made);
        assert_eq!(guard.before_plan(&takes).unwrap(), taken);
        assert_eq!(guard.before_step(&takes, &bind(DEVICE)).unwrap(), taken);
        // What was given goes back.
        assert_eq!(guard.before_undo(&takes).unwrap(), [""; 0]);
    }
}

#[test]
fn who_it_is() {
    let told = |owner| {
        let process = Process { pid: 12, comm: "qemu".to_owned(), start_time: 1, uid: Some(0), owner };
        let number = DevT { major: 511, minor: 0 };
        let node = DeviceNode { kind: NodeKind::Char, number, name: "vfio/7".to_owned() };
        said(DEVICE, &Holder { process, node, descriptor: 3 })
    };
    let text = str::to_owned;
    let begin = "vfio/7 of 0000:01:00.0 is open in process 12 (qemu";
    assert_eq!(told(Owner::Nobody), format!("{begin})"));
    let unit = Owner::Unit { unit: text("gdm.service"), user_unit: None };
    assert_eq!(told(unit), format!("{begin}, gdm.service)"));
    let session =
        Owner::Unit { unit: text("user@1000.service"), user_unit: Some(text("org.gnome.Shell@wayland.service")) };
    assert_eq!(told(session), format!("{begin}, org.gnome.Shell@wayland.service of user@1000.service)"));
    let pod = Owner::Pod { uid: text("1f2e3d4c-0a1b-4c5d-8e9f-001122334455"), container: None };
    assert_eq!(told(pod), format!("{begin}, pod 1f2e3d4c-0a1b-4c5d-8e9f-001122334455)"));
    assert_eq!(
        told(Owner::Container { id: "0123456789abcdef".repeat(4) }),
        format!("{begin}, container 0123456789ab)")
    );
}
