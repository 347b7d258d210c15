//! A node hook and a sidecar ask for the same pod: the hook first, and it knows nothing of memory locks.

use virt_tailor::link::{Errands as _, Memlock, Pod, Refusal, Reply, Request};

use crate::rig::{RESOURCES, Rig, TestAgent, UID, settle};

const PROFILES: &str = "  profiles:
  - {name: quiet, namespaces: [vms], steps: [{irqs: {away: 2-3}}, {memlock: 1Gi}]}
";

fn rig() -> (Rig, TestAgent) {
    let rig = Rig::new();
    rig.write("sys/fs/cgroup/cgroup.procs", "");
    rig.write(&format!("sys/fs/cgroup/kubepods/pod{UID}/cgroup.procs"), "");
    let agent = start(&rig);
    (rig, agent)
}

fn start(rig: &Rig) -> TestAgent {
    rig.start_with(rig.hands.clone(), &format!("{RESOURCES}{PROFILES}"))
}

/// QEMU runs from now on, and may lock whatever it likes already: none of this is a real process.
fn run(rig: &Rig) {
    rig.write(&format!("sys/fs/cgroup/kubepods/pod{UID}/cgroup.procs"), "4242\n");
    rig.write("proc/4242/stat", "4242 (qemu-kvm) S 1 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 13 1 2");
    rig.write("proc/4242/cmdline", "/usr/libexec/qemu-kvm\0-name\0guest=vms_a,debug-threads=on\0-S\0");
    rig.write("proc/4242/limits", "Max locked memory         unlimited            unlimited            bytes\n");
    let exe = rig.model.root().path("proc/4242/exe");
    std::os::unix::fs::symlink("/usr/libexec/qemu-kvm", exe).unwrap();
}

async fn ask(agent: &TestAgent, profile: &str, memlock: Option<Memlock>) -> Result<Reply, Refusal> {
    let pod = Pod { uid: UID.to_owned(), namespace: "vms".to_owned(), name: "launcher".to_owned() };
    agent.errands().ask(&pod, Request::Prepare { node_profiles: vec![profile.to_owned()], memlock }).await
}

#[tokio::test]
async fn a_lock_is_added_once() {
    let (rig, agent) = rig();
    // Nobody runs in this pod whose lock could be raised.
    let ready = Ok(Reply::Ready { lock_confirmed: false });
    let lock = Some(Memlock::Bytes(2 << 30));
    assert_eq!(ask(&agent, "quiet", None).await, ready);
    assert_eq!(ask(&agent, "quiet", lock).await, ready);
    assert!(agent.has_locks());
    assert_eq!(ask(&agent, "quiet", None).await, ready, "the hook comes again");
    assert_eq!(ask(&agent, "quiet", lock).await, ready);
    for (profile, memlock) in [("quiet", Some(Memlock::Unlimited)), ("other", None), ("other", lock)] {
        let refused = ask(&agent, profile, memlock).await.unwrap_err();
        assert!(refused.reason.ends_with("a pod is prepared once"), "{refused}");
    }
    assert!(agent.has_locks());
    assert_eq!(rig.model.root().text("proc/irq/1/smp_affinity_list").unwrap().unwrap(), "0-1,4-7");
}

#[tokio::test]
async fn a_lock_is_not_added_to_a_vm_that_runs() {
    let (rig, agent) = rig();
    assert!(ask(&agent, "quiet", None).await.is_ok());
    run(&rig);
    assert!(ask(&agent, "quiet", None).await.is_ok(), "what is there is there");
    let refused = ask(&agent, "quiet", Some(Memlock::Bytes(2 << 30))).await.unwrap_err();
    assert!(refused.reason.starts_with("this pod's VM runs already"), "{refused}");
}

/// A guest that has broken out takes the sidecar's place, and waits for an agent that knows nothing of what was asked.
#[tokio::test]
async fn a_lock_is_not_raised_for_a_vm_that_runs_after_a_restart() {
    let (rig, agent) = rig();
    let held = Some(Memlock::Bytes(2 << 30));
    assert!(ask(&agent, "quiet", held).await.is_ok());
    let path = rig.state.path().join("locks").join(UID);
    let kept = || std::fs::read_to_string(&path).unwrap();
    assert_eq!(kept(), (2_u64 << 30).to_string());
    let restart = |agent: TestAgent| {
        settle(&agent);
        drop(agent);
        start(&rig)
    };
    let mut agent = restart(agent);
    run(&rig);
    for more in [Memlock::Unlimited, Memlock::Bytes((2 << 30) + 1)] {
        for _ in 0..2 {
            let refused = ask(&agent, "quiet", Some(more)).await.unwrap_err();
            assert!(refused.reason.starts_with("this pod's VM runs already"), "{refused}");
        }
    }
    // What it had it is told of again, in whatever order hook and sidecar come.
    for first in [None, held] {
        agent = restart(agent);
        for asked in [first, held] {
            let ready = Ok(Reply::Ready { lock_confirmed: asked.is_some() });
            assert_eq!(ask(&agent, "quiet", asked).await, ready);
        }
        assert!(ask(&agent, "quiet", Some(Memlock::Unlimited)).await.is_err());
    }
    assert_eq!(kept(), (2_u64 << 30).to_string());
}
