//! kubelet's side of its protocols, modelled on kubelet's source: a test double that speaks them over real sockets.
//!
//! | file | of kubelet's |
//! |---|---|
//! | [`Kubelet`] | `pkg/kubelet/cm/devicemanager/manager.go`: what it knows, `devicesToAllocate`, `Allocate`, `callPreStartContainerIfNeeded` |
//! | `server` | `.../plugin/v1beta1/server.go`, `handler.go`: the registration, `connectClient`, `runClient` |
//! | `client` | `.../plugin/v1beta1/client.go`, `endpoint.go`: one connection to a plugin |
//! | `checkpoint` | `.../checkpoint/checkpoint.go`: what survives a restart (its content, not its checksum) |
//! | `pods` | `pkg/kubelet/apis/podresources/server_v1.go`, `pkg/kubelet/pods`: who has what |
//!
//! Not modelled: the topology manager, the reuse of an init container's devices, the five minutes after which a resource without an
//! endpoint is forgotten.

mod checkpoint;
mod client;
mod pods;
mod server;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, watch};
use tokio::time::timeout;
use virt_tailor::kubelet::proto::deviceplugin as proto;

use client::Client;
use server::Serving;

/// How a kubelet takes the end of a stream (`handler.go`, `runClient`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Clients are found by the name of their resource: the end of an old stream closes the connection of a new registration.
    ByName,
    /// Clients are found by name and socket: the end of an old stream stops the endpoint of a new registration and leaves its stream
    /// open.
    ByPath,
}

/// What kind of kubelet.
#[derive(Debug, Clone)]
pub struct Kind {
    pub age: Age,
    /// How long it takes to notice the end of a stream.
    pub notice: Duration,
    /// `KubeletPreStartContainerRPCTimeoutInSecs`: 30 s.
    pub prestart: Duration,
}

impl Default for Kind {
    fn default() -> Self {
        Self { age: Age::ByName, notice: Duration::ZERO, prestart: Duration::from_secs(30) }
    }
}

/// A pod that has been admitted.
#[derive(Debug, Clone, Default)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    /// Container, resource, what it got.
    pub containers: BTreeMap<String, BTreeMap<String, Given>>,
}

/// What a container got of one resource: kept, and never asked for again.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    pub ids: Vec<String>,
    pub response: proto::ContainerAllocateResponse,
}

/// What is known of a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    pub healthy: BTreeSet<String>,
    pub unhealthy: BTreeSet<String>,
    /// NUMA nodes by id, as the plugin told.
    pub numa: BTreeMap<String, Vec<i64>>,
    /// Whether its endpoint is stopped: Allocate and PreStartContainer fail.
    pub stopped: bool,
    /// How often it has been registered with this kubelet.
    pub registrations: usize,
    /// How many lists came.
    pub lists: usize,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<String, Known>,
    endpoints: HashMap<String, Client>,
    clients: HashMap<String, Vec<Client>>,
    pods: BTreeMap<String, Pod>,
}

/// What all parts share.
#[derive(Debug)]
struct Shared {
    root: PathBuf,
    kind: Kind,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    /// Admission is one pod at a time.
    admission: Turn<()>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn plugins(&self) -> PathBuf {
        self.root.join("device-plugins")
    }
}

/// A running kubelet.
#[derive(Debug)]
pub struct Kubelet {
    shared: Arc<Shared>,
    serving: Mutex<Option<Serving>>,
}

impl Kubelet {
    /// Starts in a folder that stands for `/var/lib/kubelet`: reads the checkpoint, wipes the sockets, listens.
    pub fn start(root: &Path, kind: Kind) -> Self {
        let shared = Shared {
            root: root.to_owned(),
            kind,
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            admission: Turn::default(),
        };
        std::fs::create_dir_all(shared.plugins()).unwrap();
        shared.state().pods = checkpoint::read(&shared.plugins());
        wipe(&shared.plugins());
        let shared = Arc::new(shared);
        let serving = Mutex::new(Some(Serving::start(&shared)));
        Self { shared, serving }
    }

    /// Ends as if killed: connections break, files stay.
    pub async fn stop(&self) {
        let clients = {
            let mut state = self.shared.state();
            state.endpoints.clear();
            std::mem::take(&mut state.clients)
        };
        clients.into_values().flatten().for_each(|client| client.close());
        let serving = self.serving.lock().unwrap().take();
        if let Some(serving) = serving {
            serving.end().await;
        }
    }

    /// The next one after this: it learns from the API server which pods there are.
    pub fn next(&self) -> Self {
        let next = Self::start(&self.shared.root, self.shared.kind.clone());
        for (uid, pod) in self.pods() {
            next.add_pod(&uid, &pod.namespace, &pod.name);
        }
        next
    }

    /// Stops, and another one starts.
    pub async fn restart(&mut self) {
        self.stop().await;
        *self = self.next();
    }

    /// The connection to a plugin breaks.
    pub fn hang_up(&self, resource: &str) {
        let clients = self.shared.state().clients.get(resource).cloned().unwrap_or_default();
        clients.iter().for_each(Client::close);
    }

    /// What is known of a resource now.
    pub fn known(&self, resource: &str) -> Known {
        self.shared.state().known.get(resource).cloned().unwrap_or_default()
    }

    /// Waits until something is known of a resource.
    pub async fn wait(&self, resource: &str, within: Duration, is: impl Fn(&Known) -> bool) -> Result<Known, String> {
        let mut changed = self.shared.changed.subscribe();
        let waiting = async {
            loop {
                let known = self.known(resource);
                if is(&known) {
                    return known;
                }
                let _ = changed.changed().await;
            }
        };
        timeout(within, waiting)
            .await
            .map_err(|_| format!("not within {} s; {resource} is {:?}", within.as_secs_f32(), self.known(resource)))
    }

    /// A pod of this name exists from now on.
    pub fn add_pod(&self, uid: &str, namespace: &str, name: &str) {
        let pod = Pod { namespace: namespace.to_owned(), name: name.to_owned(), ..Pod::default() };
        self.shared.state().pods.entry(uid.to_owned()).or_insert(pod);
    }

    /// The pod is gone; its devices can be given to others.
    pub fn remove_pod(&self, uid: &str) {
        let mut state = self.shared.state();
        state.pods.remove(uid);
        checkpoint::write(&self.shared.plugins(), &state.pods);
    }

    /// All pods.
    pub fn pods(&self) -> BTreeMap<String, Pod> {
        self.shared.state().pods.clone()
    }

    /// Admission of a container that wants devices (`allocateContainerResources`): from the checkpoint if it has them already, else chosen
    /// with the plugin's advice. An error fails the pod for good.
    pub async fn admit(&self, uid: &str, container: &str, resource: &str, count: usize) -> Result<Given, String> {
        let _turn = self.shared.admission.lock().await;
        let (endpoint, available) = {
            let state = self.shared.state();
            let known = state.known.get(resource).ok_or(format!("cannot allocate unregistered device {resource}"))?;
            let had = state.given(uid, container, resource);
            if known.healthy.is_empty() {
                return Err(format!("no healthy devices present; cannot allocate unhealthy devices {resource}"));
            }
            if had.is_some_and(|given| !given.ids.iter().all(|id| known.healthy.contains(id))) {
                return Err(format!(
                    "previously allocated devices are no longer healthy; cannot allocate unhealthy devices {resource}"
                ));
            }
            if let Some(given) = had {
                return Ok(given.clone());
            }
            let in_use = state.in_use(resource);
            let available: Vec<String> = known.healthy.difference(&in_use).cloned().collect();
            if available.len() < count {
                return Err(format!(
                    "requested number of devices unavailable for {resource}. Requested: {count}, Available: {}",
                    available.len()
                ));
            }
            (state.endpoints.get(resource).cloned().ok_or(format!("unknown Device Plugin {resource}"))?, available)
        };
        let mut preferred = endpoint.preferred(&available, count).await?;
        preferred.retain(|id| available.contains(id));
        let rest = available.iter().filter(|id| !preferred.contains(id)).cloned().collect::<Vec<_>>();
        let ids: Vec<String> = preferred.into_iter().chain(rest).take(count).collect();
        self.give(uid, container, resource, endpoint, ids).await
    }

    /// As [`Self::admit`], with the ids given.
    pub async fn admit_ids(&self, uid: &str, container: &str, resource: &str, ids: &[String]) -> Result<Given, String> {
        let _turn = self.shared.admission.lock().await;
        if let Some(given) = self.shared.state().given(uid, container, resource) {
            return Ok(given.clone());
        }
        let endpoint = self.endpoint(resource)?;
        self.give(uid, container, resource, endpoint, ids.to_vec()).await
    }

    async fn give(
        &self,
        uid: &str,
        container: &str,
        resource: &str,
        endpoint: Client,
        ids: Vec<String>,
    ) -> Result<Given, String> {
        let response = endpoint.allocate(&ids).await?;
        let given = Given { ids, response };
        let mut state = self.shared.state();
        let pod = state.pods.get_mut(uid).ok_or("no such pod")?;
        pod.containers.entry(container.to_owned()).or_default().insert(resource.to_owned(), given.clone());
        checkpoint::write(&self.shared.plugins(), &state.pods);
        Ok(given)
    }

    /// Before a container is created (`GetDeviceRunContainerOptions`): PreStartContainer for each of its resources. An error is tried
    /// again by kubelet, with a backoff; here by who calls.
    pub async fn start_container(&self, uid: &str, container: &str) -> Result<(), String> {
        let resources = {
            let state = self.shared.state();
            let pod = state.pods.get(uid).ok_or("no such pod")?;
            pod.containers.get(container).cloned().unwrap_or_default()
        };
        for (resource, given) in resources {
            let endpoint = self.endpoint(&resource)?;
            endpoint
                .pre_start(&given.ids, self.shared.kind.prestart)
                .await
                .map_err(|error| format!("device plugin PreStartContainer rpc failed with err: {error}"))?;
        }
        Ok(())
    }

    fn endpoint(&self, resource: &str) -> Result<Client, String> {
        let state = self.shared.state();
        state
            .endpoints
            .get(resource)
            .cloned()
            .ok_or(format!("endpoint not found in cache for a registered resource: {resource}"))
    }
}

impl State {
    fn given(&self, uid: &str, container: &str, resource: &str) -> Option<&Given> {
        self.pods.get(uid)?.containers.get(container)?.get(resource)
    }

    fn in_use(&self, resource: &str) -> BTreeSet<String> {
        let containers = self.pods.values().flat_map(|pod| pod.containers.values());
        containers.filter_map(|given| given.get(resource)).flat_map(|given| given.ids.clone()).collect()
    }

    /// `markResourceUnhealthy` and `setStopTime`.
    fn disconnected(&mut self, resource: &str) {
        if let Some(endpoint) = self.endpoints.get(resource) {
            endpoint.stop();
            let known = self.known.entry(resource.to_owned()).or_default();
            known.unhealthy.append(&mut std::mem::take(&mut known.healthy));
            known.stopped = true;
        }
    }
}

/// `CleanupPluginDirectory`: every socket goes, everything else stays.
fn wipe(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_socket()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
