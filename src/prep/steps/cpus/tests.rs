use super::*;

fn set(cpus: &str) -> CpuSet {
    cpus.parse().unwrap()
}

fn own() -> IsolateCpus {
    IsolateCpus { cpus: set("2-3"), cgroup: None, workqueues: true }
}

fn given() -> IsolateCpus {
    IsolateCpus { cpus: set("2-3"), cgroup: Some("kubepods.slice/pod1".to_owned()), workqueues: true }
}

fn told(actions: &[Action]) -> Vec<String> {
    actions.iter().map(ToString::to_string).collect()
}

fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let root = Root::new(folder.path());
    (folder, root)
}

#[test]
fn a_group_of_our_own_is_made_and_removed() {
    let (_tree, root) = tree(&[
        ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io\n"),
        ("sys/fs/cgroup/cgroup.subtree_control", "cpu\n"),
        ("sys/devices/virtual/workqueue/cpumask", "f\n"),
    ]);
    let original = own().observe(&root).unwrap();
    let wanted = own().wanted(&original).unwrap();
    assert_eq!(
        told(&own().moves(&original, &wanted, 0)),
        [
            "write \"+cpuset\" to /sys/fs/cgroup/cgroup.subtree_control",
            "make /sys/fs/cgroup/virt-tailor-cpus-2-3",
            "write \"2-3\" to /sys/fs/cgroup/virt-tailor-cpus-2-3/cpuset.cpus",
            "write \"isolated\" to /sys/fs/cgroup/virt-tailor-cpus-2-3/cpuset.cpus.partition",
            "write \"00000003\" to /sys/devices/virtual/workqueue/cpumask",
        ]
    );
    let goal = own().undone(&original, &wanted, &wanted);
    assert_eq!(goal, original);
    assert_eq!(
        told(&own().moves(&wanted, &goal, 0)),
        [
            "write \"member\" to /sys/fs/cgroup/virt-tailor-cpus-2-3/cpuset.cpus.partition",
            "remove /sys/fs/cgroup/virt-tailor-cpus-2-3",
            "write \"-cpuset\" to /sys/fs/cgroup/cgroup.subtree_control",
            "write \"0000000f\" to /sys/devices/virtual/workqueue/cpumask",
        ]
    );
}

#[test]
fn a_given_group_is_handed_its_cpus_from_the_top_and_others_keep_theirs() {
    let (_tree, root) = tree(&[
        ("sys/fs/cgroup/cgroup.controllers", "cpuset\n"),
        ("sys/fs/cgroup/cgroup.subtree_control", "cpuset\n"),
        ("sys/fs/cgroup/kubepods.slice/cpuset.cpus.exclusive", "4-5\n"),
        ("sys/fs/cgroup/kubepods.slice/pod1/cpuset.cpus.exclusive", "\n"),
        ("sys/fs/cgroup/kubepods.slice/pod1/cpuset.cpus.partition", "member\n"),
        ("sys/devices/virtual/workqueue/cpumask", "f\n"),
        ("sys/devices/virtual/workqueue/cpumask_isolated", "0\n"),
    ]);
    let original = given().observe(&root).unwrap();
    let wanted = given().wanted(&original).unwrap();
    let top = "/sys/fs/cgroup/kubepods.slice";
    assert_eq!(
        told(&given().moves(&original, &wanted, 0)),
        [
            format!("write \"2-5\" to {top}/cpuset.cpus.exclusive"),
            format!("write \"2-3\" to {top}/pod1/cpuset.cpus.exclusive"),
            format!("write \"isolated\" to {top}/pod1/cpuset.cpus.partition"),
        ]
    );
    // Another VM's 6-7 came meanwhile, 4-5 went.
    let now = CpusState { exclusive: vec![Some(set("2-3,6-7")), Some(set("2-3"))], ..wanted.clone() };
    let goal = given().undone(&original, &wanted, &now);
    assert_eq!(goal.exclusive, [Some(set("6-7")), Some(set(""))]);
    assert_eq!(
        told(&given().moves(&now, &goal, 0)),
        [
            format!("write \"member\" to {top}/pod1/cpuset.cpus.partition"),
            format!("write \"\\n\" to {top}/pod1/cpuset.cpus.exclusive"),
            format!("write \"6-7\" to {top}/cpuset.cpus.exclusive"),
        ]
    );
}

#[test]
fn what_cannot_be_isolated_is_refused_with_a_reason() {
    let now = own().observe(&Root::new("/nonexistent")).unwrap();
    assert!(own().wanted(&now).unwrap_err().message.contains("no cgroup v2 cpuset controller"));
    let now = CpusState { controller: true, ..given().observe(&Root::new("/nonexistent")).unwrap() };
    assert!(given().wanted(&now).unwrap_err().message.contains("there is no control group kubepods.slice/pod1"));
    let older = CpusState { there: true, ..now };
    assert!(given().wanted(&older).unwrap_err().message.contains("no cpuset.cpus.exclusive"));
    let wanted = own().wanted(&CpusState { controller: true, ..own().observe(&Root::new("/nonexistent")).unwrap() });
    let wanted = wanted.unwrap();
    let why = "isolated invalid (Cpu list in cpuset.cpus not exclusive)";
    let now = CpusState { partition: Some(why.to_owned()), ..wanted.clone() };
    assert_eq!(own().reached(&wanted, &now), Reached::No(format!("the kernel does not isolate CPUs 2-3: {why}")));
}

#[test]
fn a_controller_that_others_use_stays_on() {
    let (_tree, root) = tree(&[
        ("sys/fs/cgroup/cgroup.controllers", "cpuset\n"),
        ("sys/fs/cgroup/cgroup.subtree_control", "\n"),
        ("sys/fs/cgroup/virt-tailor-cpus-6-7/cpuset.cpus", "6-7\n"),
    ]);
    let original = own().observe(&root).unwrap();
    let wanted = own().wanted(&original).unwrap();
    assert!(own().undone(&original, &wanted, &wanted).enabled);
    let alone = CpusState { others: false, ..wanted.clone() };
    let goal = own().undone(&original, &wanted, &alone);
    assert!(!goal.enabled);
    assert!(matches!(own().reached(&goal, &CpusState { enabled: true, ..goal.clone() }), Reached::Enough(_)));
}

#[test]
fn kernel_work_stays_where_nobody_asked() {
    let (_tree, root) = tree(&[
        ("sys/fs/cgroup/cgroup.controllers", "cpuset\n"),
        ("sys/fs/cgroup/cgroup.subtree_control", "cpuset\n"),
        ("sys/devices/virtual/workqueue/cpumask", "f\n"),
    ]);
    let step = IsolateCpus { workqueues: false, ..own() };
    let original = step.observe(&root).unwrap();
    let moves = told(&step.moves(&original, &step.wanted(&original).unwrap(), 0));
    assert!(!moves.is_empty() && !moves.iter().any(|action| action.contains("workqueue")), "{moves:?}");
}
