//! The whole life of a device: on the host, promised, bound, held, gone, back.

use virt_tailor::agent::{Look, Selection};
use virt_tailor::kubelet::Devices as _;

use crate::rig::{GPUS, RESOURCES, Rig, allocate, devices, offers, only, prepare, settle};
use crate::{AUDIO, GPU};

#[tokio::test]
async fn from_the_host_to_a_vm_and_back() {
    let rig = Rig::new();
    let agent = rig.start();
    let before = rig.model.picture();
    let id = only(&agent, GPUS);
    assert!(offers(&agent, GPUS)[0].healthy, "{:?}", agent.status());

    let given = allocate(&agent, GPUS, &id);
    assert_eq!(given.envs["PCI_RESOURCE_EXAMPLE_COM_GPU"], GPU);
    let nodes: Vec<&str> = given.nodes.iter().map(|node| node.host_path.as_str()).collect();
    assert_eq!(nodes, ["/dev/vfio/vfio", "/dev/vfio/1"]);
    assert_eq!(rig.model.picture(), before, "a promise changes nothing");

    prepare(&agent, GPUS, &id).await.unwrap();
    assert_eq!(rig.model.driver(GPU).as_deref(), Some("vfio-pci"));
    assert_eq!(rig.model.driver(AUDIO).as_deref(), Some("vfio-pci"));
    assert!(rig.model.root().has("dev/vfio/1"));
    let writes = rig.model.writes().len();
    prepare(&agent, GPUS, &id).await.unwrap();
    assert_eq!(rig.model.writes().len(), writes, "it is found done");
    assert!(offers(&agent, GPUS)[0].healthy, "while a VM has it, too");

    rig.pass(1);
    agent.look(&rig.seen(&[&id]));
    assert_eq!(agent.status().devices[&id.parse().unwrap()].pod.as_deref(), Some("vms/launcher"));
    // kubelet has forgotten the pod, and QEMU holds on.
    for _ in 0..10 {
        rig.pass(10);
        let held = [(id.parse().unwrap(), Default::default())].into();
        agent.look(&Look { held, ..rig.seen(&[]) });
        settle(&agent);
    }
    assert_eq!(rig.model.driver(GPU).as_deref(), Some("vfio-pci"));
    rig.pass(1);
    agent.look(&rig.seen(&[]));
    settle(&agent);
    assert_eq!(rig.model.picture(), before);
    assert!(agent.engine().ledger().is_empty() && !agent.has_anything());
}

#[tokio::test]
async fn two_that_ask_at_once_wait_for_one() {
    let rig = Rig::new();
    let agent = rig.start();
    let id = only(&agent, GPUS);
    allocate(&agent, GPUS, &id);
    let (one, two) = tokio::join!(prepare(&agent, GPUS, &id), prepare(&agent, GPUS, &id));
    assert_eq!((one, two), (Ok(()), Ok(())));
    let binds = rig.model.writes().iter().filter(|line| line.contains("drivers_probe")).count();
    assert_eq!(binds, 2, "one for each function");
}

#[tokio::test]
async fn a_vm_that_asks_while_the_last_one_is_cleared_away() {
    let rig = Rig::new();
    let agent = rig.start();
    let id = only(&agent, GPUS);
    for _ in 0..20 {
        allocate(&agent, GPUS, &id);
        prepare(&agent, GPUS, &id).await.unwrap();
        rig.pass(1);
        agent.look(&rig.seen(&[&id]));
        rig.pass(1);
        agent.look(&rig.seen(&[]));
        rig.pass(10);
        // From here on it is being given back, and promised again.
        agent.look(&rig.seen(&[]));
        allocate(&agent, GPUS, &id);
        prepare(&agent, GPUS, &id).await.unwrap();
        assert_eq!(rig.model.driver(GPU).as_deref(), Some("vfio-pci"));
    }
    rig.pod_gone(&agent);
    assert!(agent.engine().ledger().is_empty());
}

#[tokio::test]
async fn a_promise_without_a_pod_lapses() {
    let rig = Rig::new();
    let agent = rig.start();
    let before = rig.model.picture();
    let id = only(&agent, GPUS);
    allocate(&agent, GPUS, &id);
    prepare(&agent, GPUS, &id).await.unwrap();
    rig.pod_gone(&agent);
    assert_eq!(rig.model.picture(), before);
    assert_eq!(agent.status().devices[&id.parse().unwrap()].promised, None);
    let error = prepare(&agent, GPUS, &id).await.unwrap_err();
    assert!(error.reason.contains("was promised to nobody"), "{error}");
}

#[tokio::test]
async fn an_unknown_id_is_the_only_error_of_a_promise() {
    let rig = Rig::new();
    let agent = rig.start();
    let id = only(&agent, GPUS);
    let of_another = only(&agent, "example.com/nic");
    for wrong in ["", "../../etc/passwd", "0000:09:00.0-00000000", &of_another] {
        assert!(devices(&agent, GPUS).allocate(&[wrong.to_owned()]).is_err(), "{wrong}");
    }
    assert!(devices(&agent, GPUS).allocate(&[id]).is_ok());
}

#[tokio::test]
async fn what_is_kept_stays_bound_until_a_person_wants_it_back() {
    let rig = Rig::new();
    let kept = "  - {name: example.com/gpu, selector: {class: \"1201\"}, companions: auto, release: keep}\n";
    let agent = rig.start_with(rig.hands.clone(), kept);
    let before = rig.model.picture();
    let id = only(&agent, GPUS);
    allocate(&agent, GPUS, &id);
    prepare(&agent, GPUS, &id).await.unwrap();
    rig.pod_gone(&agent);
    assert_eq!(rig.model.driver(GPU).as_deref(), Some("vfio-pci"));
    let writes = rig.model.writes().len();
    allocate(&agent, GPUS, &id);
    prepare(&agent, GPUS, &id).await.unwrap();
    assert_eq!(rig.model.writes().len(), writes);
    let taken = agent.release(&Selection::Resource(GPUS.to_owned())).await;
    assert!(taken.len() == 1 && taken[0].stays.is_none(), "{taken:?}");
    assert_eq!(rig.model.picture(), before);
    assert!(!agent.has_anything());
}

/// What is not put back at once serves the next VM as it is, and goes back when its time has come, or when somebody says so.
#[tokio::test]
async fn a_device_rests_for_as_long_as_its_resource_says() {
    for (policy, rests) in [("{afterIdle: 10m}", Some(600)), ("keep", None)] {
        let rig = Rig::new();
        let resources = RESOURCES.replace("companions: auto}", &format!("companions: auto, release: {policy}}}"));
        let mut agent = rig.start_with(rig.hands.clone(), &resources);
        let before = rig.model.picture();
        let id = only(&agent, GPUS);
        let mut writes = 0;
        for vm in 0..3 {
            allocate(&agent, GPUS, &id);
            prepare(&agent, GPUS, &id).await.unwrap();
            match vm {
                0 => writes = rig.model.writes().len(),
                _ => assert_eq!(rig.model.writes().len(), writes, "{policy}: it is found done"),
            }
            rig.pass(1);
            agent.look(&rig.seen(&[&id]));
            for _ in 0..3 {
                rig.pass(11);
                agent.look(&rig.seen(&[]));
                settle(&agent);
            }
            assert_eq!(rig.model.driver(GPU).as_deref(), Some("vfio-pci"), "{policy}");
            if vm == 1 {
                // The next agent takes it up as it is.
                drop(agent);
                agent = rig.start_with(rig.hands.clone(), &resources);
            }
        }
        rig.pass(rests.unwrap_or(1_000_000) - 60);
        agent.look(&rig.seen(&[]));
        settle(&agent);
        assert_eq!(rig.model.driver(GPU).as_deref(), Some("vfio-pci"), "{policy}: not yet");
        rig.pass(60);
        agent.look(&rig.seen(&[]));
        settle(&agent);
        if rests.is_none() {
            assert_eq!(rig.model.driver(GPU).as_deref(), Some("vfio-pci"), "{policy}");
            let taken = agent.release(&Selection::All).await;
            assert!(taken.iter().all(|taken| taken.stays.is_none()), "{taken:?}");
        }
        assert_eq!(rig.model.picture(), before, "{policy}");
        assert!(agent.engine().ledger().is_empty(), "{policy}");
    }
}
