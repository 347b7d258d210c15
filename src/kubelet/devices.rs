//! One resource as kubelet sees it: what its owner has to know, and the words for it.

use std::collections::BTreeMap;
use std::future::Future;

use tokio::sync::watch;

/// One device in the list that kubelet gets. A list is complete: what it does not name is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its name between kubelet and us, at most 63 characters. kubelet remembers it on disk, so it is the same after any restart.
    pub id: String,
    /// Whether kubelet may hand it out.
    pub healthy: bool,
    /// Its NUMA node, if the machine has told one (a `numa_node` of -1 is none).
    pub numa: Option<u16>,
}

/// What a container gets with its devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allocation {
    /// Environment variables.
    pub envs: BTreeMap<String, String>,
    /// Device nodes. The runtime looks for them after [`Devices::prepare`], and a container with one missing is not made.
    pub nodes: Vec<DeviceNode>,
}

/// A device node of the host in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNode {
    /// Its path on the host.
    pub host_path: String,
    /// Its path in the container.
    pub container_path: String,
    /// What the device cgroup allows, of "r", "w" and "m"; all is "mrw".
    pub permissions: &'static str,
}

/// kubelet asks for a device that the resource does not have. The pod fails for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} has no device {}: it may have had one before the node or its configuration changed; delete the pod", crate::base::shown(.resource), crate::base::shown(.id))]
pub struct UnknownId {
    /// The resource.
    pub resource: String,
    /// The id that is not known.
    pub id: String,
}

/// A device cannot be given to a container yet. kubelet asks again, and shows the reason in the pod's event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotReady {
    /// One line, without our name in front.
    pub reason: String,
}

/// The devices of one resource, for kubelet.
pub trait Devices: Send + Sync + 'static {
    /// The list, and every later one.
    fn offers(&self) -> watch::Receiver<Vec<Offer>>;

    /// Which `size` of the `available` ones go best together; those in `must` are among them. Advice: kubelet may choose others.
    fn prefer(&self, available: &[String], must: &[String], size: usize) -> Vec<String>;

    /// Reserves devices for a container and says what it gets. Quick, for kubelet admits no other pod meanwhile (Kubernetes issues
    /// 129249 and 130855); it may write a small file. kubelet asks once per container, not again when one of us restarts.
    fn allocate(&self, ids: &[String]) -> Result<Allocation, UnknownId>;

    /// Makes devices ready for a container that is about to be created; safely repeated. Runs in a task of its own to its end, however
    /// soon who asked gives up, and only once at a time for the same ids: who asks again waits for what is under way.
    fn prepare(&self, ids: &[String]) -> impl Future<Output = Result<(), NotReady>> + Send;
}
