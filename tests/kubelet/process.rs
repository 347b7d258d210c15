//! The agent itself at kubelet, on a tree of files in place of a node.

use std::path::Path;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;

use crate::double::{Kind, Known, Kubelet};
use crate::plain_node::{Node, OWN, RESOURCE, address, announce, kernel};

const PROGRAM: &str = env!("CARGO_BIN_EXE_virt-tailor");
const POD: &str = "00000000-0000-4000-8000-00000000000a";
/// Less than the half minute after which the agent looks by itself.
const SOON: Duration = Duration::from_secs(20);

fn has(known: &Known, functions: usize) -> bool {
    !known.stopped && known.healthy.len() == functions
}

fn kubelet(node: &Node) -> Kubelet {
    let kubelet = Kubelet::start(&node.path("kubelet"), Kind::default());
    kubelet.add_pod("00000000-0000-4000-8000-000000000000", OWN.0, OWN.1);
    kubelet
}

async fn come_and_go() {
    let node = Node::new(3, "");
    let kubelet = kubelet(&node);
    let _agent = node.start(Path::new(PROGRAM));
    kubelet.wait(RESOURCE, SOON, |known| has(known, 3)).await.unwrap_or_else(|why| panic!("{why}: {}", node.log()));
    let said = kernel();
    node.plug(1, false);
    announce(&said, 1, false);
    let known = kubelet.wait(RESOURCE, SOON, |known| has(known, 2)).await.unwrap();
    assert!(known.healthy.iter().all(|id| !id.starts_with(&address(1))), "{known:?}");
    node.plug(1, true);
    announce(&said, 1, true);
    kubelet.wait(RESOURCE, SOON, |known| has(known, 3)).await.unwrap();
}

#[test]
fn a_device_that_comes_or_goes_is_told_when_the_kernel_says_so() {
    // In a network namespace of this thread's alone: nobody else hears what is said there.
    let tried = std::thread::spawn(|| {
        if unshare(CloneFlags::CLONE_NEWNET).is_err() {
            return false;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(come_and_go());
        true
    });
    if !tried.join().unwrap() {
        println!("not tried: no network namespace without root");
    }
}

/// A resource for some namespaces: without kubelet's word nobody has it.
#[tokio::test]
async fn whose_pod_it_is_must_be_known() {
    if !geteuid().is_root() {
        // An agent is root.
        return;
    }
    let node = Node::new(1, ", namespaces: [labs]");
    let kubelet = kubelet(&node);
    let _agent = node.start(Path::new(PROGRAM));
    kubelet.wait(RESOURCE, SOON, |known| has(known, 1)).await.unwrap_or_else(|why| panic!("{why}: {}", node.log()));
    kubelet.add_pod(POD, "vms", "virt-launcher-a");
    kubelet.admit(POD, "compute", RESOURCE, 1).await.unwrap();
    let refused = kubelet.start_container(POD, "compute").await.unwrap_err();
    let reason =
        "virt-tailor: pods of namespace vms may not have example.com/vf: this node's configuration names others";
    assert!(refused.contains("Unavailable") && refused.ends_with(reason), "{refused}");
    // It registers devices, and does not say who has them.
    std::fs::remove_file(node.path("kubelet/pod-resources/kubelet.sock")).unwrap();
    let refused = kubelet.start_container(POD, "compute").await.unwrap_err();
    let reason = "virt-tailor: example.com/vf is for some namespaces only, and kubelet has not said whose pod this is";
    assert!(refused.contains("Unavailable") && refused.ends_with(reason), "{refused}");
    // Nothing was tried: the device is as it was, and offered.
    assert!(has(&kubelet.known(RESOURCE), 1));
    let driver = node.path("host/sys/devices/pci0000:00").join(address(0)).join("driver_override");
    assert_eq!(std::fs::read_to_string(driver).unwrap(), "(null)\n");
}
