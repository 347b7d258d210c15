//! Another configuration while VMs run.

use crate::GPU;
use crate::rig::{GPUS, RESOURCES, Rig, TestAgent, allocate, config, offers, only, prepare, settle};

const NICS: &str = "example.com/nic";
const NIC_ALONE: &str = "  - {name: example.com/nic, selector: {class: \"1200\"}}\n";

#[tokio::test]
async fn what_is_removed_while_owned_stays_listed_until_it_is_free() {
    let rig = Rig::new();
    let agent = rig.start();
    let before = rig.model.picture();
    let id = only(&agent, GPUS);
    allocate(&agent, GPUS, &id);
    prepare(&agent, GPUS, &id).await.unwrap();
    rig.pass(1);
    agent.look(&rig.seen(&[&id]));
    agent.reload(config(NIC_ALONE)).unwrap();
    let list = offers(&agent, GPUS);
    assert!(list.len() == 1 && !list[0].healthy, "{list:?}");
    assert_eq!(agent.resources().borrow().len(), 2);
    assert_eq!(rig.model.driver(GPU).as_deref(), Some("vfio-pci"));
    let error = prepare(&agent, GPUS, &id).await.unwrap_err();
    assert!(error.reason.contains("no longer in this node's configuration"), "{error}");
    rig.pod_gone(&agent);
    assert_eq!(rig.model.picture(), before);
    agent.refresh().unwrap();
    assert_eq!(agent.resources().borrow().iter().collect::<Vec<_>>(), [NICS]);
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_changes_nothing() {
    let rig = Rig::new();
    let agent = rig.start();
    let shown = (offers(&agent, GPUS), offers(&agent, NICS));
    let two = format!("{RESOURCES}  - {{name: example.com/any, selector: {{vendor: \"8086\"}}, companions: auto}}\n");
    let reasons = agent.reload(config(&two)).unwrap_err();
    assert!(reasons.iter().any(|reason| reason.contains("example.com/gpu") && reason.contains("example.com/any")));
    agent.refresh().unwrap();
    assert_eq!((offers(&agent, GPUS), offers(&agent, NICS)), shown);
    settle(&agent);
}

/// What an agent starts with is served as far as it fits: a device that was plugged in since and that two select keeps no other back.
#[tokio::test]
async fn the_first_configuration_is_served_as_far_as_it_fits() {
    let rig = Rig::new();
    let agent = rig.start();
    let two = format!("{RESOURCES}  - {{name: example.com/any, selector: {{vendor: \"8086\"}}, companions: auto}}\n");
    agent.begin_with(config(&two)).unwrap();
    assert!(offers(&agent, GPUS)[0].healthy && offers(&agent, NICS)[0].healthy);
    let problems = agent.status().problems;
    assert!(problems.iter().any(|problem| problem.contains("example.com/any")), "{problems:?}");
}

#[tokio::test]
async fn what_is_added_is_offered() {
    let rig = Rig::new();
    let agent = rig.start_with(rig.hands.clone(), NIC_ALONE);
    assert_eq!(agent.resources().borrow().len(), 1);
    let mut resources = agent.resources();
    resources.borrow_and_update();
    agent.reload(config(RESOURCES)).unwrap();
    assert!(resources.has_changed().unwrap());
    assert!(offers(&agent, GPUS)[0].healthy);
}

#[tokio::test]
async fn what_is_moved_to_another_resource_while_owned_is_given_to_nobody_else() {
    let other = "  - {name: example.com/other, selector: {class: \"1201\"}, companions: auto}\n";
    let rig = Rig::new();
    let agent = rig.start();
    let before = rig.model.picture();
    let id = only(&agent, GPUS);
    allocate(&agent, GPUS, &id);
    prepare(&agent, GPUS, &id).await.unwrap();
    rig.pass(1);
    agent.look(&rig.seen(&[&id]));
    agent.reload(config(other)).unwrap();
    let listed_as_before = |agent: &TestAgent| {
        let list = offers(agent, GPUS);
        assert!(list.len() == 1 && !list[0].healthy, "{list:?}");
        assert_eq!(offers(agent, "example.com/other"), []);
    };
    listed_as_before(&agent);
    // Another agent knows it from the promise.
    drop(agent);
    let agent = rig.start_with(rig.hands.clone(), other);
    listed_as_before(&agent);
    rig.pod_gone(&agent);
    assert_eq!(rig.model.picture(), before);
    agent.refresh().unwrap();
    assert_eq!(agent.resources().borrow().iter().collect::<Vec<_>>(), ["example.com/other"]);
    let id = only(&agent, "example.com/other");
    allocate(&agent, "example.com/other", &id);
    prepare(&agent, "example.com/other", &id).await.unwrap();
}
