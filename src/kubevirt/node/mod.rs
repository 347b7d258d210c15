//! The node hooks of KubeVirt's Plugin API (VEP 190, v1alpha1): virt-handler calls a socket of ours around a VM's life.
//!
//! | file | what it is |
//! |---|---|
//! | [`NodeHooks`] | all that this module asks of the rest of the house |
//! | `point`, `vm` | what a call says: where in a VM's life, and of which VM |
//! | `service` | the answers, each within its time |
//! | `intake` | what comes before a call is looked at: how much is read |
//! | `serve` | the socket, as long as there is a folder for it |
//!
//! virt-handler has ten workers for all VMs of a node (KubeVirt: cmd/virt-handler, defaults of the controllers), and each waits for an
//! answer up to 30 s: so every answer comes within two seconds. A stop point that fails keeps a VM from stopping, so none ever does.

mod intake;
mod point;
mod serve;
mod service;
mod vm;

use std::future::Future;

pub use point::Point;
pub use serve::serve_node_hooks;
pub use service::ANSWER_WITHIN;
pub use vm::{MAX_DEVICES, MAX_PODS, NodeVm, NodeVmError};

/// Longest VMI that is read, in bytes; etcd stores 1.5 MiB at most.
pub const MAX_VMI: usize = 4 << 20;

/// Longest message: a VMI, the point and the node's name.
const MAX_MESSAGE: usize = MAX_VMI + (16 << 10);

/// Why a VM is not to be started yet: one line. virt-handler asks again, and shows it in the VMI's condition meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// It goes on without anybody's waiting.
    #[error("the node is still being prepared, step {step} of {of}: {what}")]
    Working {
        /// The step under way, from 1.
        step: u32,
        /// How many there are.
        of: u32,
        /// What it is, for people.
        what: String,
    },
    /// Something is missing that may come.
    #[error("{0}")]
    NotYet(String),
    /// It is not allowed, or has failed: waiting does not help.
    #[error("{0}")]
    Refused(String),
}

/// What a node does at KubeVirt's hook points. Every call comes any number of times, or never.
///
/// A future is dropped when its time is over, so whatever is to be done must go on without it.
pub trait NodeHooks: Send + Sync + 'static {
    /// Whether a resource is ours: `example.com/gpu`. VMs that request none and name no node profile are not looked at.
    fn owns(&self, resource: &str) -> bool;

    /// Whether the node is ready for a VM that is about to start; begins what is to be done for it.
    fn before_start(&self, vm: &NodeVm) -> impl Future<Output = Result<(), NotReady>> + Send;

    /// A VM is about to stop, or has stopped; `None` if it cannot be told which. That is a word, not a proof: whoever undoes something
    /// looks for himself.
    fn ending(&self, vm: Option<&NodeVm>, point: Point) -> impl Future<Output = ()> + Send;
}
