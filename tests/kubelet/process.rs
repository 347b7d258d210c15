//! The agent itself at kubelet, on a tree of files in place of a node.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;

use crate::double::{Kind, Known, Kubelet};
use crate::plain_node::{Node, OWN, RESOURCE, address, announce, kernel};

const VFS: &str = "  - {name: example.com/vf, selector: {vendor: \"8086\", device: \"154c\"}}\n";
const PROGRAM: &str = env!("CARGO_BIN_EXE_virt-tailor");
const POD: &str = "00000000-0000-4000-8000-00000000000a";
/// Less than the half minute after which the agent looks by itself.
const SOON: Duration = Duration::from_secs(20);

fn has(known: &Known, functions: usize) -> bool {
    !known.stopped && known.healthy.len() == functions
}

fn kubelet(node: &Node) -> Kubelet {
    let kubelet = Kubelet::start(&node.path("kubelet"), Kind::default());
    kubelet.add_pod("00000000-0000-4000-8000-000000000000", OWN.0, OWN.1);
    kubelet
}

async fn come_and_go() {
    let node = Node::new(3, "");
    // One resource makes what this node has none of: that is no other's concern.
    let pages = "  - {name: example.com/pages, selector: {vendor: \"8086\", device: \"1234\"}, prepare: [{hugepages: {size: 1Gi, count: 1}}]}\n";
    node.configure(&format!("{VFS}{pages}"));
    let kubelet = kubelet(&node);
    let _agent = node.start(Path::new(PROGRAM), &[]);
    kubelet.wait(RESOURCE, SOON, |known| has(known, 3)).await.unwrap_or_else(|why| panic!("{why}: {}", node.log()));
    logs(&node, "not made").await;
    let said = kernel();
    node.plug(1, false);
    announce(&said, 1, false);
    let known = kubelet.wait(RESOURCE, SOON, |known| has(known, 2)).await.unwrap();
    assert!(known.healthy.iter().all(|id| !id.starts_with(&address(1))), "{known:?}");
    node.plug(1, true);
    announce(&said, 1, true);
    kubelet.wait(RESOURCE, SOON, |known| has(known, 3)).await.unwrap();
}

/// In a network namespace of this thread's alone: nobody else hears what is said there. `false` if there is none, without root.
fn in_a_network_of_its_own<F: Future<Output = ()> + 'static>(test: fn() -> F) -> bool {
    let tried = std::thread::spawn(move || {
        if unshare(CloneFlags::CLONE_NEWNET).is_err() {
            return false;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
        true
    });
    let tried = tried.join().unwrap();
    assert!(tried || !geteuid().is_root(), "this machine lets root have no network namespace");
    tried
}

#[test]
fn a_device_that_comes_or_goes_is_told_when_the_kernel_says_so() {
    if !in_a_network_of_its_own(come_and_go) {
        println!("not tried: no network namespace without root");
    }
}

/// Trying to make what cannot be made is undone, and the kernel tells of both: who tried again because of that would never end.
async fn stir_up() {
    let node = Node::new(3, "");
    node.exhaust(2);
    fs::create_dir(node.path("features")).unwrap();
    node.configure(&format!(
        "  - {{name: {RESOURCE}, selector: {{address: [\"{}\", \"{}\"]}}, nodes: [n1]}}
  - {{name: example.com/part, selector: {{address: [\"{}\"]}}, nodes: [n1], kind: mdev, mdev: {{type: type-1, count: 1}}}}\n",
        address(0),
        address(1),
        address(2)
    ));
    let kubelet = kubelet(&node);
    let _agent = node.start(Path::new(PROGRAM), &[]);
    kubelet.wait(RESOURCE, SOON, |known| has(known, 2)).await.unwrap_or_else(|why| panic!("{why}: {}", node.log()));
    logs(&node, "no mediated device of type type-1 left").await;
    // The first look at the node is over when it has said what it saw.
    until(&node, "features", || fs::read_dir(node.path("features")).is_ok_and(|mut files| files.next().is_some()))
        .await;
    // Each try is written down.
    let journal = || fs::metadata(node.path("state/journal")).unwrap().len();
    let written = journal();
    let said = kernel();
    node.plug(1, false);
    for _ in 0..20 {
        announce(&said, 1, false);
        announce(&said, 2, true);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // All else is looked at.
    kubelet.wait(RESOURCE, SOON, |known| has(known, 1)).await.unwrap_or_else(|why| panic!("{why}: {}", node.log()));
    assert_eq!(journal(), written, "it was tried again: {}", node.log());
}

#[test]
fn what_cannot_be_made_is_not_tried_again_because_of_what_that_stirs_up() {
    if !in_a_network_of_its_own(stir_up) {
        println!("not tried: no network namespace without root");
    }
}

/// A resource for some namespaces: without kubelet's word nobody has it.
#[tokio::test]
async fn whose_pod_it_is_must_be_known() {
    if !geteuid().is_root() {
        // An agent is root.
        return;
    }
    let node = Node::new(1, ", namespaces: [labs]");
    let kubelet = kubelet(&node);
    let at = free_address();
    let _agent = node.start(Path::new(PROGRAM), &["--metrics", &at]);
    kubelet.wait(RESOURCE, SOON, |known| has(known, 1)).await.unwrap_or_else(|why| panic!("{why}: {}", node.log()));
    kubelet.add_pod(POD, "vms", "virt-launcher-a");
    kubelet.admit(POD, "compute", RESOURCE, 1).await.unwrap();
    let refused = kubelet.start_container(POD, "compute").await.unwrap_err();
    let reason =
        "virt-tailor: pods of namespace vms may not have example.com/vf: this node's configuration names others";
    assert!(refused.contains("Unavailable") && refused.ends_with(reason), "{refused}");
    // It registers devices, and does not say who has them.
    fs::remove_file(node.path("kubelet/pod-resources/kubelet.sock")).unwrap();
    let refused = kubelet.start_container(POD, "compute").await.unwrap_err();
    let reason = "virt-tailor: example.com/vf is for some namespaces only, and kubelet has not said whose pod this is";
    assert!(refused.contains("Unavailable") && refused.ends_with(reason), "{refused}");
    // Nothing was tried: the device is as it was, and offered.
    assert!(has(&kubelet.known(RESOURCE), 1));
    let driver = node.path("host/sys/devices/pci0000:00").join(address(0)).join("driver_override");
    assert_eq!(fs::read_to_string(driver).unwrap(), "(null)\n");
    // People see it: in a metric, and on the node.
    let metrics = get(&at, "/metrics");
    assert!(metrics.contains("\nvirt_tailor_refusals_total{resource=\"example.com/vf\"} 2\n"), "{metrics}");
    assert!(
        metrics.contains("application/openmetrics-text; version=1.0.0") && metrics.ends_with("# EOF\n"),
        "{metrics}"
    );
    let status = || {
        let mut command = Command::new(PROGRAM);
        command
            .args(["node", "status", "--state-dir"])
            .arg(node.path("state"))
            .arg("--host-root")
            .arg(node.path("host"));
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let until = Instant::now() + Duration::from_secs(60);
    while !status().contains(reason.trim_start_matches("virt-tailor: ")) {
        assert!(Instant::now() < until, "{}", status());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A page: its head and what is in it.
fn get(address: &str, path: &str) -> String {
    ask(address, "GET", path)
}

fn ask(address: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

/// Until the log has a line.
async fn logs(node: &Node, line: &str) {
    until(node, line, || node.log().contains(line)).await;
}

async fn until(node: &Node, what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(Instant::now() < end, "{what}: {}", node.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn another_configuration_is_taken_if_it_is_right_and_another_agent_is_not() {
    if !geteuid().is_root() {
        return;
    }
    let node = Node::new(2, "");
    let kubelet = kubelet(&node);
    let at = free_address();
    let agent = node.start(Path::new(PROGRAM), &["--metrics", &at]);
    kubelet.wait(RESOURCE, SOON, |known| has(known, 2)).await.unwrap_or_else(|why| panic!("{why}: {}", node.log()));
    for (page, head) in [("/healthz", "200 OK"), ("/readyz", "200 OK"), ("/metrics", "200 OK"), ("/", "404 Not Found")]
    {
        assert!(get(&at, page).starts_with(&format!("HTTP/1.1 {head}\r\n")), "{page}");
    }
    assert!(ask(&at, "POST", "/metrics").starts_with("HTTP/1.1 405 "));

    let second = node.command(Path::new(PROGRAM)).output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(75), "{said}");
    assert!(said.contains("is held by another virt-tailor (process "), "{said}");

    node.configure("  - {nane: example.com/vf}\n");
    logs(&node, "the new configuration is wrong: the one before stays in force").await;
    let one = |name: &str| format!("  - {{name: example.com/{name}, selector: {{vendor: \"8086\"}}}}\n");
    node.configure(&[one("vf"), one("other")].concat());
    logs(&node, "the new configuration does not fit this node: the one before stays in force").await;
    assert!(node.log().contains("resources example.com/vf and example.com/other: "), "{}", node.log());
    let known = kubelet.known(RESOURCE);
    assert!(has(&known, 2) && known.registrations == 1, "{known:?}");
    node.configure(&one("other"));
    kubelet.wait("example.com/other", SOON, |known| has(known, 2)).await.unwrap();
    kubelet.wait(RESOURCE, SOON, |known| known.stopped).await.unwrap();

    // An end in order takes no longer than what is under way, and nothing is.
    nix::sys::signal::kill(agent.pid(), nix::sys::signal::Signal::SIGTERM).unwrap();
    logs(&node, "ending; nothing is undone").await;
}

/// Until the page answers, as a probe that asks again.
async fn probe(address: &str, path: &str, holds: impl Fn(&str) -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let page = TcpStream::connect(address).map(|_| get(address, path)).unwrap_or_default();
        if holds(&page) {
            return;
        }
        assert!(Instant::now() < until, "{path}: {page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The node holds it up in the middle of its start: it is alive, and not ready.
#[tokio::test]
async fn who_is_slow_to_start_is_alive() {
    if !geteuid().is_root() {
        return;
    }
    let node = Node::new(1, "");
    let kubelet = kubelet(&node);
    let swaps = node.path("host/proc/swaps");
    nix::unistd::mkfifo(&swaps, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let address = free_address();
    let _agent = node.start(Path::new(PROGRAM), &["--metrics", &address]);
    probe(&address, "/readyz", |page| {
        page.starts_with("HTTP/1.1 503 ") && page.contains("starting: looking at the node's devices")
    })
    .await;
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(get(&address, "/metrics").starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(kubelet.known(RESOURCE).registrations, 0);
    // Whoever reads it goes on.
    let held = fs::OpenOptions::new().write(true).open(&swaps).unwrap();
    fs::remove_file(&swaps).unwrap();
    drop(held);
    kubelet.wait(RESOURCE, SOON, |known| has(known, 1)).await.unwrap_or_else(|why| panic!("{why}: {}", node.log()));
    probe(&address, "/readyz", |page| page.starts_with("HTTP/1.1 200 OK\r\n")).await;
}

#[tokio::test]
async fn an_agent_that_starts_beside_a_wrong_configuration_serves_the_last_right_one() {
    if !geteuid().is_root() {
        return;
    }
    let node = Node::new(2, "");
    let kubelet = kubelet(&node);
    let start = || node.start(Path::new(PROGRAM), &[]);
    let serves = async |times: usize| {
        let known = kubelet.wait(RESOURCE, SOON, |known| has(known, 2) && known.registrations >= times).await;
        known.unwrap_or_else(|why| panic!("{why}: {}", node.log()));
    };
    let wrong = "  - {nane: example.com/vf}\n";
    node.configure(wrong);
    let alone = node.command(Path::new(PROGRAM)).output().unwrap();
    assert!(!alone.status.success(), "there is no other");
    assert!(String::from_utf8_lossy(&alone.stderr).contains("nane"));

    node.configure(VFS);
    let agent = start();
    serves(1).await;
    drop(agent);
    node.configure(wrong);
    let agent = start();
    serves(2).await;
    logs(&node, "the configuration cannot be used: the last one that was in force is served").await;
    assert!(node.log().contains("nane"), "{}", node.log());
    let status = || fs::read_to_string(node.path("state/status.json")).unwrap_or_default();
    let until = Instant::now() + Duration::from_secs(60);
    while !status().contains("the one that is given is not in force: ") {
        assert!(Instant::now() < until, "{}", status());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Another takes its place while it runs, as ever.
    node.configure(&VFS.replace("}}", "}, release: keep}"));
    logs(&node, "the new configuration is in force").await;
    while status().contains("the one that is given is not in force: ") {
        assert!(Instant::now() < until, "{}", status());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(agent);

    // What two resources select costs the rest nothing, at the start as little as later.
    node.configure(&format!("{VFS}{}", VFS.replace("example.com/vf", "example.com/other")));
    let _agent = start();
    serves(3).await;
    logs(&node, "the configuration does not fit this node").await;
}

#[tokio::test]
async fn a_right_configuration_is_tried_again_when_the_node_could_not_be_read() {
    if !geteuid().is_root() {
        return;
    }
    let node = Node::new(2, "");
    let kubelet = kubelet(&node);
    let _agent = node.start(Path::new(PROGRAM), &[]);
    kubelet.wait(RESOURCE, SOON, |known| has(known, 2)).await.unwrap_or_else(|why| panic!("{why}: {}", node.log()));
    let vendor = node.path("host/sys/devices/pci0000:00").join(address(0)).join("vendor");
    fs::rename(&vendor, node.path("vendor")).unwrap();
    fs::create_dir(&vendor).unwrap();
    node.configure(&VFS.replace("example.com/vf", "example.com/other"));
    logs(&node, "the one before stays in force").await;
    fs::remove_dir(&vendor).unwrap();
    fs::rename(node.path("vendor"), &vendor).unwrap();
    kubelet
        .wait("example.com/other", SOON, |known| has(known, 2))
        .await
        .unwrap_or_else(|why| panic!("{why}: {}", node.log()));
}
