//! What kubelet knows of pods: which has which device, and what one is called.

use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message as _;
use tonic::Code;

use super::dial::call;
use super::error::KubeletError;
use super::proto::core::Pod;
use super::proto::podresources::ListPodResourcesRequest;
use super::proto::podresources::pod_resources_lister_client::PodResourcesListerClient;
use super::proto::pods::GetPodRequest;
use super::proto::pods::pods_client::PodsClient;

/// kubelet answers from memory.
const WITHIN: Duration = Duration::from_secs(5);

/// What Kubernetes's own tests take from this API (`test/e2e_node/util.go`, `defaultPodResourcesMaxSize`); kubelet itself has no limit.
const LONGEST: usize = 16 << 20;

/// One pod, with all of its spec and status; an object in etcd is at most 1.5 MiB.
const LONGEST_POD: usize = 4 << 20;

/// Where the Pods API is below kubelet's folder: since Kubernetes 1.37, and in 1.35 and 1.36.
const PODS: [&str; 2] = ["pods-api/pods-api.sock", "pods/kubelet.sock"];

/// Where pod-resources is below kubelet's folder.
const POD_RESOURCES: &str = "pod-resources/kubelet.sock";

/// A pod and its devices, of all its containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodDevices {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Resource and ids, in kubelet's order. Empty for most pods.
    pub devices: Vec<(String, Vec<String>)>,
}

/// A client of kubelet's pod-resources API: which pod has which device.
#[derive(Debug, Clone)]
pub struct PodResources {
    socket: PathBuf,
    within: Duration,
}

impl PodResources {
    /// Of the kubelet whose folder is given, usually `/var/lib/kubelet`.
    pub fn of(root: &Path) -> Self {
        Self { socket: root.join(POD_RESOURCES), within: WITHIN }
    }

    /// The same, with another patience.
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// All pods of the node, those without devices too: whether an answer can be trusted is seen from who is in it.
    pub async fn list(&self) -> Result<Vec<PodDevices>, KubeletError> {
        let listed = call(&self.socket, "List", self.within, |connection, origin| async move {
            let client = PodResourcesListerClient::with_origin(connection, origin);
            client.max_decoding_message_size(LONGEST).list(ListPodResourcesRequest {}).await
        });
        let pods = listed.await?.pod_resources.into_iter().map(|pod| PodDevices {
            namespace: pod.namespace,
            name: pod.name,
            devices: pod
                .containers
                .into_iter()
                .flat_map(|container| container.devices)
                .map(|devices| (devices.resource_name, devices.device_ids))
                .collect(),
        });
        Ok(pods.collect())
    }
}

/// What a pod is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A client of kubelet's Pods API (KEP-4188), which not every kubelet has.
#[derive(Debug, Clone)]
pub struct Pods {
    socket: PathBuf,
    within: Duration,
}

impl Pods {
    /// Of the kubelet whose folder is given, if it has a socket for this now.
    pub fn find(root: &Path) -> Option<Self> {
        let sockets = PODS.into_iter().map(|name| root.join(name));
        sockets.into_iter().find(|socket| socket.exists()).map(|socket| Self { socket, within: WITHIN })
    }

    /// The same, with another patience.
    #[must_use]
    pub fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// What the pod of a UID is called; nothing if kubelet has no such pod.
    pub async fn name_of(&self, uid: &str) -> Result<Option<PodName>, KubeletError> {
        let request = GetPodRequest { pod_uid: uid.to_owned() };
        let asked = call(&self.socket, "GetPod", self.within, |connection, origin| async move {
            PodsClient::with_origin(connection, origin).max_decoding_message_size(LONGEST_POD).get_pod(request).await
        });
        let answer = match asked.await {
            Err(KubeletError::Refused { status, .. }) if status.code() == Code::NotFound => return Ok(None),
            answer => answer?,
        };
        name(&answer.pod, uid).map(Some).map_err(|what| KubeletError::Odd {
            socket: self.socket.clone(),
            call: "GetPod",
            what,
        })
    }
}

/// The name in a pod, which has to be the one that was asked for.
fn name(pod: &[u8], uid: &str) -> Result<PodName, String> {
    let metadata = Pod::decode(pod).map_err(|error| error.to_string())?.metadata.unwrap_or_default();
    if metadata.uid() != uid {
        return Err(format!("it is of pod {}, not {}", crate::base::shown(metadata.uid()), crate::base::shown(uid)));
    }
    match (metadata.namespace, metadata.name) {
        (Some(namespace), Some(name)) if !namespace.is_empty() && !name.is_empty() => Ok(PodName { namespace, name }),
        _ => Err("the pod has no namespace or no name".to_owned()),
    }
}
