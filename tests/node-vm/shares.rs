//! What a VM shares with the rest of its node: modules, huge pages, CPUs, interrupts, limits.

use serde_json::{Value, json};

use crate::device::{Device, Disk};
use crate::hands::Remote;
use crate::modules::built;
use crate::vm::Vm;

#[test]
#[ignore = "needs QEMU, a Debian kernel and its headers: tests/run"]
fn modules_are_loaded_swapped_and_given_back() {
    let folder = built().display();
    let vm = Vm::builder().with(Device::qemu("toy", "pci-testdev")).boot();
    let version = || vm.read("/sys/module/vt_toy/version");
    let loaded = || vm.run("cut -d' ' -f1 /proc/modules | sort").ok();
    let b = "/root/b/lib/modules/$(uname -r)";
    vm.run(&format!("mkdir -p {b} && xz -k --check=crc32 -c {folder}/b/vt_toy.ko >{b}/vt_toy.ko.xz")).ok();
    vm.run("echo 41 >/sys/module/vt_toy/parameters/answer; modprobe vt_toy_user").ok();
    let engine = Remote::new(&vm);
    let before = loaded();

    let swap = json!([{ "step": "swapModule", "module": "vt-toy", "from": "/root/b", "parameters": ["answer=7"] }]);
    // Busy: somebody has its file open.
    let holder = vm.spawn("exec 3</dev/vt_toy; sleep 1000");
    vm.run("until [ $(cat /sys/module/vt_toy/refcnt) = 2 ]; do sleep 0.1; done").ok();
    let refused = engine.apply("vm-1", swap.clone()).unwrap_err().to_string();
    assert!(refused.contains("it is used by module vt_toy_user and 1 more references"), "{refused}");
    vm.run(&format!("kill -9 -{}; until [ $(cat /sys/module/vt_toy/refcnt) = 1 ]; do sleep 0.1; done", holder.pid()))
        .ok();
    assert_eq!(version().as_deref(), Some("A"));
    // Idle: it and the one that holds it.
    engine.apply("vm-1", swap.clone()).unwrap();
    assert_eq!(version().as_deref(), Some("B"));
    assert_eq!(vm.read("/sys/module/vt_toy/parameters/answer").as_deref(), Some("7"));
    assert_eq!(vm.names("/sys/module/vt_toy/holders"), ["vt_toy_user"]);
    assert_eq!(vm.driver(&vm.bdf("toy")).as_deref(), Some("vt_toy"));
    assert!(!engine.apply("vm-1", swap).unwrap().changed);
    engine.undo("vm-1");
    assert_eq!((version().as_deref(), loaded()), (Some("A"), before.clone()));
    assert_eq!(vm.read("/sys/module/vt_toy/parameters/answer").as_deref(), Some("41"));

    // Loaded with what it needs, and gone with it, but for what others use by then.
    engine.apply("vm-2", json!([{ "step": "loadModule", "module": "vfio-pci" }])).unwrap();
    vm.run("grep -q '^vfio_pci ' /proc/modules").ok();
    assert_eq!(engine.undo("vm-2").notes, Vec::<String>::new());
    assert_eq!(loaded(), before);
    let unload = json!([{ "step": "unloadModule", "module": "vt_toy" }]);
    engine.apply("vm-3", unload).unwrap();
    assert_eq!(version(), None);
    engine.undo("vm-3");
    assert_eq!(loaded(), before);
    let set = json!([{ "step": "setParameter", "module": "vt_toy", "name": "answer", "value": "0x10" }]);
    engine.apply("vm-4", set).unwrap();
    assert_eq!(vm.read("/sys/module/vt_toy/parameters/answer").as_deref(), Some("16"));
    engine.undo("vm-4");
    assert_eq!(vm.read("/sys/module/vt_toy/parameters/answer").as_deref(), Some("41"));
    let refused =
        engine.apply("vm-5", json!([{ "step": "loadModule", "module": "vfio-pic" }])).unwrap_err().to_string();
    assert!(refused.contains("there is no module vfio_pic"), "{refused}");
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn pages_cpus_interrupts_and_limits_are_shared_and_given_back() {
    let vm = Vm::builder()
        .memory_mib(2048)
        .cpus(4)
        .numa(2)
        .with(Device::igb("nic"))
        .with(Device::nvme("disk", Disk::Empty(16)))
        .boot();
    let engine = Remote::new(&vm);
    let pages = |node: u32| {
        vm.read(&format!("/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages")).unwrap()
    };
    let add = |count: u64, numa: u32| json!([{ "step": "addHugepages", "kib": 2048, "count": count, "numa": numa }]);

    vm.run("echo 3 >/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages").ok();
    engine.apply("vm-1", add(8, 1)).unwrap();
    engine.apply("vm-2", add(4, 1)).unwrap();
    assert_eq!((pages(0), pages(1)), ("0".to_owned(), "15".to_owned()));
    assert!(!engine.apply("vm-1", add(8, 1)).unwrap().changed);
    engine.undo("vm-1");
    assert_eq!(pages(1), "7");
    // Nobody has so many: what could be had goes back, others keep theirs.
    let refused = engine.apply("vm-3", add(5000, 1)).unwrap_err().to_string();
    assert!(refused.contains("5000 huge pages of 2048 KiB were asked for on NUMA node 1 and "), "{refused}");
    println!("{refused}");
    assert_eq!(pages(1), "7");
    engine.undo("vm-2");
    assert_eq!(pages(1), "3");

    // Memory full of cached files, every other page of which is dropped: there is room, and none of it in one piece.
    vm.run_within(
        300,
        "mount -o remount,size=90% /tmp; dd if=/dev/zero of=/tmp/fill bs=1M count=1200 2>/dev/null; rm /tmp/fill",
    )
    .ok();
    engine.apply("vm-4", add(64, 0)).unwrap();
    assert_eq!(pages(0), "64");
    engine.undo("vm-4");
    assert_eq!(pages(0), "0");

    let lists = || {
        vm.run("cat /proc/irq/default_smp_affinity; for f in /proc/irq/*/smp_affinity_list; do echo $f $(cat $f); done")
            .ok()
    };
    let before = lists();
    let applied = engine.apply("vm-5", json!([{ "step": "moveIrqs", "awayFrom": "2-3" }])).unwrap();
    println!("{:?}", applied.notes);
    let during = lists();
    assert_ne!(during, before);
    assert!(during.starts_with('3') || during.starts_with("00000003"), "{during}");
    engine.undo("vm-5");
    assert_eq!(lists(), before);

    let cpus = json!([{ "step": "isolateCpus", "cpus": "2-3", "cgroup": null }]);
    let control = || vm.read("/sys/fs/cgroup/cgroup.subtree_control").unwrap();
    let (before, work) = (control(), vm.read("/sys/devices/virtual/workqueue/cpumask"));
    engine.apply("vm-6", cpus).unwrap();
    assert_eq!(vm.read("/sys/fs/cgroup/virt-tailor-cpus-2-3/cpuset.cpus.partition").as_deref(), Some("isolated"));
    assert_eq!(vm.read("/sys/fs/cgroup/cpuset.cpus.isolated").as_deref(), Some("2-3"));
    engine.undo("vm-6");
    assert_eq!((control(), vm.read("/sys/devices/virtual/workqueue/cpumask")), (before, work));
    assert!(!vm.names("/sys/fs/cgroup").iter().any(|name| name.starts_with("virt-tailor")));

    // A VM's own control group, somewhere below.
    vm.run("cd /sys/fs/cgroup; echo +cpuset >cgroup.subtree_control; mkdir -p pods/one; echo +cpuset >pods/cgroup.subtree_control").ok();
    let given = json!([{ "step": "isolateCpus", "cpus": "3", "cgroup": "pods/one" }]);
    let files = || {
        vm.run("cd /sys/fs/cgroup/pods; cat cpuset.cpus cpuset.cpus.exclusive one/cpuset.cpus one/cpuset.cpus.exclusive one/cpuset.cpus.partition").ok()
    };
    let before = files();
    engine.apply("vm-7", given).unwrap();
    assert_eq!(vm.read("/sys/fs/cgroup/pods/one/cpuset.cpus.partition").as_deref(), Some("isolated"));
    engine.undo("vm-7");
    assert_eq!(files(), before);
    let missing = json!([{ "step": "isolateCpus", "cpus": "3", "cgroup": "pods/two" }]);
    let refused = engine.apply("vm-7", missing).unwrap_err().to_string();
    assert!(refused.contains("there is no control group pods/two"), "{refused}");

    let job = vm.spawn("ulimit -l 64; exec sleep 1000");
    let pid = job.pid();
    vm.run(&format!("until grep -q sleep /proc/{pid}/comm; do sleep 0.1; done")).ok();
    let limit = || {
        vm.run(&format!("grep 'Max locked memory' /proc/{pid}/limits"))
            .ok()
            .split_whitespace()
            .skip(3)
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let started = vm.run(&format!("sed 's/.*) //' /proc/{pid}/stat | cut -d' ' -f20")).ok();
    let started: Value = serde_json::from_str(&started).unwrap();
    let lock = json!([{ "step": "setMemlock", "process": { "pid": pid, "started": started }, "limit": null }]);
    engine.apply("vm-8", lock.clone()).unwrap();
    assert_eq!(limit(), ["unlimited", "unlimited"]);
    engine.undo("vm-8");
    assert_eq!(limit(), ["65536", "65536"]);
    engine.apply("vm-8", lock).unwrap();
    vm.run(&format!("kill -9 {pid}; while [ -e /proc/{pid} ]; do sleep 0.1; done")).ok();
    engine.undo("vm-8");
}
