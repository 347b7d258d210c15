//! Figures of the agent, measured on the real process: 256 devices in a tree of files, and kubelet's test double. By hand, as root:
//!
//!     images/build --binary-only
//!     cargo bench --bench agent -- target/image/x86_64-unknown-linux-gnu/release/virt-tailor
//!
//! The program is an argument because `cargo bench` builds it together with what only tests need, and because the one in an image is
//! static. It takes four minutes, most of which it only waits. On a machine with other things to do times are those of
//! the others, too: `chrt -f 10` in front shows the agent's own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench may stop at the first surprise"
)]

#[allow(unreachable_pub, missing_docs, dead_code, reason = "shared with the tests")]
#[path = "../kubelet-double/double/mod.rs"]
mod double;

#[path = "../common/plain_node.rs"]
mod plain_node;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use double::{Kind, Known, Kubelet};
use nix::sched::{CloneFlags, unshare};
use plain_node::{Agent, Node, OWN, RESOURCE, kernel};

const DEVICES: u32 = 256;
const CHANGES: u32 = 20;
const SOON: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);

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
    let node = Node::new(DEVICES, "");
    let kubelet = Kubelet::start(&node.path("kubelet"), Kind::default());
    kubelet.add_pod("00000000-0000-4000-8000-000000000000", OWN.0, OWN.1);

    let begin = Instant::now();
    let agent = node.start(&program, &[]);
    let all = usize::try_from(DEVICES).unwrap();
    kubelet.wait(RESOURCE, SOON, |known| healthy(known) == all).await.unwrap();
    println!("process start to {DEVICES} devices at kubelet: {:.0} ms", begin.elapsed().as_secs_f64() * 1000.0);
    show_memory(&agent, "resident with nothing promised");
    minute(&agent, "with nothing promised").await;

    let kernel = kernel();
    let (mut gone, mut back) = (Vec::new(), Vec::new());
    for index in 0..CHANGES {
        for (times, there) in [(&mut gone, false), (&mut back, true)] {
            let begin = Instant::now();
            node.plug(index, there);
            plain_node::announce(&kernel, index, there);
            let wanted = all - usize::from(!there);
            kubelet.wait(RESOURCE, SOON, |known| healthy(known) == wanted).await.unwrap();
            times.push(begin.elapsed());
            // Another change, not the rest of this one.
            tokio::time::sleep(Duration::from_millis(2000)).await;
        }
    }
    show("a device goes, to kubelet's list without it", gone);
    show("a device comes, to kubelet's list with it", back);
    show_memory(&agent, "resident after these");

    let mut allocated = Vec::new();
    for index in 1..=DEVICES {
        let (uid, name) = (format!("00000000-0000-4000-8000-{index:012x}"), format!("virt-launcher-{index}"));
        kubelet.add_pod(&uid, "vms", &name);
        let begin = Instant::now();
        kubelet.admit(&uid, "compute", RESOURCE, 1).await.unwrap();
        allocated.push(begin.elapsed());
    }
    show("admission of a pod with one device", allocated);
    minute(&agent, &format!("with {DEVICES} promised")).await;
    show_memory(&agent, "resident after that");
}

fn healthy(known: &Known) -> usize {
    if known.stopped { 0 } else { known.healthy.len() }
}

fn show_memory(agent: &Agent, what: &str) {
    let status = agent.read("status");
    let of = |field: &str| status.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().to_owned();
    println!("{what}: {} (its own {}, most ever {})", of("VmRSS:"), of("RssAnon:"), of("VmHWM:"));
}

/// Processor time in a minute in which nothing happens.
async fn minute(agent: &Agent, when: &str) {
    let before = agent.used();
    tokio::time::sleep(MINUTE).await;
    let used = agent.used() - before;
    let share = used.as_secs_f64() / MINUTE.as_secs_f64() * 100.0;
    println!("processor time in a minute {when}: {} ms, {share:.2} % of one processor", used.as_millis());
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!("{what}: median {:.1} ms, 95 of 100 within {:.1} ms, of {}", at(50), at(95), times.len());
}
