//! The sidecar's end of the link: the service, and what is asked over it.
//!
//! There is one link at a time, and the newest counts. Only root comes this far, so both are agents of this node; of two, the older
//! one is a process that is being replaced, or that hangs, and nobody could replace an agent that hangs if the older one counted.
//! What was asked over the older one is asked again over the newer: every request may be repeated.
//!
//! Waiting. Until the first call was answered well, a call waits for the agent, [`PATIENCE`] in all; then it is refused and KubeVirt
//! comes again, while the agent works on. After that nobody ever waits: KubeVirt's later passes of the same start must not fail, or
//! it starts what the first one defined (see `kubevirt::hook`).

mod attend;
mod words;

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use super::proto::link_server::LinkServer;
use super::wire::Answered;
use super::{Errand, MAX_MESSAGE, Memlock, Request};

pub use words::NotYet;

/// How long a call waits for the agent, for its coming and its work together. virt-handler gives a start 20 s.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// After how long the agent is asked again how far it is: soon at first, then no faster than it reads (see `dial`).
const AGAIN: [Duration; 3] = [Duration::from_millis(200), Duration::from_millis(400), Duration::from_millis(1000)];

/// So often an agent that came later is told what stands, at most, and so long after a refusal.
const REMINDERS: usize = 30;
const REFUSED: Duration = Duration::from_secs(10);

/// How long a call waits for an agent that could make things better and is not needed: it finds a sidecar's socket long before KubeVirt
/// calls.
pub const COURTESY: Duration = Duration::from_millis(500);

/// The gRPC path of the service, up to its methods.
pub const SERVICE: &str = "/virt_tailor.link.v1.Link/";

/// When the agent is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// For VMs that need it.
    #[default]
    Auto,
    /// Never: what only it can do is not done.
    Off,
    /// For every VM: none starts on a node without an agent.
    Required,
}

/// What the agent has confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Confirmed {
    /// Whether as much memory may be locked as is needed, companions included.
    pub lock: bool,
}

/// The desk; every clone is the same.
#[derive(Debug, Clone)]
pub struct Desk {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    policy: Policy,
    /// The link that counts.
    link: watch::Sender<Option<Link>>,
    /// Turned once, at the end.
    ended: watch::Sender<bool>,
    /// What the first good answer was given with.
    settled: Mutex<Option<Confirmed>>,
    /// What an agent has done and the VM, which is not over, relies on: an agent that comes later is told.
    standing: Mutex<Option<Errand>>,
    /// Whether an agent was ever asked to prepare something.
    engaged: AtomicBool,
    numbers: AtomicU64,
}

/// A link to an agent.
#[derive(Debug, Clone)]
struct Link {
    number: u64,
    /// The agent's name for the node, if it has one.
    node: Option<String>,
    requests: mpsc::Sender<Asking>,
}

/// A request, and where its answer goes.
#[derive(Debug)]
struct Asking {
    request: Request,
    answer: oneshot::Sender<Answered>,
}

impl Desk {
    /// A desk to which nobody has come.
    pub fn new(policy: Policy) -> Self {
        let state = State {
            policy,
            link: watch::Sender::new(None),
            ended: watch::Sender::new(false),
            settled: Mutex::new(None),
            standing: Mutex::new(None),
            engaged: AtomicBool::new(false),
            numbers: AtomicU64::new(0),
        };
        Self { state: Arc::new(state) }
    }

    /// The service, if agents may come at all. Whoever serves it lets nobody but root come to it.
    pub fn service(&self) -> Option<LinkServer<Self>> {
        let service = LinkServer::new(self.clone()).max_decoding_message_size(MAX_MESSAGE);
        (self.state.policy != Policy::Off).then_some(service)
    }

    /// When the agent is asked.
    pub fn policy(&self) -> Policy {
        self.state.policy
    }

    /// What a first good answer was given with: from then on it counts, and nobody waits.
    pub fn settled(&self) -> Option<Confirmed> {
        *self.settled_lock()
    }

    /// Notes that a call was answered well. Only the first time counts.
    pub fn settle(&self, confirmed: Confirmed) {
        self.settled_lock().get_or_insert(confirmed);
    }

    /// Has the agent do what a VM needs; waits for it as long as a call may.
    pub async fn confirm(&self, errand: &Errand) -> Result<Confirmed, NotYet> {
        match self.state.policy {
            Policy::Off => return Ok(Confirmed::default()),
            Policy::Auto if errand.is_empty() => return Ok(Confirmed::default()),
            Policy::Auto | Policy::Required => {}
        }
        tokio::select! {
            outcome = self.waited_for(errand) => outcome,
            // The answer is nobody's any more; that there is one lets the connection end.
            () = self.ended() => Err(NotYet::ending(errand.node.clone())),
        }
    }

    async fn waited_for(&self, errand: &Errand) -> Result<Confirmed, NotYet> {
        if self.state.policy == Policy::Auto && errand.is_optional() {
            return Ok(self.offered(errand).await);
        }
        let mut last = NotYet::no_agent(errand, self.state.policy);
        match timeout(PATIENCE, self.confirmed(errand, &mut last)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(last),
        }
    }

    /// What an agent confirms of what a VM can do without; nothing if there is none.
    async fn offered(&self, errand: &Errand) -> Confirmed {
        if timeout(COURTESY, self.linked()).await.is_err() {
            return Confirmed::default();
        }
        let mut last = NotYet::silent(errand.node.clone());
        let outcome = timeout(PATIENCE - COURTESY, self.confirmed(errand, &mut last)).await.unwrap_or(Err(last));
        outcome.unwrap_or_else(|why| {
            tracing::warn!(reason = %why, "the VM starts without what the agent could do");
            Confirmed::default()
        })
    }

    async fn confirmed(&self, errand: &Errand, last: &mut NotYet) -> Result<Confirmed, NotYet> {
        let mut pauses = AGAIN.into_iter();
        loop {
            let link = self.linked().await;
            let node = link.node.clone().or_else(|| errand.node.clone());
            if last.is_no_agent() {
                *last = NotYet::silent(node.clone());
            }
            self.state.engaged.store(true, std::sync::atomic::Ordering::Relaxed);
            match link.ask(errand.request()).await {
                // The link broke; there may be a next one.
                None => self.lost(&link).await,
                Some(Answered::Working { step, of, what }) => {
                    *last = NotYet::working(node, step, of, what);
                    sleep(pauses.next().unwrap_or(AGAIN[AGAIN.len() - 1])).await;
                }
                Some(Answered::Ready { node_profiles, memlock }) => {
                    let confirmed = compared(errand, &node_profiles, memlock);
                    if confirmed.is_ok() {
                        *self.standing_lock() = Some(errand.clone());
                    }
                    return confirmed.map_err(|lacking| match lacking {
                        Lacking::Profiles => NotYet::older(node, "confirm the node profiles that the VM names"),
                        Lacking::Lock => NotYet::unlocked(node),
                    });
                }
                Some(Answered::Refused(reason)) => return Err(NotYet::refused(node, reason)),
                Some(Answered::Unimplemented(_)) => return Err(NotYet::older(node, "prepare a node for a VM")),
                Some(Answered::Released | Answered::Unknown) => return Err(NotYet::newer(node)),
            }
        }
    }

    /// Tells the agent that the VM is over, and waits until it has noted that. Returns at once if there never was anything to end; may
    /// be dropped half way, as the agent also watches the pod by itself.
    pub async fn over(&self) {
        self.standing_lock().take();
        loop {
            let link = self.state.link.borrow().clone();
            let link = match link {
                Some(link) => link,
                // One that was asked before may be coming back just now.
                None if self.state.engaged.load(std::sync::atomic::Ordering::Relaxed) => self.linked().await,
                None => return,
            };
            match link.ask(Request::Release).await {
                None => self.lost(&link).await,
                Some(Answered::Released) => return,
                // It is still at work, and ends that first.
                Some(Answered::Working { .. }) => sleep(AGAIN[AGAIN.len() - 1]).await,
                Some(other) => {
                    tracing::warn!(answer = ?other, "the agent has not confirmed the end; it will find out by itself");
                    return;
                }
            }
        }
    }

    /// Ends the link and takes no other.
    pub fn end(&self) {
        self.state.ended.send_replace(true);
    }

    /// Waits for [`Self::end`].
    async fn ended(&self) {
        // The sender lives as long as we do.
        let _ = self.state.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// A link, as soon as there is one.
    async fn linked(&self) -> Link {
        let mut links = self.state.link.subscribe();
        loop {
            if let Some(link) = links.borrow_and_update().clone() {
                return link;
            }
            if links.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until a link that broke is no longer the one that counts.
    async fn lost(&self, link: &Link) {
        let mut links = self.state.link.subscribe();
        // The sender lives as long as we do.
        let _ = links.wait_for(|now| now.as_ref().is_none_or(|now| now.number != link.number)).await;
    }

    /// Tells an agent that has just come what a former one had done: how much memory may be locked, for one, it knows from nobody else.
    /// Nobody waits for this; it ends with the link, with the VM, or when it has been said often enough.
    async fn remind(self, link: Link) {
        let mut is_told = false;
        for _ in 0..REMINDERS {
            let Some(errand) = self.standing_lock().clone() else { return };
            match link.ask(errand.request()).await {
                Some(Answered::Working { .. }) => sleep(AGAIN[AGAIN.len() - 1]).await,
                Some(Answered::Refused(reason)) => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(
                            reason,
                            "the agent that has come refuses what the former one had done for the running VM"
                        );
                    }
                    sleep(REFUSED).await;
                }
                _ => return,
            }
        }
    }

    fn standing_lock(&self) -> MutexGuard<'_, Option<Errand>> {
        // A value is stored whole or not at all.
        self.state.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settled_lock(&self) -> MutexGuard<'_, Option<Confirmed>> {
        // A value is stored whole or not at all.
        self.state.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// Asks; none if the link breaks before there is an answer.
    async fn ask(&self, request: Request) -> Option<Answered> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Asking { request, answer }).await.ok()?;
        answered.await.ok()
    }
}

/// What an answer does not confirm of what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lacking {
    /// A node profile: an older agent does not see what it does not know.
    Profiles,
    /// As much locked memory: the same, or the admin allows less.
    Lock,
}

/// Whether all that was asked is confirmed. Else what is lacking.
fn compared(errand: &Errand, profiles: &[String], memlock: Option<Memlock>) -> Result<Confirmed, Lacking> {
    if errand.node_profiles.iter().any(|asked| !profiles.contains(asked)) {
        return Err(Lacking::Profiles);
    }
    let lock = errand.memlock.is_some_and(|asked| memlock >= Some(asked));
    if errand.lock_is_asked && !lock {
        return Err(Lacking::Lock);
    }
    Ok(Confirmed { lock })
}
