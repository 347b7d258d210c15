//! What is in the way, and that it is said.

use std::os::unix::fs::symlink;

use virt_tailor::agent::{Answer, DeviceId, Look, Moment};
use virt_tailor::kubelet::Devices as _;
use virt_tailor::prep::Owner;
use virt_tailor::prep::journal::Request;

use crate::GPU;
use crate::model::Fault;
use crate::rig::{GPUS, Rig, allocate, devices, offers, only, prepare, settle};

#[tokio::test]
async fn a_device_that_hangs_is_not_offered_until_it_is_gone() {
    let rig = Rig::new();
    let agent = rig.start();
    let before = rig.model.picture();
    let id = only(&agent, GPUS);
    allocate(&agent, GPUS, &id);
    rig.model.fault(&format!("sys/bus/pci/devices/{GPU}/driver/unbind"), Fault::Hang);
    let error = prepare(&agent, GPUS, &id).await.unwrap_err();
    assert!(error.reason.contains("driver/unbind has not returned"), "{error}");
    settle(&agent);
    assert!(!offers(&agent, GPUS)[0].healthy);
    let unhealthy = agent.status().devices[&id.parse().unwrap()].unhealthy.clone().unwrap();
    assert!(unhealthy.contains("hangs in the kernel"), "{unhealthy}");
    let error = prepare(&agent, GPUS, &id).await.unwrap_err();
    assert!(!error.reason.contains('\n'), "{error}");
    rig.model.mend();
    rig.hands.let_go();
    agent.refresh().unwrap();
    assert!(offers(&agent, GPUS)[0].healthy, "without a restart: {:?}", agent.status());
    prepare(&agent, GPUS, &id).await.unwrap();
    rig.pod_gone(&agent);
    assert_eq!(rig.model.picture(), before);
}

#[tokio::test]
async fn a_group_that_is_no_longer_the_promised_one() {
    let rig = Rig::new();
    let agent = rig.start();
    let id = only(&agent, GPUS);
    allocate(&agent, GPUS, &id);
    let root = rig.model.root();
    std::fs::rename(root.path("sys/kernel/iommu_groups/1"), root.path("sys/kernel/iommu_groups/5")).unwrap();
    for function in [GPU, crate::AUDIO] {
        let link = root.path(format!("sys/bus/pci/devices/{function}/iommu_group"));
        std::fs::remove_file(&link).unwrap();
        symlink("../../../../kernel/iommu_groups/5", link).unwrap();
    }
    let writes = rig.model.writes();
    let error = prepare(&agent, GPUS, &id).await.unwrap_err();
    assert!(error.reason.contains("was promised as IOMMU group 1 and is in 5 now"), "{error}");
    assert_eq!(rig.model.writes(), writes);
    agent.refresh().unwrap();
    assert_eq!(allocate(&agent, GPUS, &id).nodes[1].host_path, "/dev/vfio/5");
}

#[tokio::test]
async fn a_namespace_that_may_not_have_it() {
    let rig = Rig::new();
    let some = "  - {name: example.com/gpu, selector: {class: \"1201\"}, companions: auto, namespaces: [labs]}\n";
    let agent = rig.start_with(rig.hands.clone(), some);
    let id = only(&agent, GPUS);
    allocate(&agent, GPUS, &id);
    let asks = async {
        agent.look_wanted().await;
        rig.pass(1);
        agent.look(&rig.seen(&[&id]));
    };
    let (refused, ()) = tokio::join!(prepare(&agent, GPUS, &id), asks);
    let reason = refused.unwrap_err().reason;
    assert!(reason.contains("pods of namespace vms may not have example.com/gpu"), "{reason}");
    let status = agent.status();
    assert_eq!(status.refused[&id.parse().unwrap()].reason, reason);
    assert_eq!(status.refusals[GPUS], 1);
    assert_eq!(rig.model.writes(), [""; 0]);
}

/// A resource for some namespaces: nobody has it before kubelet has said whose it is.
#[tokio::test(start_paused = true)]
async fn who_is_not_named_has_nothing_that_is_for_some_namespaces() {
    let rig = Rig::new();
    let some = "  - {name: example.com/gpu, selector: {class: \"1201\"}, companions: auto, namespaces: [vms]}\n";
    let agent = rig.start_with(rig.hands.clone(), some);
    let id = only(&agent, GPUS);
    allocate(&agent, GPUS, &id);
    let device: DeviceId = id.parse().unwrap();
    let nobody = "example.com/gpu is for some namespaces only, and kubelet has not said whose pod this is";

    // What it said before this container is of another.
    rig.pass(1);
    agent.look(&rig.seen(&[&id]));
    rig.pass(1);
    let silent = Look { kubelet: None, ..rig.seen(&[&id]) };
    let others = rig.seen(&[]);
    let late =
        Look { kubelet: Some(Answer { asked: Moment(0), ..rig.seen(&[&id]).kubelet.unwrap() }), ..silent.clone() };
    for look in [None, Some(silent), Some(others), Some(late)] {
        let answer = async {
            agent.look_wanted().await;
            if let Some(look) = &look {
                agent.look(look);
            }
        };
        let (refused, ()) = tokio::join!(prepare(&agent, GPUS, &id), answer);
        assert_eq!(refused.unwrap_err().reason, nobody, "{look:?}");
        rig.pass(20);
    }
    // Two pods, one of which may have it.
    let mut seen = rig.seen(&[&id]);
    let answer = seen.kubelet.as_mut().unwrap();
    answer.contested.insert(device.clone());
    let both = async {
        agent.look_wanted().await;
        agent.look(&seen);
    };
    let (refused, ()) = tokio::join!(prepare(&agent, GPUS, &id), both);
    assert!(refused.unwrap_err().reason.ends_with("and kubelet names two pods that have it"));

    assert_eq!(rig.model.writes(), [""; 0]);
    assert_eq!(agent.status().refusals[GPUS], 5);
    assert!(offers(&agent, GPUS)[0].healthy, "the device is not in the way: {:?}", agent.status().refused[&device]);
    // kubelet asks again, and answers. What is done now takes time.
    tokio::time::resume();
    rig.pass(20);
    let asks = async {
        agent.look_wanted().await;
        rig.pass(1);
        agent.look(&rig.seen(&[&id]));
    };
    let (ready, ()) = tokio::join!(prepare(&agent, GPUS, &id), asks);
    ready.unwrap();
    assert_eq!(rig.model.driver(GPU).as_deref(), Some("vfio-pci"));
}

/// One answer for all devices of a container, and no wait for what is looked for besides.
#[tokio::test]
async fn many_devices_are_asked_about_once() {
    let more: Vec<_> = (0..8).map(|index| (format!("0000:40:00.{index}"), 100 + index, "igb")).collect();
    let rig = Rig::with(&more);
    let addresses = more.iter().map(|(address, ..)| format!("\"{address}\"")).collect::<Vec<_>>().join(", ");
    let resource = "example.com/vf";
    let some =
        format!("  - {{name: {resource}, selector: {{address: [{addresses}]}}, nodes: [n], namespaces: [vms]}}\n");
    let agent = rig.start_with(rig.hands.clone(), &some);
    let ids: Vec<String> = offers(&agent, resource).into_iter().map(|offer| offer.id).collect();
    assert_eq!(ids.len(), 8, "{:?}", agent.status());
    devices(&agent, resource).allocate(&ids).unwrap();
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    // kubelet answers once; nobody gets to look around.
    let once = async {
        agent.look_wanted().await;
        rig.pass(1);
        agent.hear(&rig.seen(&all).kubelet.unwrap());
    };
    let prepared = devices(&agent, resource);
    let (ready, ()) = tokio::join!(prepared.prepare(&ids), once);
    ready.unwrap();
    for (address, ..) in &more {
        assert_eq!(rig.model.driver(address).as_deref(), Some("vfio-pci"));
    }
}

/// One that is for everybody does not wait for kubelet's word.
#[tokio::test]
async fn what_is_for_everybody_is_given_though_kubelet_is_silent() {
    let rig = Rig::new();
    let agent = rig.start();
    let id = only(&agent, GPUS);
    allocate(&agent, GPUS, &id);
    prepare(&agent, GPUS, &id).await.unwrap();
}

#[tokio::test]
async fn what_fails_is_undone_and_lasting_refusals_are_unhealthy() {
    let rig = Rig::new();
    let agent = rig.start();
    let before = rig.model.picture();
    let id = only(&agent, GPUS);
    allocate(&agent, GPUS, &id);
    rig.model.fault(&format!("sys/bus/pci/devices/{GPU}/driver/unbind"), Fault::Errno(nix::libc::EIO, u32::MAX));
    for healthy in [true, true, false] {
        prepare(&agent, GPUS, &id).await.unwrap_err();
        rig.pass(20);
        settle(&agent);
        // As it is by the kernel's messages about the very plan that failed.
        agent.refresh().unwrap();
        assert_eq!(offers(&agent, GPUS)[0].healthy, healthy);
    }
    // Nobody tries it any more. Some day somebody may.
    for (seconds, healthy) in [(330, false), (11, true)] {
        rig.pass(seconds);
        agent.refresh().unwrap();
        assert_eq!(offers(&agent, GPUS)[0].healthy, healthy);
    }
    rig.model.mend();
    prepare(&agent, GPUS, &id).await.unwrap();
    assert!(offers(&agent, GPUS)[0].healthy);
    assert_eq!(agent.status().refused.len(), 0);
    rig.pod_gone(&agent);
    assert_eq!(rig.model.picture(), before);
}

/// What a look can show is looked for again, and in vain as soon as it is gone.
#[tokio::test]
async fn what_was_in_the_way_for_long_and_is_gone_is_healthy() {
    let rig = Rig::new();
    let agent = rig.start();
    let id = only(&agent, GPUS);
    allocate(&agent, GPUS, &id);
    prepare(&agent, GPUS, &id).await.unwrap();
    let request = agent.engine().ledger().holdings.into_values().next().unwrap().request;
    rig.pod_gone(&agent);
    let owner: Owner = "person".parse().unwrap();
    agent.engine().apply(&Request { owner: owner.clone(), ..request }, &mut |_| ()).unwrap();
    allocate(&agent, GPUS, &id);
    for healthy in [true, true, false] {
        let error = prepare(&agent, GPUS, &id).await.unwrap_err();
        assert!(error.reason.contains("belongs to person"), "{error}");
        rig.pass(20);
        settle(&agent);
        agent.refresh().unwrap();
        assert_eq!(offers(&agent, GPUS)[0].healthy, healthy);
    }
    agent.engine().undo(&owner, &mut |_| ()).unwrap();
    agent.refresh().unwrap();
    assert!(offers(&agent, GPUS)[0].healthy);
}
