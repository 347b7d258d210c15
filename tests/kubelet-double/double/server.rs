//! The registration, and what becomes of a registered plugin.

use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, async_trait};
use virt_tailor::kubelet::proto::deviceplugin as proto;
use virt_tailor::kubelet::proto::deviceplugin::registration_server::{Registration, RegistrationServer};
use virt_tailor::kubelet::proto::podresources::pod_resources_lister_server::PodResourcesListerServer;
use virt_tailor::kubelet::proto::pods::pods_server::PodsServer;

use super::client::Client;
use super::pods::PodsOfKubelet;
use super::{Age, Shared};

/// What listens.
#[derive(Debug)]
pub(super) struct Serving {
    end: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Serving {
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let end = watch::Sender::new(false);
        let registration = RegistrationServer::new(Registry(Arc::clone(shared)));
        let pods = PodsOfKubelet(Arc::clone(shared));
        let resources = PodResourcesListerServer::new(pods.clone()).max_encoding_message_size(16 << 20);
        let serve = |path: &str, router: tonic::transport::server::Router| {
            let path = shared.root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let _ = std::fs::remove_file(&path);
            let incoming = UnixListenerStream::new(UnixListener::bind(path).unwrap());
            let mut ended = end.subscribe();
            let ended = async move {
                let _ = ended.wait_for(|ended| *ended).await;
            };
            tokio::spawn(async move {
                let _ = router.serve_with_incoming_shutdown(incoming, ended).await;
            })
        };
        let tasks = vec![
            serve("device-plugins/kubelet.sock", Server::builder().add_service(registration)),
            serve("pod-resources/kubelet.sock", Server::builder().add_service(resources)),
            serve("pods-api/pods-api.sock", Server::builder().add_service(PodsServer::new(pods))),
        ];
        Self { end, tasks }
    }

    pub(super) async fn end(self) {
        self.end.send_replace(true);
        for task in self.tasks {
            // A registration that hangs does not keep a kubelet from being killed.
            if tokio::time::timeout(std::time::Duration::from_millis(200), task).await.is_err() {
                continue;
            }
        }
    }
}

/// `Registration`.
struct Registry(Arc<Shared>);

#[async_trait]
impl Registration for Registry {
    async fn register(&self, request: Request<proto::RegisterRequest>) -> Result<Response<proto::Empty>, Status> {
        let request = request.into_inner();
        if request.version != "v1beta1" {
            let version = request.version;
            return Err(Status::unknown(format!("requested API version {version:?} is not supported by kubelet")));
        }
        if !is_extended_resource(&request.resource_name) {
            let name = request.resource_name;
            return Err(Status::unknown(format!("the ResourceName {name:?} is invalid")));
        }
        // kubelet's handlers run to their end, whoever hangs up.
        let shared = Arc::clone(&self.0);
        let connecting = tokio::spawn(connect(shared, request.resource_name, request.endpoint));
        connecting.await.unwrap().map_err(Status::unknown)?;
        Ok(Response::new(proto::Empty {}))
    }
}

/// `IsExtendedResourceName`, near enough.
fn is_extended_resource(name: &str) -> bool {
    name.split_once('/').is_some_and(|(domain, rest)| {
        !domain.ends_with("kubernetes.io") && !domain.is_empty() && !rest.is_empty() && rest.len() <= 63
    })
}

/// `connectClient`, `PluginConnected`.
async fn connect(shared: Arc<Shared>, resource: String, endpoint: String) -> Result<(), String> {
    let client = Client::connect(&shared.plugins().join(endpoint)).await?;
    {
        let mut state = shared.state();
        let clients = state.clients.entry(resource.clone()).or_default();
        if shared.kind.age == Age::ByName {
            clients.clear();
        }
        clients.push(client.clone());
        state.endpoints.insert(resource.clone(), client.clone());
        let known = state.known.entry(resource.clone()).or_default();
        known.stopped = false;
        known.registrations += 1;
    }
    shared.tell();
    tokio::spawn(run(shared, resource, client));
    Ok(())
}

/// `runClient`: reads lists until there are no more, and then disconnects whom it finds under this name.
async fn run(shared: Arc<Shared>, resource: String, client: Client) {
    if let Ok(mut lists) = client.lists().await {
        loop {
            let list = tokio::select! {
                list = lists.message() => list,
                () = client.closed() => break,
            };
            let Ok(Some(list)) = list else { break };
            received(&shared, &resource, list);
        }
    }
    sleep(shared.kind.notice).await;
    let found = {
        let mut state = shared.state();
        let Some(clients) = state.clients.get_mut(&resource) else { return };
        let found = match shared.kind.age {
            Age::ByName => clients.first().cloned(),
            Age::ByPath => clients.iter().find(|other| other.socket == client.socket).cloned(),
        };
        let Some(found) = found else { return };
        clients.retain(|other| !other.same(&found));
        // `Disconnect` closes the connection of whom was found, and stops the endpoint of the resource, whosever it is.
        state.disconnected(&resource);
        found
    };
    found.close();
    shared.tell();
}

/// `genericDeviceUpdateCallback`: the list is complete.
fn received(shared: &Shared, resource: &str, list: proto::ListAndWatchResponse) {
    {
        let mut state = shared.state();
        let known = state.known.entry(resource.to_owned()).or_default();
        known.healthy.clear();
        known.unhealthy.clear();
        known.numa.clear();
        known.lists += 1;
        for device in list.devices {
            let nodes = device.topology.map(|topology| topology.nodes.into_iter().map(|node| node.id).collect());
            known.numa.insert(device.id.clone(), nodes.unwrap_or_default());
            if device.health == "Healthy" {
                known.healthy.insert(device.id)
            } else {
                known.unhealthy.insert(device.id)
            };
        }
    }
    shared.tell();
}
