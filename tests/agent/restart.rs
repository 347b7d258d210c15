//! Agents come and go; what they began is finished or undone, and nothing live is touched.

use virt_tailor::agent::Look;

use crate::hand::ModelHands;
use crate::rig::{GPUS, RESOURCES, Rig, UID, allocate, only, prepare, settle};
use crate::{AUDIO, GPU};

#[tokio::test]
async fn at_each_stage() {
    for stage in 0..4 {
        let rig = Rig::new();
        let agent = rig.start();
        let before = rig.model.picture();
        let id = only(&agent, GPUS);
        let again = |agent| {
            drop(agent);
            let agent = rig.start();
            assert_eq!(only(&agent, GPUS), id, "the id is the same");
            agent
        };
        let agent = if stage == 0 { again(agent) } else { agent };
        allocate(&agent, GPUS, &id);
        let agent = if stage == 1 { again(agent) } else { agent };
        prepare(&agent, GPUS, &id).await.unwrap();
        let writes = rig.model.writes();
        let agent = if stage == 2 { again(agent) } else { agent };
        assert_eq!(rig.model.writes(), writes, "what is live is adopted");
        rig.pass(1);
        agent.look(&rig.seen(&[&id]));
        let agent = if stage == 3 { again(agent) } else { agent };
        assert_eq!(rig.model.writes(), writes);
        assert_eq!(rig.model.driver(GPU).as_deref(), Some("vfio-pci"));
        rig.pod_gone(&agent);
        assert_eq!(rig.model.picture(), before, "stage {stage}");
        assert!(agent.engine().ledger().is_empty(), "stage {stage}");
    }
}

#[tokio::test]
async fn killed_at_every_action() {
    let mut places = 0;
    loop {
        let rig = Rig::new();
        let agent = rig.start_with(ModelHands::dying_at(&rig.model, places), RESOURCES);
        let before = rig.model.picture();
        let id = only(&agent, GPUS);
        allocate(&agent, GPUS, &id);
        let died = prepare(&agent, GPUS, &id).await.is_err();
        settle(&agent);
        drop(agent);
        let agent = rig.start();
        // kubelet asks again for the same container.
        prepare(&agent, GPUS, &id).await.unwrap();
        assert_eq!(rig.model.driver(AUDIO).as_deref(), Some("vfio-pci"), "place {places}");
        rig.pod_gone(&agent);
        assert_eq!(rig.model.picture(), before, "place {places}");
        assert!(agent.engine().ledger().is_empty());
        if !died {
            break;
        }
        places += 1;
    }
    assert!(places >= 12, "{places}");
}

#[tokio::test]
async fn another_boot_begins_anew_and_the_promise_is_remembered() {
    let mut rig = Rig::new();
    let agent = rig.start();
    let id = only(&agent, GPUS);
    allocate(&agent, GPUS, &id);
    prepare(&agent, GPUS, &id).await.unwrap();
    settle(&agent);
    drop(agent);
    // The machine is as it was, and counts its groups anew.
    rig.model.set(GPU, Some("nouveau"), "(null)");
    rig.model.set(AUDIO, Some("snd_hda_intel"), "(null)");
    rig.boot = "another".to_owned();
    rig.clock.store(500, std::sync::atomic::Ordering::SeqCst);
    let agent = rig.start();
    assert!(agent.engine().ledger().is_empty());
    // kubelet answers from memory: the group is the same one, so it may have it.
    prepare(&agent, GPUS, &id).await.unwrap();
    rig.pod_gone(&agent);
    assert_eq!(rig.model.driver(GPU).as_deref(), Some("nouveau"));
}

/// While there was no agent the pod was deleted by force. QEMU, which kubelet does not name any more, is about to open the group.
#[tokio::test]
async fn what_is_left_of_a_pod_keeps_its_device() {
    for older in [false, true] {
        let rig = Rig::new();
        let agent = rig.start();
        let before = rig.model.picture();
        let id = only(&agent, GPUS);
        allocate(&agent, GPUS, &id);
        prepare(&agent, GPUS, &id).await.unwrap();
        rig.pass(1);
        agent.look(&rig.seen(&[&id]));
        settle(&agent);
        drop(agent);
        let promise = std::fs::read_dir(rig.state.path().join("promises")).unwrap().next().unwrap().unwrap().path();
        let text = std::fs::read_to_string(&promise).unwrap();
        let without = text.replace(&format!(",\"uids\":[\"{UID}\"]"), "");
        assert_ne!(text, without);
        if older {
            std::fs::write(&promise, &without).unwrap();
        }
        let agent = rig.start();
        let pass = |left: &[&str], seconds: u64| {
            for _ in 0..seconds / 10 {
                rig.pass(10);
                let cgroups = Some(left.iter().map(ToString::to_string).collect());
                agent.look(&Look { cgroups, ..rig.seen(&[]) });
                settle(&agent);
            }
        };
        let stays = || rig.model.driver(GPU).as_deref() == Some("vfio-pci");
        pass(&[UID], 50);
        assert!(stays());
        pass(&[UID], 300);
        // What an older agent wrote says not whose it is: then it lapses, as ever.
        assert_eq!(stays(), !older);
        // Its control group has gone; another's is nothing to it.
        pass(&[&UID.replace('1', "2")], 20);
        assert!(!stays());
        assert_eq!(rig.model.picture(), before);
        assert!(agent.engine().ledger().is_empty());
    }
}
