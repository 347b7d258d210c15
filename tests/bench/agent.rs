//! Figures of the agent, measured on the real process: 256 devices in a tree of files, and kubelet's test double. By hand, as root:
//!
//!     images/build --binary-only
//!     cargo bench --bench agent -- target/image/x86_64-unknown-linux-gnu/release/virt-tailor
//!
//! The program is an argument because `cargo bench` builds it together with what only tests need, and because the one in an image is
//! static. It takes three minutes, two of which it only waits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench may stop at the first surprise"
)]

#[allow(unreachable_pub, missing_docs, dead_code, reason = "shared with the tests")]
#[path = "../kubelet-double/double/mod.rs"]
mod double;

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use double::{Kind, Known, Kubelet};
use netlink_sys::protocols::NETLINK_KOBJECT_UEVENT;
use netlink_sys::{Socket, SocketAddr};
use nix::sched::{CloneFlags, unshare};

const DEVICES: u32 = 256;
const CHANGES: u32 = 50;
const RESOURCE: &str = "example.com/vf";
const OWN: (&str, &str) = ("virt-tailor", "virt-tailor-agent-x");
const SOON: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);

const CONFIG: &str = "apiVersion: virt-tailor.io/v1alpha1
kind: NodeConfig
metadata: {name: bench}
spec:
  resources:
  - {name: example.com/vf, selector: {vendor: \"8086\", device: \"154c\"}}
";

fn main() {
    // What is said here in the kernel's name is heard in here alone.
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of its own: run it as root");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(bench());
}

async fn bench() {
    let arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let program = arguments
        .reduce(|_, last| last)
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_virt-tailor")), PathBuf::from);
    let node = Node::new();
    let kubelet = Kubelet::start(&node.path("kubelet"), Kind::default());
    kubelet.add_pod("00000000-0000-4000-8000-000000000000", OWN.0, OWN.1);

    let begin = Instant::now();
    let agent = node.start(&program);
    let all = usize::try_from(DEVICES).unwrap();
    kubelet.wait(RESOURCE, SOON, |known| healthy(known) == all).await.unwrap();
    println!("process start to {DEVICES} devices at kubelet: {:.0} ms", begin.elapsed().as_secs_f64() * 1000.0);
    agent.show_memory("resident with nothing promised");
    agent.minute("with nothing promised").await;

    let kernel = Socket::new(NETLINK_KOBJECT_UEVENT).unwrap();
    let (mut gone, mut back) = (Vec::new(), Vec::new());
    for index in 0..CHANGES {
        for (times, there) in [(&mut gone, false), (&mut back, true)] {
            let begin = Instant::now();
            node.plug(index, there);
            announce(&kernel, index, there);
            let wanted = all - usize::from(!there);
            kubelet.wait(RESOURCE, SOON, |known| healthy(known) == wanted).await.unwrap();
            times.push(begin.elapsed());
            // Another change, not the rest of this one.
            tokio::time::sleep(Duration::from_millis(1500)).await;
        }
    }
    show("a device goes, to kubelet's list without it", gone);
    show("a device comes, to kubelet's list with it", back);
    agent.show_memory("resident after these");

    let mut allocated = Vec::new();
    for index in 1..=DEVICES {
        let (uid, name) = (format!("00000000-0000-4000-8000-{index:012x}"), format!("virt-launcher-{index}"));
        kubelet.add_pod(&uid, "vms", &name);
        let begin = Instant::now();
        kubelet.admit(&uid, "compute", RESOURCE, 1).await.unwrap();
        allocated.push(begin.elapsed());
    }
    show("admission of a pod with one device", allocated);
    agent.minute(&format!("with {DEVICES} promised")).await;
    agent.show_memory("resident after that");
}

fn healthy(known: &Known) -> usize {
    if known.stopped { 0 } else { known.healthy.len() }
}

/// Says what the kernel says when a device goes or comes (lib/kobject_uevent.c): since 4.18 it passes this on in a network namespace to
/// whose administrator it is said.
fn announce(kernel: &Socket, index: u32, there: bool) {
    let action = if there { "add" } else { "remove" };
    let path = format!("/devices/pci0000:00/{}", address(index));
    let said = format!("{action}@{path}\0ACTION={action}\0DEVPATH={path}\0SUBSYSTEM=pci\0");
    kernel.send_to(said.as_bytes(), &SocketAddr::new(0, 1), 0).unwrap();
}

fn address(index: u32) -> String {
    format!("0000:{:02x}:{:02x}.{}", 0x40 + index / 256, index / 8 % 32, index % 8)
}

/// A node in a folder.
struct Node(tempfile::TempDir);

impl Node {
    fn new() -> Self {
        let node = Self(tempfile::TempDir::new_in("/dev/shm").unwrap());
        node.write("proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
        node.write("proc/sys/kernel/osrelease", "6.12.0\n");
        node.write("proc/uptime", "100.00 100.00\n");
        node.write("proc/modules", "vfio_pci 1 0 - Live 0x0\n");
        node.write("sys/class/iommu/dmar0/x", "");
        node.write("sys/fs/cgroup/cgroup.procs", "");
        for module in ["vfio_pci", "vfio_iommu_type1", "vfio"] {
            node.write(&format!("sys/module/{module}/initstate"), "live\n");
        }
        fs::create_dir_all(node.path("host/sys/bus/pci/devices")).unwrap();
        for index in 0..DEVICES {
            node.make(index);
            node.plug(index, true);
        }
        fs::write(node.path("node.yaml"), CONFIG).unwrap();
        fs::DirBuilder::new().mode(0o700).create(node.path("state")).unwrap();
        fs::create_dir_all(node.path("kubelet/pods")).unwrap();
        node
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path("host").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A function in a group of its own.
    fn make(&self, index: u32) {
        let (address, group) = (address(index), 100 + index);
        let folder = format!("sys/devices/pci0000:00/{address}");
        for (file, text) in [
            ("vendor", "0x8086\n"),
            ("device", "0x154c\n"),
            ("class", "0x120000\n"),
            ("resource", &"0x0 0x0 0x0\n".repeat(13)),
            ("reset_method", "flr\n"),
            ("driver_override", "(null)\n"),
            ("numa_node", "0\n"),
            ("power/control", "auto\n"),
            ("d3cold_allowed", "1\n"),
        ] {
            self.write(&format!("{folder}/{file}"), text);
        }
        self.write(&format!("{folder}/config"), [0; 64]);
        let members = self.path("host/sys/kernel/iommu_groups").join(group.to_string()).join("devices");
        fs::create_dir_all(&members).unwrap();
        symlink(format!("../../../../devices/pci0000:00/{address}"), members.join(&address)).unwrap();
        let link = self.path("host").join(&folder).join("iommu_group");
        symlink(format!("../../../kernel/iommu_groups/{group}"), link).unwrap();
    }

    /// Puts a function on the bus, or takes it away.
    fn plug(&self, index: u32, there: bool) {
        let address = address(index);
        let entry = self.path("host/sys/bus/pci/devices").join(&address);
        let member = self.path("host/sys/kernel/iommu_groups").join((100 + index).to_string()).join("devices").join(&address);
        if there {
            symlink(format!("../../../devices/pci0000:00/{address}"), entry).unwrap();
            let _ = symlink(format!("../../../../devices/pci0000:00/{address}"), member);
        } else {
            fs::remove_file(entry).unwrap();
            fs::remove_file(member).unwrap();
        }
    }

    fn start(&self, program: &Path) -> Agent {
        let mut command = Command::new(program);
        command.args(["agent", "--node-name", "bench", "--plugin-socket", "off"]);
        command.args(["--own-pod", &format!("{}/{}", OWN.0, OWN.1)]);
        for (option, name) in [
            ("--config", "node.yaml"),
            ("--state-dir", "state"),
            ("--host-root", "host"),
            ("--kubelet-root", "kubelet"),
            ("--features-dir", "features"),
        ] {
            command.arg(option).arg(self.path(name));
        }
        // As in the image.
        command.env("MALLOC_ARENA_MAX", "1");
        let log = fs::File::create(self.path("log")).unwrap();
        Agent(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }
}

/// A running agent; ended when dropped.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Agent {
    fn read(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap()
    }

    fn show_memory(&self, what: &str) {
        let status = self.read("status");
        let of = |field: &str| status.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().to_owned();
        println!("{what}: {} (its own {}, most ever {})", of("VmRSS:"), of("RssAnon:"), of("VmHWM:"));
    }

    /// Processor time in a minute in which nothing happens.
    async fn minute(&self, when: &str) {
        let before = self.used();
        tokio::time::sleep(MINUTE).await;
        let used = self.used() - before;
        let share = used.as_secs_f64() / MINUTE.as_secs_f64() * 100.0;
        println!("processor time in a minute {when}: {} ms, {share:.2} % of one processor", used.as_millis());
    }

    /// Of all its threads, those too that have ended; in hundredths of a second (proc_pid_stat(5): utime, stime).
    fn used(&self) -> Duration {
        let stat = self.read("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        Duration::from_millis((fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10)
    }
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!("{what}: median {:.1} ms, 95 of 100 within {:.1} ms, of {}", at(50), at(95), times.len());
}
