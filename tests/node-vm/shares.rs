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

    // Loaded with what it needs from packed files, and gone with it. The administrator's options count.
    vm.run("echo 'options vxlan log_ecn_error=N' >/etc/modprobe.d/vt.conf; modinfo -n vxlan | grep -q 'ko.xz$'").ok();
    assert!(!before.contains("vxlan") && !before.contains("udp_tunnel"), "{before}");
    engine.apply("vm-2", json!([{ "step": "loadModule", "module": "vxlan" }])).unwrap();
    vm.run("grep -q '^vxlan ' /proc/modules && grep -q '^udp_tunnel ' /proc/modules").ok();
    assert_eq!(vm.read("/sys/module/vxlan/parameters/log_ecn_error").as_deref(), Some("N"));
    assert_eq!(engine.undo("vm-2").notes, Vec::<String>::new());
    assert_eq!(loaded(), before);
    // VFIO's stay, and it is said.
    engine.apply("vm-2", json!([{ "step": "loadModule", "module": "vfio-pci" }])).unwrap();
    vm.run("grep -q '^vfio_pci ' /proc/modules").ok();
    let notes = engine.undo("vm-2").notes;
    assert_eq!(notes, ["module vfio_pci stays loaded: it is of VFIO, which the next one needs too"]);
    let before = loaded();
    assert!(before.contains("vfio_pci"));

    // Loaded already: what it is told then is set and comes back; what it has to be told at load is refused.
    let with =
        |module: &str, parameter: &str| json!([{ "step": "loadModule", "module": module, "parameters": [parameter] }]);
    let answer = || vm.read("/sys/module/vt_toy/parameters/answer").unwrap();
    engine.apply("vm-2", with("vt_toy", "answer=5")).unwrap();
    assert_eq!(answer(), "5");
    engine.undo("vm-2");
    assert_eq!((answer(), loaded()), ("41".to_owned(), before.clone()));
    let refused = engine.apply("vm-2", with("vfio-pci", "disable_vga=Y")).unwrap_err().to_string();
    assert!(refused.contains("is loaded already with disable_vga=N, and not Y"), "{refused}");

    // What drives a device is not unloaded at undo, though it was we who loaded it.
    vm.run("rmmod vt_toy_user vt_toy").ok();
    engine.apply("vm-2", json!([{ "step": "loadModule", "module": "vt_toy" }])).unwrap();
    let notes = engine.undo("vm-2").notes;
    assert_eq!(notes, [format!("module vt_toy stays loaded: it drives {}", vm.bdf("toy"))]);
    assert_eq!(vm.driver(&vm.bdf("toy")).as_deref(), Some("vt_toy"));
    vm.run("echo 41 >/sys/module/vt_toy/parameters/answer; modprobe vt_toy_user").ok();
    assert_eq!(loaded(), before);

    let unload = json!([{ "step": "unloadModule", "module": "vt_toy" }]);
    engine.apply("vm-3", unload).unwrap();
    assert_eq!(version(), None);
    engine.undo("vm-3");
    assert_eq!(loaded(), before);
    // What another owner has does not go along, nor is what one has unloaded brought back by another's.
    vm.run("rmmod vt_toy_user").ok();
    let load = |module: &str| json!([{ "step": "loadModule", "module": module }]);
    let unload = |module: &str| json!([{ "step": "unloadModule", "module": module }]);
    engine.apply("vm-6", load("vt_toy_user")).unwrap();
    let refused = engine.apply("vm-3", unload("vt_toy")).unwrap_err().to_string();
    assert!(
        refused.contains("unload module vt_toy stands against what vm-6 has: load module vt_toy_user"),
        "{refused}"
    );
    engine.undo("vm-3");
    assert_eq!(vm.names("/sys/module/vt_toy/holders"), ["vt_toy_user"]);
    engine.undo("vm-6");
    engine.apply("vm-3", unload("vt_toy")).unwrap();
    let refused = engine.apply("vm-6", load("vt_toy_user")).unwrap_err().to_string();
    assert!(
        refused.contains("load module vt_toy_user stands against what vm-3 has: unload module vt_toy"),
        "{refused}"
    );
    engine.undo("vm-6");
    assert_eq!(version(), None);
    engine.undo("vm-3");
    // Who came to use a build that was swapped in uses what takes its place.
    engine.apply("vm-3", json!([{ "step": "swapModule", "module": "vt_toy", "from": "/root/b" }])).unwrap();
    engine.apply("vm-6", load("vt_toy_user")).unwrap();
    engine.undo("vm-3");
    assert_eq!(
        (version().as_deref(), vm.names("/sys/module/vt_toy/holders")),
        (Some("A"), vec!["vt_toy_user".to_owned()])
    );
    engine.undo("vm-6");
    vm.run("echo 41 >/sys/module/vt_toy/parameters/answer; modprobe vt_toy_user").ok();
    // What came along stays if another has asked for it since.
    engine.apply("vm-3", load("vxlan")).unwrap();
    engine.apply("vm-6", load("udp_tunnel")).unwrap();
    engine.undo("vm-3");
    vm.run("! grep -q '^vxlan ' /proc/modules && grep -q '^udp_tunnel ' /proc/modules").ok();
    engine.undo("vm-6");
    vm.run("modprobe -r udp_tunnel ip6_udp_tunnel; true").ok();
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
fn drivers_of_devices_that_the_node_needs_stay() {
    let vm = Vm::builder()
        .with(Device::igb("uplink"))
        .with(Device::igb("spare"))
        .with(Device::nvme("disk", Disk::Empty(64)))
        .boot();
    let engine = Remote::new(&vm);
    let (uplink, spare) = (vm.bdf("uplink"), vm.bdf("spare"));
    let nic = vm.names(&format!("/sys/bus/pci/devices/{uplink}/net"))[0].clone();
    let unload = |module: &str| json!([{ "step": "unloadModule", "module": module }]);
    let refusal = |module: &str| engine.apply("vm-1", unload(module)).unwrap_err().to_string();

    // Not counted by the kernel, so it would let the module go.
    vm.run(&format!(
        "ip link set {nic} up; ip address add 192.0.2.2/24 dev {nic}; ip route add default via 192.0.2.1 dev {nic}"
    ))
    .ok();
    assert_eq!(vm.read("/sys/module/igb/refcnt").as_deref(), Some("0"));
    let why = refusal("igb");
    println!("{why}");
    assert!(why.contains(&format!("it drives {uplink}, and {nic} has the address 192.0.2.2/24")), "{why}");
    vm.run("mkdir -p /opt/igb/lib/modules/$(uname -r); cp $(modinfo -n igb) /opt/igb/lib/modules/$(uname -r)/").ok();
    vm.run(&format!("ip address flush dev {nic}; ip route add default dev {nic}")).ok();
    let why = refusal("igb");
    assert!(why.contains(&format!("and the default route leads over {nic}")), "{why}");
    vm.run(&format!("ip route flush dev {nic}; ip link add link {nic} name vlan5 type vlan id 5")).ok();
    let why = refusal("igb");
    assert!(why.contains(&format!("and vlan5 stands on {nic}")), "{why}");
    vm.run(&format!("ip link del vlan5; ip link add br0 type bridge && ip link set {nic} master br0")).ok();
    let why = refusal("igb");
    assert!(why.contains(&format!("and {nic} is a port of br0")), "{why}");
    vm.run(&format!("ip link set {nic} nomaster; ip link del br0")).ok();
    assert_eq!(vm.driver(&uplink).as_deref(), Some("igb"));
    // Nobody needs it any more.
    engine.apply("vm-1", unload("igb")).unwrap();
    assert_eq!((vm.driver(&uplink), vm.driver(&spare)), (None, None));
    engine.undo("vm-1");
    assert_eq!((vm.driver(&uplink).as_deref(), vm.driver(&spare).as_deref()), (Some("igb"), Some("igb")));

    // Mounted, the kernel counts file systems but not the disk's driver.
    vm.run("mkfs.ext4 -q /dev/nvme0n1 && mkdir -p /mnt/x && mount /dev/nvme0n1 /mnt/x").ok();
    let why = refusal("nvme");
    println!("{why}");
    assert!(why.contains("module nvme cannot be unloaded") || why.contains("nvme stays loaded"), "{why}");
    assert_eq!(vm.driver(&vm.bdf("disk")).as_deref(), Some("nvme"));
    vm.run("umount /mnt/x").ok();
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn cpus_interrupts_and_limits_are_shared_and_given_back() {
    let vm = Vm::builder().cpus(4).with(Device::igb("nic")).with(Device::nvme("disk", Disk::Empty(16))).boot();
    let engine = Remote::new(&vm);
    let lists = || {
        vm.run("cat /proc/irq/default_smp_affinity; for f in /proc/irq/*/smp_affinity_list; do echo $f $(cat $f); done")
            .ok()
    };
    // One interrupt of those CPUs alone, one across.
    let number = vm.run("grep -m1 nvme0q0 /proc/interrupts | cut -d: -f1 | tr -d ' '").ok();
    vm.run(&format!("echo 2 >/proc/irq/{number}/smp_affinity_list")).ok();
    let of = |number: &str| vm.read(&format!("/proc/irq/{number}/smp_affinity_list")).unwrap();
    let before = lists();
    let away = |cpus: &str| json!([{ "step": "moveIrqs", "awayFrom": cpus }]);
    let applied = engine.apply("vm-5", away("2-3")).unwrap();
    println!("{:?}", applied.notes);
    let during = lists();
    assert!(during.starts_with('3') || during.starts_with("00000003"), "{during}");
    assert_eq!(of(&number), "0-1");
    // The same again joins, and the last one gives it back.
    engine.apply("vm-6", away("2-3")).unwrap();
    engine.undo("vm-5");
    assert_eq!(lists(), during);
    // What overlaps would spoil it.
    let refused = engine.apply("vm-5", away("1-2")).unwrap_err().to_string();
    assert!(refused.contains("interrupts of CPUs 1-2 belong in part to vm-6"), "{refused}");
    // What does not may go first or last.
    engine.apply("vm-7", away("1")).unwrap();
    assert_eq!(of(&number), "0");
    assert!(!engine.apply("vm-6", away("2-3")).unwrap().changed);
    engine.undo("vm-6");
    assert_eq!(of(&number), "2");
    engine.undo("vm-7");
    assert_eq!(lists(), before);
    engine.apply("vm-5", away("2-3")).unwrap();
    engine.apply("vm-7", away("1")).unwrap();
    engine.undo("vm-7");
    engine.undo("vm-5");
    assert_eq!(lists(), before);

    let cpus = json!([{ "step": "isolateCpus", "cpus": "2-3", "cgroup": null }]);
    let control = || vm.read("/sys/fs/cgroup/cgroup.subtree_control").unwrap();
    let (before, work) = (control(), vm.read("/sys/devices/virtual/workqueue/cpumask"));
    engine.apply("vm-6", cpus).unwrap();
    assert_eq!(vm.read("/sys/fs/cgroup/virt-tailor-cpus-2-3/cpuset.cpus.partition").as_deref(), Some("isolated"));
    assert_eq!(vm.read("/sys/fs/cgroup/cpuset.cpus.isolated").as_deref(), Some("2-3"));
    let overlapping = json!([{ "step": "isolateCpus", "cpus": "3", "cgroup": null }]);
    let refused = engine.apply("vm-9", overlapping).unwrap_err().to_string();
    assert!(refused.contains("CPUs 3 belong in part to vm-6"), "{refused}");
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
