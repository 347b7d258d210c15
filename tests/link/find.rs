//! Which pods get a link: as they come and go, one each, and never on a guess.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use tokio::time::timeout;
use virt_tailor::link::desk::{Confirmed, Desk, Policy};
use virt_tailor::link::{Errand, Reply};

use crate::agent::{Act, Agent};
use crate::desk::serve;
use crate::limits::Log;
use crate::node::{Node, full, listen, uid};
use crate::rig::{LONG, within};

const READY: Act = Act::Answer(Reply::Ready { lock_confirmed: true });

async fn is_served(desk: &Desk) {
    // A call waits five seconds at most, as KubeVirt's next one does.
    for _ in 0..4 {
        if desk.confirm(&Errand::default()).await == Ok(Confirmed { lock: false }) {
            return;
        }
    }
    panic!("no agent comes");
}

/// Whether somebody has connected and left again without a word.
fn was_left(listener: &UnixListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    let called = within(LONG, || listener.accept().ok());
    let mut said = Vec::new();
    let (mut stream, _) = called.expect("nobody has come");
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.read_to_end(&mut said).unwrap();
    said.is_empty()
}

#[tokio::test]
async fn pods_are_seen_as_they_come_and_go() {
    let node = Node::new();
    let agent = Agent::new([READY]);
    let _finding = agent.serve(node.places());
    // Step by step, as kubelet and the sidecar make them, while somebody watches.
    let mut desks = Vec::new();
    for number in 1..=3 {
        let volume = node.pod(number);
        tokio::task::yield_now().await;
        let folder = volume.join("hook-sidecar-0");
        fs::create_dir(&folder).unwrap();
        let desk = Desk::new(Policy::Required);
        let serving = serve(&desk, &folder);
        is_served(&desk).await;
        desks.push((desk, serving));
    }
    let mut linked = agent.seen().linked;
    linked.sort();
    assert_eq!(linked, [uid(1), uid(2), uid(3)]);
    // A pod that is gone has no link.
    fs::remove_dir_all(node.kubelet().join("pods").join(uid(2))).unwrap();
    let seen = agent.sees(|seen| !seen.unlinked.is_empty()).await;
    assert_eq!(seen.unlinked, [uid(2)]);
}

#[tokio::test]
async fn two_candidates_are_both_refused_and_a_link_ends_when_a_second_comes() {
    let node = Node::new();
    let volume = node.pod(1);
    let (one, two) = (listen(&volume, "virt-tailor-a.sock"), listen(&volume, "virt-tailor-b.sock"));
    let linked = node.pod(2);
    let desk = Desk::new(Policy::Required);
    let _serving = serve(&desk, &linked);
    let agent = Agent::new([READY]);
    let _finding = agent.serve(node.places());
    is_served(&desk).await;
    assert!(tokio::task::spawn_blocking(move || was_left(&one) && was_left(&two)).await.unwrap());
    assert_eq!(agent.seen().linked, [uid(2)]);
    // Somebody in the pod makes himself a second sidecar.
    let _impostor = listen(&linked, "virt-tailor-impostor.sock");
    let seen = agent.sees(|seen| !seen.unlinked.is_empty()).await;
    assert_eq!(seen.unlinked, [uid(2)]);
    assert!(desk.confirm(&Errand::default()).await.is_err());
}

#[tokio::test]
async fn a_socket_whose_queue_is_full_is_tried_again() {
    let node = Node::new();
    let (listener, waiting) = full(&node.pod(1), "virt-tailor-a.sock");
    let (log, _logging) = Log::start();
    let agent = Agent::new([READY]);
    let _finding = agent.serve(node.places());
    let said = async {
        while log.lines("so many wait at its socket").is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, said).await.unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::UnixListener::from_std(listener).unwrap();
    drop((listener.accept().await.unwrap(), waiting));
    // Well before everything would be looked at anyway: that happens every 30 s.
    timeout(Duration::from_secs(15), listener.accept()).await.expect("nobody has come").unwrap();
    assert_eq!(log.lines("so many wait at its socket").len(), 1, "it is said once");
}

#[tokio::test]
async fn a_pod_whose_name_is_not_known_gets_nothing() {
    let node = Node::new();
    for (number, logs) in [(1, vec![]), (2, vec!["a_b", "a_c"]), (3, vec!["a_b_c"])] {
        let volume = node.pod(number);
        let own = node.path("logs");
        fs::remove_dir(own.join(format!("team-a_virt-launcher-vm{number}-abcde_{}", uid(number)))).unwrap();
        for name in logs {
            fs::create_dir(own.join(format!("{name}_{}", uid(number)))).unwrap();
        }
        let desk = Desk::new(Policy::Required);
        let serving = serve(&desk, &volume);
        std::mem::forget((desk, serving));
    }
    let good = Desk::new(Policy::Required);
    let _serving = serve(&good, &node.pod(4));
    let agent = Agent::new([READY]);
    let _finding = agent.serve(node.places());
    is_served(&good).await;
    assert_eq!(agent.seen().linked, [uid(4)]);
}

#[tokio::test]
async fn a_name_that_kubelet_knows_comes_first() {
    struct Kubelet;
    impl virt_tailor::link::names::Names for Kubelet {
        async fn name_of(&self, uid: &str) -> Option<(String, String)> {
            Some(("by-kubelet".to_owned(), format!("pod-{}", &uid[uid.len() - 1..])))
        }
    }
    let node = Node::new();
    let desk = Desk::new(Policy::Required);
    let _serving = serve(&desk, &node.pod(1));
    let agent = Agent::new([READY]);
    let finder = virt_tailor::link::find::run(node.places(), Kubelet, agent.clone(), std::future::pending());
    let _finding = tokio::spawn(finder);
    is_served(&desk).await;
    let (pod, _) = &agent.seen().asked[0];
    assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("by-kubelet", "pod-1"));
}

#[tokio::test]
async fn a_panic_costs_one_link() {
    let node = Node::new();
    let (bad, good) = (Desk::new(Policy::Required), Desk::new(Policy::Required));
    let _one = serve(&bad, &node.pod(1));
    let _two = serve(&good, &node.pod(2));
    let agent = Agent::new([Act::Panic, READY]);
    let _finding = agent.serve(node.places());
    // Whoever comes second is served at once, and the first by a new link.
    is_served(&bad).await;
    is_served(&good).await;
    assert_eq!(agent.seen().unlinked.len(), 1);
}

#[tokio::test]
async fn kubelets_folder_must_be_there() {
    let node = Node::new();
    let mut places = node.places();
    places.kubelet_root = node.path("none");
    let agent = Agent::new([READY]);
    let names = virt_tailor::link::names::LogsAlone;
    assert!(virt_tailor::link::find::run(places, names, agent, std::future::pending()).await.is_err());
    assert!(!node.path("none").exists());
}

#[tokio::test]
async fn an_end_that_is_asked_for_ends_it() {
    let node = Node::new();
    let before = entries(&node);
    let agent = Agent::new([READY]);
    let names = virt_tailor::link::names::LogsAlone;
    virt_tailor::link::find::run(node.places(), names, agent, async {}).await.unwrap();
    assert_eq!(entries(&node), before);
}

fn entries(node: &Node) -> Vec<String> {
    crate::rig::entries(&node.kubelet())
}
