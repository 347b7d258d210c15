//! Two VMs for one group at the same time.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use tokio::runtime::Builder;
use virt_tailor::kubelet::NotReady;

use crate::rig::{GPUS, Opened, Rig, TestAgent, allocate, only, prepare, settle};
use crate::{AUDIO, GPU};

/// What becomes of a container.
#[derive(Debug, PartialEq)]
enum Start {
    Runs,
    /// It was created, and its QEMU could not open the group.
    Busy,
    Refused(NotReady),
}

/// kubelet creates a pod's container, in which QEMU begins at once.
fn start(agent: &TestAgent, id: &str, opened: &Opened, pod: &str) -> Start {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(prepare(agent, GPUS, id)) {
        Err(refused) => Start::Refused(refused),
        Ok(()) if opened.open(pod) => Start::Runs,
        Ok(()) => Start::Busy,
    }
}

/// Both functions of the group fit the resource, and there is one id for them: a kubelet that knows what it gave does not admit the
/// second pod. This is one that has forgotten, so it asks for both, and nothing in what it asks tells the pods apart.
#[test]
fn one_of_two_pods_has_the_group_and_the_other_is_told_who() {
    let rig = Rig::new();
    let both = format!(
        "  - {{name: {GPUS}, selector: {{address: [\"{GPU}\", \"{AUDIO}\"]}}, companions: auto, nodes: [n]}}\n"
    );
    let agent = rig.start_with(rig.hands.clone(), &both);
    let before = rig.model.picture();
    let id = only(&agent, GPUS);
    let mut winners = BTreeSet::new();
    for round in 0..20 {
        let pods = ["pod-a", "pod-b"];
        for _ in pods {
            allocate(&agent, GPUS, &id);
        }
        let writes = rig.model.writes().len();
        let line = Barrier::new(2);
        let at_once = &|pod| {
            line.wait();
            (pod, start(&agent, &id, &rig.opened, pod))
        };
        let starts = thread::scope(|scope| {
            pods.map(|pod| scope.spawn(move || at_once(pod))).map(|started| started.join().unwrap())
        });
        let running: Vec<&str> =
            starts.iter().filter(|(_, start)| *start == Start::Runs).map(|(pod, _)| *pod).collect();
        let [winner] = running.as_slice() else { panic!("round {round}: {starts:?}") };
        winners.insert(*winner);
        let binds = rig.model.writes()[writes..].iter().filter(|line| line.contains("drivers_probe")).count();
        assert_eq!(binds, 2, "round {round}: once for each function");

        // The loser's container is started again and again.
        let loser = if *winner == "pod-a" { "pod-b" } else { "pod-a" };
        let writes = rig.model.writes().len();
        for _ in 0..3 {
            let refused = match start(&agent, &id, &rig.opened, loser) {
                Start::Refused(refused) => refused.reason,
                other => panic!("round {round}: {other:?}"),
            };
            assert!(refused.ends_with(&format!("is open in process 4711 (qemu-kvm, pod {winner})")), "{refused}");
            assert!(!refused.contains('\n'), "{refused}");
        }
        assert_eq!(rig.model.driver(GPU).as_deref(), Some("vfio-pci"));

        // The winner goes, and the loser has it as it is.
        rig.opened.close();
        assert_eq!(start(&agent, &id, &rig.opened, loser), Start::Runs, "round {round}");
        assert_eq!(rig.model.writes().len(), writes, "round {round}: nothing was done to it meanwhile");
        rig.opened.close();
        rig.pod_gone(&agent);
        settle(&agent);
        assert_eq!(rig.model.picture(), before, "round {round}");
    }
    println!("won: {winners:?}");
}
