//! A node that gets into trouble and is booted again: a write that never returns, agents that are killed meanwhile, and groups that have
//! other numbers afterwards. What people and their tools are told of it on the way.

use crate::bind::{by_address, looks};
use crate::cluster::Node;
use crate::device::{Device, Disk};
use crate::machine::Machine;
use crate::vm::Vm;

const FIRST: &str = "aaaaaaaa-0000-4000-8000-00000000000a";
const SECOND: &str = "bbbbbbbb-0000-4000-8000-00000000000b";
const THIRD: &str = "cccccccc-0000-4000-8000-00000000000c";
const FOURTH: &str = "dddddddd-0000-4000-8000-00000000000d";

const DISK: &str = "example.com/disk";
const USB: &str = "example.com/usb";
const FEATURES: &str = "/etc/kubernetes/node-feature-discovery/features.d";
const OPTIONS: &str = "--metrics 127.0.0.1:9100";

fn machine() -> Machine {
    Vm::builder().with(Device::nvme("disk", Disk::Empty(64))).with(Device::xhci("usb"))
}

/// Whether a scrape sees a line.
fn shows(node: &Node<'_>, line: &str) -> bool {
    node.page("/metrics").1.lines().any(|other| other == line)
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn a_write_that_hangs_outlives_the_agent_and_a_boot_renumbers_the_groups() {
    let vm = machine().boot();
    let names = [("disk", ""), ("usb", "")];
    let [disk, usb] = ["disk", "usb"].map(|name| vm.bdf(name));
    let before = [looks(&vm, &disk), looks(&vm, &usb)];
    vm.run(&format!("mkdir -p {FEATURES}")).ok();
    let node = Node::start(&vm, &by_address(&vm, &names), OPTIONS);
    node.offered(DISK, 1);
    node.offered(USB, 1);

    // What people and their tools see.
    assert_eq!(node.page("/healthz"), (200, "ok".to_owned()));
    assert_eq!(node.page("/readyz"), (200, "ok".to_owned()));
    assert_eq!(node.page("/etc/passwd").0, 404);
    for line in [
        "virt_tailor_devices{resource=\"example.com/disk\"} 1",
        "virt_tailor_devices_healthy{resource=\"example.com/usb\"} 1",
        "virt_tailor_devices_held{resource=\"example.com/disk\"} 0",
        "virt_tailor_quarantines 0",
        "# EOF",
    ] {
        assert!(shows(&node, line), "{line}\n{}", node.page("/metrics").1);
    }
    let features = node.until("features", || vm.read(&format!("{FEATURES}/virt-tailor")));
    assert_eq!(features, "virt-tailor.io/agent=true\nvirt-tailor.io/iommu=true\nvirt-tailor.io/ready=true");

    node.pod(FIRST, "default", "virt-launcher-first-x");
    let given = node.allocate(FIRST, DISK, 1);
    let id = given.ids().remove(0);
    node.prestart(FIRST);
    let holder = vm.hold(&disk);
    node.until("its pod is known", || {
        let said = vm.run("virt-tailor node status").ok();
        let promised = format!("promised: {id} ({DISK}, {disk}, pod default/virt-launcher-first-x)");
        said.lines().any(|line| line == promised).then_some(())
    });
    for line in [
        "virt_tailor_devices_promised{resource=\"example.com/disk\"} 1",
        "virt_tailor_devices_held{resource=\"example.com/disk\"} 1",
    ] {
        assert!(shows(&node, line), "{line}\n{}", node.page("/metrics").1);
    }
    // Not even a person gets what is in use; the agent that runs says so.
    let taken = vm.run(&format!("virt-tailor node release --device {disk}"));
    assert_eq!(taken.code, 69, "{taken:?}");
    assert!(taken.stderr.contains(&format!("is open in process {}", holder.pid())), "{taken:?}");
    assert_eq!(vm.driver(&disk).as_deref(), Some("vfio-pci"));

    // Who cannot be seen makes the kernel wait for ever.
    node.end_agent("KILL");
    node.start_agent_blind_to(holder.pid());
    node.offered(DISK, 1);
    node.remove(FIRST);
    let is_left_alone = || {
        let status = vm.run("virt-tailor node status").ok();
        (status.contains("left alone: process ") && status.contains(&format!("not offered: {id} ({DISK}): process ")))
            .then_some(())
    };
    node.until("it is left alone", is_left_alone);
    node.offered(DISK, 0);
    assert!(shows(&node, "virt_tailor_quarantines 1"));

    // The next agent knows it, and serves the others.
    node.end_agent("KILL");
    node.start_agent_blind_to(holder.pid());
    node.offered(USB, 1);
    node.offered(DISK, 0);
    node.until("it is still left alone", is_left_alone);
    assert!(shows(&node, "virt_tailor_quarantines 1"));
    assert!(shows(&node, "virt_tailor_devices_healthy{resource=\"example.com/disk\"} 0"));
    node.pod(SECOND, "default", "virt-launcher-second-x");
    node.allocate(SECOND, USB, 1);
    node.prestart(SECOND);
    assert_eq!(vm.driver(&usb).as_deref(), Some("vfio-pci"));

    // It goes: what was left is undone, without anybody's help.
    vm.run(&format!("kill -9 {}", holder.pid())).ok();
    holder.wait(30);
    node.until("it is the host's again", || (looks(&vm, &disk) == before[0]).then_some(()));
    node.offered(DISK, 1);
    assert!(shows(&node, "virt_tailor_quarantines 0"));

    // Two VMs run when the power fails.
    node.pod(THIRD, "default", "virt-launcher-third-x");
    node.allocate(THIRD, DISK, 1);
    node.prestart(THIRD);
    let groups = [&disk, &usb].map(|bdf| vm.group(bdf).unwrap());
    node.end_agent("KILL");
    let disks = node.disks();
    drop((holder, node));
    drop(vm);

    // One more device, and every group behind it has another number: what one was promised is the other's now.
    let vm = machine().with(Device::hda("sound").at("1b.0")).boot();
    assert_eq!([vm.bdf("disk"), vm.bdf("usb")], [disk.clone(), usb.clone()]);
    let now = [&disk, &usb].map(|bdf| vm.group(bdf).unwrap());
    assert_eq!(now[0], groups[1], "{groups:?} {now:?}");
    let node = Node::start_again(&vm, &by_address(&vm, &names), OPTIONS, &disks);
    node.offered(DISK, 1);
    node.offered(USB, 1);
    // kubelet starts the containers again, with what it was told in the last boot.
    for (uid, bdf, was, is) in [(THIRD, &disk, &groups[0], &now[0]), (SECOND, &usb, &groups[1], &now[1])] {
        let refused = node.try_kubelet(&format!("prestart {uid} compute")).unwrap_err();
        let reason = format!("virt-tailor: {bdf} was promised as IOMMU group {was} and is in {is} now: delete the pod");
        assert!(refused.contains("code = Unavailable") && refused.contains(&reason), "{refused}");
    }
    assert_eq!([looks(&vm, &disk), looks(&vm, &usb)], before, "nothing was bound");
    assert!(shows(&node, "virt_tailor_refusals_total{resource=\"example.com/disk\"} 1"));
    node.until("people are told", || {
        let status = vm.run("virt-tailor node status").ok();
        status.contains(&format!("refused: {id}, 1 times: {disk} was promised as IOMMU group")).then_some(())
    });
    // They are made anew, and get what is right.
    node.remove(THIRD);
    node.remove(SECOND);
    node.pod(FOURTH, "default", "virt-launcher-fourth-x");
    let given = node.allocate(FOURTH, DISK, 1);
    assert_eq!(given.ids(), [id], "the id is what it was");
    assert!(given.nodes().contains(&format!("/dev/vfio/{}", now[0])), "{given:?}");
    node.prestart(FOURTH);
    let holder = vm.hold(&disk);
    vm.run(&format!("kill -9 {}", holder.pid())).ok();
    holder.wait(30);

    // The end of an installation: what no pod runs with is given back by the agent that runs.
    let taken = vm.run("virt-tailor node release --all").ok();
    assert!(taken.contains("is as it was"), "{taken}");
    assert_eq!([looks(&vm, &disk), looks(&vm, &usb)], before);
    let status = vm.run("virt-tailor node status").ok();
    assert!(status.starts_with("nothing on this node is changed"), "{status}");
    assert_eq!(node.end_agent("TERM").code, 0);
}
