//! Both ends together: a sidecar's desk on a socket in a pod's folder, and an agent that finds it.

use std::path::Path;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use virt_tailor::link::desk::{COURTESY, Confirmed, Desk, PATIENCE, Policy};
use virt_tailor::link::{Errand, Memlock, Reply, Request};

use crate::agent::{Act, Agent};
use crate::node::{Node, listen, uid};
use crate::rig::LONG;

pub(crate) const NAME: &str = "virt-tailor-hook-sidecar-0-0123456789abcdef.sock";
const READY: Act = Act::Answer(Reply::Ready { lock_confirmed: true });
const GIB: u64 = 1 << 30;

/// Serves a desk on a socket.
pub(crate) fn serve(desk: &Desk, folder: &Path) -> JoinHandle<()> {
    let listener = listen(folder, NAME);
    listener.set_nonblocking(true).unwrap();
    let incoming = UnixListenerStream::new(UnixListener::from_std(listener).unwrap());
    let router = Server::builder().add_service(desk.service().unwrap());
    tokio::spawn(async move { router.serve_with_incoming(incoming).await.unwrap() })
}

fn errand() -> Errand {
    Errand {
        node_profiles: vec!["isolate".to_owned(), "quiet".to_owned()],
        memlock: Some(Memlock::Bytes(3 * GIB)),
        lock_is_asked: true,
        node: Some("by-vmi".to_owned()),
    }
}

fn working(step: u32, what: &str) -> Act {
    Act::Answer(Reply::Working { step, of: 3, what: what.to_owned() })
}

async fn answered(desk: &Desk, errand: &Errand) -> Result<Confirmed, String> {
    timeout(LONG, desk.confirm(errand)).await.unwrap().map_err(|why| why.to_string())
}

#[tokio::test]
async fn what_a_vm_needs_is_asked_for_its_pod_until_it_is_there() {
    let node = Node::new();
    let folder = node.pod(1).join("hook-sidecar-0");
    std::fs::create_dir(&folder).unwrap();
    let desk = Desk::new(Policy::Auto);
    let _serving = serve(&desk, &folder);
    let agent = Agent::new([working(1, "stop the service irqbalance"), working(2, "x"), READY]);
    let finding = agent.serve(node.places());
    assert_eq!(answered(&desk, &errand()).await, Ok(Confirmed { lock: true }));
    let seen = agent.seen();
    assert_eq!(seen.linked, [uid(1)]);
    assert_eq!(seen.asked.len(), 3);
    for (pod, request) in seen.asked {
        assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("team-a", "virt-launcher-vm1-abcde"));
        let node_profiles = vec!["isolate".to_owned(), "quiet".to_owned()];
        assert_eq!(request, Request::Prepare { node_profiles, memlock: Some(Memlock::Bytes(3 * GIB)) });
    }
    // The end is noted before it is answered.
    timeout(LONG, desk.over()).await.unwrap();
    assert_eq!(agent.seen().asked.last().unwrap().1, Request::Release);
    // An agent that stops ends its links.
    finding.abort();
    agent.sees(|seen| !seen.unlinked.is_empty()).await;
}

#[tokio::test]
async fn a_refusal_is_told_at_once_and_passes_on_no_escapes() {
    let node = Node::new();
    let desk = Desk::new(Policy::Auto);
    let _serving = serve(&desk, &node.pod(1));
    let agent = Agent::new([Act::Refuse("no profile \"isolate\"\u{1b}[2J for team-a"), READY]);
    let _finding = agent.serve(node.places());
    assert_eq!(
        answered(&desk, &errand()).await.unwrap_err(),
        "virt-tailor's agent on the node worker-1 refuses: no profile \"isolate\"\\u{1b}[2J for team-a"
    );
    // KubeVirt asks again, and the admin may have helped.
    assert_eq!(answered(&desk, &errand()).await, Ok(Confirmed { lock: true }));
}

#[tokio::test]
async fn an_agent_that_is_replaced_meanwhile_is_asked_again() {
    let node = Node::new();
    let desk = Desk::new(Policy::Auto);
    let _serving = serve(&desk, &node.pod(1));
    let first = Agent::new([Act::Hang]);
    let finding = first.serve(node.places());
    let waiting = tokio::spawn({
        let desk = desk.clone();
        async move { answered(&desk, &errand()).await }
    });
    first.sees(|seen| !seen.asked.is_empty()).await;
    finding.abort();
    let second = Agent::new([READY]);
    let _finding = second.serve(node.places());
    assert_eq!(waiting.await.unwrap(), Ok(Confirmed { lock: true }));
    assert_eq!(second.seen().asked.len(), 1);
}

#[tokio::test]
async fn an_agent_that_comes_later_is_told_what_stands_until_the_vm_is_over() {
    let node = Node::new();
    let desk = Desk::new(Policy::Auto);
    let _serving = serve(&desk, &node.pod(1));
    let first = Agent::new([READY]);
    let finding = first.serve(node.places());
    assert_eq!(answered(&desk, &errand()).await, Ok(Confirmed { lock: true }));
    finding.abort();
    first.sees(|seen| !seen.unlinked.is_empty()).await;
    let second = Agent::new([working(1, "x"), READY]);
    let finding = second.serve(node.places());
    // Nobody calls.
    let seen = second.sees(|seen| seen.asked.len() == 2).await;
    for (_, request) in seen.asked {
        let Request::Prepare { node_profiles, memlock } = request else { panic!("{request:?}") };
        assert_eq!((node_profiles, memlock), (errand().node_profiles, errand().memlock));
    }
    timeout(LONG, desk.over()).await.unwrap();
    finding.abort();
    second.sees(|seen| !seen.unlinked.is_empty()).await;
    // Of a VM that is over nothing stands.
    let third = Agent::new([READY]);
    let _finding = third.serve(node.places());
    third.sees(|seen| !seen.linked.is_empty()).await;
    timeout(LONG, desk.over()).await.unwrap();
    let asked: Vec<Request> = third.seen().asked.into_iter().map(|(_, request)| request).collect();
    assert_eq!(asked, [Request::Release]);
}

#[tokio::test]
async fn what_is_not_asked_waits_for_nobody() {
    let nothing = Errand::default();
    assert_eq!(answered(&Desk::new(Policy::Auto), &nothing).await, Ok(Confirmed { lock: false }));
    assert_eq!(answered(&Desk::new(Policy::Off), &errand()).await, Ok(Confirmed { lock: false }));
    assert!(Desk::new(Policy::Off).service().is_none());
    // Neither does an end that nobody has to be told.
    timeout(LONG, Desk::new(Policy::Auto).over()).await.unwrap();
}

// Time stands still but for sleeping: the deadline is exact and takes no time.
#[tokio::test(start_paused = true)]
async fn an_absent_agent_is_given_five_seconds_and_its_node_is_named() {
    let table = [
        (
            Policy::Auto,
            errand(),
            "this VM needs the node profiles isolate, quiet and leave to lock 3072 MiB of memory from virt-tailor's agent, and the node \
             by-vmi has no agent (none has come within 5 s): run the agent there, or start the sidecar with --agent off",
        ),
        (
            Policy::Auto,
            Errand { node_profiles: vec!["isolate".to_owned()], ..Errand::default() },
            "this VM needs the node profile isolate from virt-tailor's agent, and this node has no agent (none has come within 5 s): run \
             the agent there, or start the sidecar with --agent off",
        ),
        (
            Policy::Auto,
            Errand { memlock: Some(Memlock::Unlimited), lock_is_asked: true, ..Errand::default() },
            "this VM needs leave to lock all its memory from virt-tailor's agent, and this node has no agent (none has come within 5 s): \
             run the agent there, or start the sidecar with --agent off",
        ),
        (
            Policy::Required,
            Errand::default(),
            "the sidecar was started with --agent required, and this node has no agent (none has come within 5 s): run the agent there, or \
             start the sidecar with --agent off",
        ),
    ];
    for (policy, errand, line) in table {
        let begin = Instant::now();
        let why = Desk::new(policy).confirm(&errand).await.unwrap_err();
        let took = begin.elapsed();
        assert!(took >= PATIENCE && took < PATIENCE + Duration::from_millis(10), "{took:?}");
        assert_eq!(why.to_string(), line);
        assert!(why.passes());
    }
}

/// What `hardLimit: auto` comes to, newer KubeVirts grant; companions can be left out.
#[tokio::test(start_paused = true)]
async fn for_what_a_vm_can_do_without_an_agent_is_hardly_waited_for() {
    let optional = Errand { memlock: Some(Memlock::Bytes(3 * GIB)), ..Errand::default() };
    let begin = Instant::now();
    assert_eq!(Desk::new(Policy::Auto).confirm(&optional).await, Ok(Confirmed::default()));
    let took = begin.elapsed();
    assert!(took >= COURTESY && took < COURTESY + Duration::from_millis(10), "{took:?}");
    // Unless one has to be there.
    assert!(Desk::new(Policy::Required).confirm(&optional).await.is_err());
}

#[tokio::test]
async fn work_that_takes_longer_than_a_call_is_told_step_by_step() {
    let node = Node::new();
    let desk = Desk::new(Policy::Auto);
    let _serving = serve(&desk, &node.pod(1));
    let agent = Agent::new([working(2, "stop the service irqbalance")]);
    let _finding = agent.serve(node.places());
    let why = timeout(LONG, desk.confirm(&errand())).await.unwrap().unwrap_err();
    assert_eq!(
        why.to_string(),
        "the node worker-1 is being prepared for this VM, step 2 of 3: stop the service irqbalance; the VM starts as soon as that is done"
    );
    assert!(why.passes());
    // It was not asked without pause.
    let asked = agent.seen().asked.len();
    assert!((2..=8).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_lock_that_is_not_confirmed_is_none() {
    let unconfirmed = || Agent::new([Act::Answer(Reply::Ready { lock_confirmed: false })]);
    for (lock_is_asked, expected) in [
        // Companions can be left out.
        (false, Ok(Confirmed { lock: false })),
        (
            true,
            Err("virt-tailor's agent on the node worker-1 does not confirm that as much memory may be locked as the VM asks: \
                 limits.memlock.max of its NodeConfig allows less, or the agent is too old"
                .to_owned()),
        ),
    ] {
        let node = Node::new();
        let desk = Desk::new(Policy::Auto);
        let _serving = serve(&desk, &node.pod(1));
        let _finding = unconfirmed().serve(node.places());
        assert_eq!(answered(&desk, &Errand { lock_is_asked, ..errand() }).await, expected);
    }
}

#[tokio::test]
async fn a_desk_that_ends_ends_its_link() {
    let node = Node::new();
    let desk = Desk::new(Policy::Required);
    let _serving = serve(&desk, &node.pod(1));
    let agent = Agent::new([READY]);
    let _finding = agent.serve(node.places());
    answered(&desk, &Errand::default()).await.unwrap();
    desk.end();
    agent.sees(|seen| !seen.unlinked.is_empty()).await;
}

#[test]
fn the_first_answer_counts_for_good() {
    let desk = Desk::new(Policy::Auto);
    assert_eq!(desk.settled(), None);
    desk.settle(Confirmed { lock: true });
    desk.settle(Confirmed { lock: false });
    assert_eq!(desk.clone().settled(), Some(Confirmed { lock: true }));
}
