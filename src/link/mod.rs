//! The link between a pod's sidecar and the node's agent, both ends.
//!
//! The agent is root and dials; the sidecar serves, on its hook socket. So no privileged socket ever lies in a pod, and who asks is
//! known from the path that the agent walked. The contract, with its rules for versions that differ, is `proto/virt_tailor/link.proto`.
//!
//! | module | end | what it is |
//! |---|---|---|
//! | `wire` | both | messages ↔ the types here; nothing malformed comes further |
//! | [`walk`] | agent | from kubelet's folder to connected sockets, through folders that a pod may tamper with |
//! | [`watch`] | agent | which pods to look at, and when: inotify, and a rescan where that fails |
//! | [`find`] | agent | from what was found to links: one for each pod, retries, limits |
//! | [`names`] | agent | a pod's UID → its namespace and name |
//! | [`dial`] | agent | a client of a server that may be hostile |
//! | [`desk`] | sidecar | the server, and what is asked over it |
//!
//! It knows nothing of devices, steps or journals: [`Errands`] is all it asks of the agent.

pub mod desk;
pub mod dial;
pub mod find;
mod metered;
pub mod names;
pub mod proto;
mod rate;
pub mod walk;
pub mod watch;
mod wire;

use std::fmt;
use std::future::Future;

pub use wire::Malformed;

/// What the names of our hook sockets begin with.
pub const SOCKET_PREFIX: &str = "virt-tailor-";

/// What they end with.
pub const SOCKET_SUFFIX: &str = ".sock";

/// Longest message of either side, in bytes.
pub const MAX_MESSAGE: usize = 16 << 10;

/// So many node profiles can be named at once.
pub const MAX_PROFILES: usize = 32;

/// A pod, as kubelet knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pod {
    /// Its UID, as kubelet names its folder.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// How much memory QEMU may lock. More is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Memlock {
    /// So many bytes, at least.
    Bytes(u64),
    /// All there is.
    Unlimited,
}

/// What a pod can ask. It names what an admin allows, nothing more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Prepare the node for the pod's VM. It comes again until it is answered by [`Reply::Ready`], and after a new link.
    Prepare {
        /// NodeConfig profiles: well-formed names, none twice. Whether there are such, and whether the pod's namespace may name them,
        /// is for the agent to say.
        node_profiles: Vec<String>,
        /// How much memory QEMU shall be allowed to lock.
        memlock: Option<Memlock>,
    },
    /// The VM is over.
    Release,
    /// How far the preparation is; changes nothing.
    Status,
}

/// What a VM needs of the node's agent, as its sidecar sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Errand {
    /// NodeConfig profiles that the VM names.
    pub node_profiles: Vec<String>,
    /// How much memory must be allowed to be locked, beyond what KubeVirt allows by itself.
    pub memlock: Option<Memlock>,
    /// Whether the VM asks for just that lock. If not, it is what `auto` comes to, which newer KubeVirts grant by themselves, or for
    /// companions, which can be left out.
    pub lock_is_asked: bool,
    /// The node, as the VMI names it.
    pub node: Option<String>,
}

impl Errand {
    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.node_profiles.is_empty() && self.memlock.is_none()
    }

    /// Whether the VM can start without it.
    pub fn is_optional(&self) -> bool {
        self.node_profiles.is_empty() && !self.lock_is_asked
    }

    fn request(&self) -> Request {
        Request::Prepare { node_profiles: self.node_profiles.clone(), memlock: self.memlock }
    }
}

impl fmt::Display for Memlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} MiB of memory", bytes.div_ceil(1 << 20)),
            Self::Unlimited => f.write_str("all its memory"),
        }
    }
}

impl fmt::Display for Errand {
    /// E.g. `the node profile isolate and leave to lock 4096 MiB of memory`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node_profiles.as_slice() {
            [] => {}
            [one] => write!(f, "the node profile {one}")?,
            many => write!(f, "the node profiles {}", many.join(", "))?,
        }
        if !self.node_profiles.is_empty() && self.memlock.is_some() {
            f.write_str(" and ")?;
        }
        match self.memlock {
            None => Ok(()),
            Some(limit) => write!(f, "leave to lock {limit}"),
        }
    }
}

/// What a request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// All that was asked is done; in answer to [`Request::Status`]: all that was ever asked.
    Ready {
        /// Whether as much memory may be locked as was asked. Only with this are companions kept behind a vIOMMU.
        lock_confirmed: bool,
    },
    /// It goes on without anybody's waiting. Whoever asked asks again, once a second.
    Working {
        /// The step under way, from 1.
        step: u32,
        /// How many there are.
        of: u32,
        /// What it is, for people, e.g. `stop the service irqbalance`.
        what: String,
    },
    /// To [`Request::Release`]: it is durably noted that the VM is over.
    Released,
}

/// Why a request is not met: one line for the VM's condition, where, what and what instead. Asked again, it may be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// The line.
    pub reason: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// What the agent does for a pod that asks over its link.
///
/// A link asks for up to four things at once, and may end while an answer is awaited: the future is then dropped, so whatever is to be
/// done must go on without it. A panic in it ends that link alone. It should answer within a second; [`Reply::Working`] is an answer.
pub trait Errands: Send + Sync + 'static {
    /// Answers a request of a pod.
    fn ask(&self, pod: &Pod, request: Request) -> impl Future<Output = Result<Reply, Refusal>> + Send;

    /// A link to a pod is up.
    fn linked(&self, _pod: &Pod) {}

    /// It has ended. That says nothing of the VM: a link may break, and come again.
    fn unlinked(&self, _pod: &Pod) {}
}
