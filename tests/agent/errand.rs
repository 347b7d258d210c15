//! What pods ask for over their link.

use virt_tailor::agent::{Look, Selection, cgroups_of_pods};
use virt_tailor::link::{Errands as _, Memlock, Pod, Refusal, Reply, Request};

use crate::rig::{GPUS, RESOURCES, Rig, TestAgent, UID, allocate, only, settle};

const PROFILES: &str = "  profiles:
  - {name: quiet, namespaces: [vms], steps: [{irqs: {away: 2-3}}]}
";

fn pod(namespace: &str) -> Pod {
    Pod { uid: UID.to_owned(), namespace: namespace.to_owned(), name: "launcher".to_owned() }
}

fn quiet(memlock: Option<Memlock>) -> Request {
    Request::Prepare { node_profiles: vec!["quiet".to_owned()], memlock }
}

/// A pod in which nothing runs yet.
fn rig() -> (Rig, TestAgent) {
    let rig = Rig::new();
    rig.write("sys/fs/cgroup/cgroup.procs", "");
    rig.write(&format!("sys/fs/cgroup/kubepods/pod{UID}/cgroup.procs"), "");
    let agent = rig.start_with(rig.hands.clone(), &format!("{RESOURCES}{PROFILES}"));
    (rig, agent)
}

async fn ask(agent: &TestAgent, pod: &Pod, request: Request) -> Result<Reply, Refusal> {
    agent.errands().ask(pod, request).await
}

fn irq(rig: &Rig) -> String {
    rig.model.root().text("proc/irq/1/smp_affinity_list").unwrap().unwrap()
}

#[tokio::test]
async fn a_profile_until_the_pod_is_gone() {
    let (rig, agent) = rig();
    let ready = Ok(Reply::Ready { lock_confirmed: false });
    assert_eq!(ask(&agent, &pod("vms"), quiet(None)).await, ready);
    assert_eq!(irq(&rig), "0-1,4-7");
    assert_eq!(ask(&agent, &pod("vms"), quiet(None)).await, ready, "asked again it is found done");
    assert_eq!(ask(&agent, &pod("vms"), Request::Status).await, ready);
    let other = Request::Prepare { node_profiles: Vec::new(), memlock: None };
    assert!(ask(&agent, &pod("vms"), other).await.is_err(), "a pod is prepared once");

    // An agent that comes later knows whose it is.
    settle(&agent);
    drop(agent);
    let agent = rig.start_with(rig.hands.clone(), &format!("{RESOURCES}{PROFILES}"));
    let groups = || cgroups_of_pods(&rig.model.root()).map(|pods| pods.into_keys().collect());
    rig.pass(1);
    agent.look(&Look { cgroups: groups(), ..rig.seen(&[]) });
    settle(&agent);
    assert_eq!(irq(&rig), "0-1,4-7");
    std::fs::remove_dir_all(rig.model.root().path(format!("sys/fs/cgroup/kubepods/pod{UID}"))).unwrap();
    rig.pass(1);
    agent.look(&Look { cgroups: groups(), ..rig.seen(&[]) });
    settle(&agent);
    assert_eq!(irq(&rig), "0-7");
    assert!(agent.engine().ledger().is_empty() && !agent.has_anything());
}

/// A node hook has asked for it and does not ask again; nor does a sidecar that was itself started anew.
#[tokio::test]
async fn a_memory_lock_until_the_pod_is_gone() {
    let locked = format!("{RESOURCES}{}", PROFILES.replace("{irqs: {away: 2-3}}", "{memlock: 6Gi}"));
    let rig = Rig::new();
    rig.write("sys/fs/cgroup/cgroup.procs", "");
    let group = format!("sys/fs/cgroup/kubepods/pod{UID}/cgroup.procs");
    let start = || {
        rig.write(&group, "");
        rig.start_with(rig.hands.clone(), &locked)
    };
    let restart = |agent: TestAgent| {
        settle(&agent);
        drop(agent);
        start()
    };
    let groups = || cgroups_of_pods(&rig.model.root()).map(|pods| pods.into_keys().collect());
    let kept = || std::fs::read_dir(rig.state.path().join("locks")).map_or(0, Iterator::count);
    let agent = start();
    assert!(!agent.has_locks());
    ask(&agent, &pod("vms"), quiet(None)).await.unwrap();
    assert!(agent.has_locks());
    // What crashed agents have left of pods that hold nothing.
    rig.write_state("locks/2f2e3d4c-0a1b-4c5d-8e9f-001122334455", "unlimited");
    let agent = restart(agent);
    assert!(agent.has_locks());
    assert_eq!(kept(), 1);
    rig.pass(1);
    agent.look(&Look { cgroups: groups(), ..rig.seen(&[]) });
    assert!(agent.has_locks());

    // Its end by itself, by its own word, and by a person's.
    std::fs::remove_dir_all(rig.model.root().path(group.trim_end_matches("/cgroup.procs"))).unwrap();
    rig.pass(1);
    agent.look(&Look { cgroups: groups(), ..rig.seen(&[]) });
    settle(&agent);
    assert!(!agent.has_locks());
    assert_eq!(kept(), 0);
    let agent = restart(agent);
    assert!(!agent.has_locks());
    ask(&agent, &pod("vms"), quiet(None)).await.unwrap();
    assert_eq!(kept(), 1);
    assert_eq!(ask(&agent, &pod("vms"), Request::Release).await, Ok(Reply::Released));
    assert_eq!(kept(), 0);
    assert!(!agent.has_locks());
    let agent = restart(agent);
    ask(&agent, &pod("vms"), quiet(None)).await.unwrap();
    settle(&agent);
    std::fs::remove_dir_all(rig.model.root().path(group.trim_end_matches("/cgroup.procs"))).unwrap();
    let taken = agent.release(&Selection::All).await;
    assert!(taken.iter().all(|one| one.stays.is_none()), "{taken:?}");
    assert_eq!((taken.len(), kept()), (1, 0));

    // A damaged file is none, and nobody fails for it.
    rig.write(&group, "");
    let agent = restart(agent);
    ask(&agent, &pod("vms"), quiet(None)).await.unwrap();
    rig.write_state(&format!("locks/{UID}"), "6G");
    let agent = restart(agent);
    assert!(!agent.has_locks());
    ask(&agent, &pod("vms"), quiet(None)).await.unwrap();
    assert!(agent.has_locks());
}

/// It is not prepared again, which it could have for ever: services stopped and started, interrupts moved to and fro.
#[tokio::test]
async fn a_pod_that_says_it_is_over() {
    let (rig, agent) = rig();
    let groups = || cgroups_of_pods(&rig.model.root()).map(|pods| pods.into_keys().collect());
    let look = || {
        rig.pass(1);
        agent.look(&Look { cgroups: groups(), ..rig.seen(&[]) });
        settle(&agent);
    };
    let ready = Ok(Reply::Ready { lock_confirmed: false });
    // Who has nothing has nothing to end.
    assert_eq!(ask(&agent, &pod("vms"), Request::Release).await, Ok(Reply::Released));
    assert_eq!(ask(&agent, &pod("vms"), quiet(None)).await, ready);
    settle(&agent);
    assert_eq!(ask(&agent, &pod("vms"), Request::Release).await, Ok(Reply::Released));
    settle(&agent);
    assert_eq!(irq(&rig), "0-7");
    let writes = rig.model.writes();
    for _ in 0..3 {
        let refused = ask(&agent, &pod("vms"), quiet(None)).await.unwrap_err();
        assert!(refused.reason.starts_with("this pod has said that its VM is over"), "{refused}");
        assert_eq!(ask(&agent, &pod("vms"), Request::Release).await, Ok(Reply::Released), "as often as it likes");
        look();
        assert!(agent.has_anything(), "until it is gone it is known");
    }
    assert_eq!(rig.model.writes(), writes);

    // The VM's next pod is another one, also while the first one still ends.
    let next = Pod { uid: UID.replace('1', "2"), name: "launcher-2".to_owned(), ..pod("vms") };
    rig.write(&format!("sys/fs/cgroup/kubepods/pod{}/cgroup.procs", next.uid), "");
    assert_eq!(ask(&agent, &next, quiet(None)).await, ready);
    assert_eq!(irq(&rig), "0-1,4-7");
    settle(&agent);
    for uid in [UID, &next.uid] {
        std::fs::remove_dir_all(rig.model.root().path(format!("sys/fs/cgroup/kubepods/pod{uid}"))).unwrap();
    }
    look();
    assert!(agent.engine().ledger().is_empty() && !agent.has_anything(), "nothing is kept of who is gone");
}

#[tokio::test]
async fn what_an_admin_has_not_allowed() {
    let (rig, agent) = rig();
    let refused = ask(&agent, &pod("other"), quiet(None)).await.unwrap_err();
    assert_eq!(refused.reason, "this node has no profile \"quiet\" for VMs of namespace other");
    let refused = ask(&agent, &pod("vms"), quiet(Some(Memlock::Unlimited))).await.unwrap_err();
    assert!(refused.reason.starts_with("this pod has no device of this node's resources"), "{refused}");
    let stranger = Pod { uid: UID.replace('1', "2"), ..pod("vms") };
    let refused = ask(&agent, &stranger, quiet(None)).await.unwrap_err();
    assert!(refused.reason.contains("has no control group on this node"), "{refused}");
    assert_eq!(irq(&rig), "0-7");
    assert!(agent.engine().ledger().is_empty());
}

/// Who has a device may lock memory for it; who knows of another pod's may not.
#[tokio::test]
async fn another_pods_device_is_no_leave_to_lock() {
    let (rig, agent) = rig();
    let other = UID.replace('1', "2");
    rig.write(&format!("sys/fs/cgroup/kubepods/pod{other}/cgroup.procs"), "");
    let id = only(&agent, GPUS);
    allocate(&agent, GPUS, &id);
    rig.pass(1);
    agent.look(&rig.seen(&[&id]));
    let lock = || Request::Prepare { node_profiles: Vec::new(), memlock: Some(Memlock::Bytes(1 << 30)) };
    // Of another namespace, and of another name.
    let strangers = [
        Pod { uid: other.clone(), ..pod("labs") },
        Pod { uid: other.clone(), name: "launcher-2".to_owned(), ..pod("vms") },
    ];
    for stranger in strangers {
        let refused = ask(&agent, &stranger, lock()).await.unwrap_err();
        assert!(refused.reason.starts_with("this pod has no device of this node's resources"), "{refused}");
    }
    assert!(!agent.has_locks());
    assert_eq!(ask(&agent, &pod("vms"), lock()).await, Ok(Reply::Ready { lock_confirmed: false }));
    assert!(agent.has_locks());
}

/// libvirt asks its QEMU what it can do, just when the sidecar asks.
#[tokio::test]
async fn a_probe_of_libvirts_is_no_vm_that_runs() {
    let (rig, agent) = rig();
    rig.write(&format!("sys/fs/cgroup/kubepods/pod{UID}/cgroup.procs"), "77\n");
    rig.write("proc/77/stat", "77 (qemu-kvm) S 1 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 13 1 2");
    rig.write("proc/77/cmdline", "/usr/libexec/qemu-kvm\0-S\0-nodefaults\0-machine\0none,accel=kvm:tcg\0-daemonize\0");
    rig.write("proc/uptime", "2.00 1.00\n");
    std::os::unix::fs::symlink("/usr/libexec/qemu-kvm", rig.model.root().path("proc/77/exe")).unwrap();
    assert_eq!(ask(&agent, &pod("vms"), quiet(None)).await, Ok(Reply::Ready { lock_confirmed: false }));
    assert_eq!(irq(&rig), "0-1,4-7");
}

#[tokio::test]
async fn a_vm_that_runs_already_is_not_prepared() {
    let (rig, agent) = rig();
    rig.write(&format!("sys/fs/cgroup/kubepods/pod{UID}/cgroup.procs"), "77\n");
    rig.write("proc/77/stat", "77 (qemu-kvm) S 1 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 13 1 2");
    rig.write("proc/77/cmdline", "/usr/libexec/qemu-kvm\0-name\0guest=vms_a,debug-threads=on\0-S\0");
    std::os::unix::fs::symlink("/usr/libexec/qemu-kvm", rig.model.root().path("proc/77/exe")).unwrap();
    let refused = ask(&agent, &pod("vms"), quiet(None)).await.unwrap_err();
    assert!(refused.reason.contains("runs already"), "{refused}");
    assert_eq!(irq(&rig), "0-7");
}
