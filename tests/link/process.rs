//! The agent itself among hostile pods: what they cost it, its memory and its processor time told apart from theirs.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use virt_tailor::link::desk::{Confirmed, Desk, Policy};
use virt_tailor::link::{Errand, Memlock};

use crate::agent_command::agent_command;
use crate::desk::serve;
use crate::hostile::Crowd;
use crate::node::{Node, uid};
use crate::rig::{OF_THE_IMAGE, PROGRAM};

const CONFIG: &str = "apiVersion: virt-tailor.io/v1alpha1
kind: NodeConfig
metadata: {name: n1}
spec:
  profiles:
  - {name: ours, namespaces: [team-a], steps: [{memlock: 1Gi}]}
  - {name: theirs, namespaces: [team-b], steps: [{memlock: unlimited}]}
";

/// A running agent; ended when dropped.
struct Process<'a> {
    child: Child,
    node: &'a Node,
}

impl Drop for Process<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'a> Process<'a> {
    fn start(node: &'a Node) -> Self {
        let write = |name: &str, text: &str| {
            let path = node.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("host/proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
        write("host/proc/uptime", "100.00 100.00\n");
        write("host/sys/fs/cgroup/cgroup.procs", "");
        write("node.yaml", CONFIG);
        fs::create_dir_all(node.path("host/sys/bus/pci/devices")).unwrap();
        fs::create_dir_all(node.path("host/var/log")).unwrap();
        symlink(node.path("logs"), node.path("host/var/log/pods")).unwrap();
        fs::DirBuilder::new().mode(0o700).create(node.path("state")).unwrap();
        let mut command = agent_command(Path::new(PROGRAM), |name| node.path(name));
        command.args(["--plugin-socket", "off"]).env(OF_THE_IMAGE.0, OF_THE_IMAGE.1);
        let log = fs::File::create(node.path("log")).unwrap();
        Self { child: command.stdout(Stdio::null()).stderr(log).spawn().unwrap(), node }
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    fn kib(&self, field: &str) -> u64 {
        let status = self.read("status");
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Processor time, in the kernel's hundredths of a second.
    fn ticks(&self) -> u64 {
        let stat = self.read("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Until the pod of this desk, in whose control group nothing runs yet, has been answered.
    async fn serves(&self, desk: &Desk) {
        for _ in 0..4 {
            if desk.confirm(&Errand::default()).await == Ok(Confirmed { lock: false }) {
                return;
            }
        }
        panic!("no agent comes: {}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.node.path("log")).unwrap()
    }
}

/// Everything in a folder.
fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut all: Vec<PathBuf> = entries
        .flat_map(|entry| {
            let below = if entry.file_type().unwrap().is_dir() { names(&entry.path()) } else { Vec::new() };
            below.into_iter().chain([entry.path()])
        })
        .collect();
    all.sort();
    all
}

/// A pod's control group.
fn contain(node: &Node, number: u32) {
    fs::create_dir_all(node.path("host/sys/fs/cgroup/kubepods").join(format!("pod{}", uid(number)))).unwrap();
}

#[tokio::test]
async fn a_crowd_of_hostile_pods_costs_the_agent_little() {
    let node = Node::new();
    let process = Process::start(&node);
    let (first, second) = (Desk::new(Policy::Required), Desk::new(Policy::Required));
    let (one, two) = (node.pod(1001), node.pod(1002));
    contain(&node, 1001);
    contain(&node, 1002);
    let _serving = serve(&first, &one);
    process.serves(&first).await;
    let (memory, used) = (process.kib("VmRSS"), process.ticks());
    let crowd = Crowd::gather(&node, 6);
    let there = names(&node.kubelet());
    // Longer than the first message may take, and some attempts.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (grown, used) = (process.kib("VmHWM").saturating_sub(memory), process.ticks() - used);
    let calls = crowd.calls();
    let all: u64 = calls.iter().sum();
    println!("{} hostile pods, {all} connections: {grown} KiB more at most, {used} ticks", crowd.pods);
    assert!(calls.iter().all(|calls| *calls > 0), "{calls:?}");
    // Silence is no link for ever: after five seconds it ends, and a second later somebody comes again.
    let silent = crowd.calls_of_silent();
    assert!(silent.iter().all(|calls| *calls >= 2), "{silent:?}");
    // One a second at first and then twice as long each time: within a minute seven, and a socket that comes and goes is no way round.
    assert!(calls.iter().all(|calls| *calls <= 8), "{calls:?}");
    assert!(used <= all * 3, "{used} ticks for {all} connections");
    assert!(grown < 16 << 10, "{grown} KiB for {} links", crowd.pods);
    assert_eq!(names(&node.kubelet()), there, "nothing is ever made in a pod's folder");
    // Who comes now is served as before, and who was there still is.
    let _serving = serve(&second, &two);
    process.serves(&second).await;
    process.serves(&first).await;
}

#[tokio::test]
async fn what_an_admin_allows_others_is_not_this_pods() {
    let node = Node::new();
    let process = Process::start(&node);
    let desk = Desk::new(Policy::Required);
    contain(&node, 1);
    let _serving = serve(&desk, &node.pod(1));
    let confirm = async |errand: Errand| {
        for _ in 0..4 {
            match desk.confirm(&errand).await {
                Err(why) if why.passes() => (),
                outcome => return outcome.map_err(|why| why.to_string()),
            }
        }
        panic!("no agent comes: {}", process.log());
    };
    let ask =
        async |profile: &str| confirm(Errand { node_profiles: vec![profile.to_owned()], ..Errand::default() }).await;
    let refused = "virt-tailor's agent on the node n1 refuses: ";
    assert_eq!(
        ask("theirs").await.unwrap_err(),
        format!("{refused}this node has no profile \"theirs\" for VMs of namespace team-a")
    );
    assert_eq!(
        ask("../../etc/passwd").await.unwrap_err(),
        format!("{refused}\"../../etc/passwd\" is not the name of a node profile")
    );
    assert_eq!(
        ask("0000:3b:00.0").await.unwrap_err(),
        format!("{refused}\"0000:3b:00.0\" is not the name of a node profile")
    );
    let lock = Errand { memlock: Some(Memlock::Unlimited), lock_is_asked: true, ..Errand::default() };
    let why = confirm(lock).await.unwrap_err();
    assert!(why.contains("this pod has no device of this node's resources"), "{why}");
    assert_eq!(ask("ours").await, Ok(Confirmed { lock: false }));
}
