//! A model of a node, its socket, and virt-handler.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use virt_tailor::kubevirt::node::{NodeHooks, NodeVm, NotReady, Point, serve_node_hooks};
use virt_tailor::kubevirt::proto::plugins::node_hook_service_client::NodeHookServiceClient;
use virt_tailor::kubevirt::proto::plugins::{ExecuteNodeHookRequest, NodeContext};

pub(crate) const UID: &str = "1f2e3d4c-0a1b-4c5d-8e9f-001122334455";
pub(crate) const PACE: Duration = Duration::from_millis(20);

/// How a node behaves.
#[derive(Debug, Clone, Default)]
pub(crate) enum Mood {
    #[default]
    Well,
    Not(NotReady),
    Hangs,
    Panics,
}

/// A node that remembers what it was told.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) mood: Mutex<Mood>,
    pub(crate) told: Mutex<Vec<String>>,
}

impl Model {
    pub(crate) fn feels(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// What it was told since it was last asked.
    pub(crate) fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    async fn answer(&self, word: String) -> Result<(), NotReady> {
        self.told.lock().unwrap().push(word);
        let mood = self.mood.lock().unwrap().clone();
        match mood {
            Mood::Well => Ok(()),
            Mood::Not(why) => Err(why),
            Mood::Hangs => std::future::pending().await,
            Mood::Panics => panic!("a model that panics"),
        }
    }
}

impl NodeHooks for Model {
    fn owns(&self, resource: &str) -> bool {
        resource.starts_with("example.com/")
    }

    async fn before_start(&self, vm: &NodeVm) -> Result<(), NotReady> {
        self.answer(format!("start {}/{} {:?} {:?} {:?}", vm.namespace, vm.name, vm.resources, vm.profiles, vm.pods))
            .await
    }

    async fn ending(&self, vm: Option<&NodeVm>, point: Point) {
        let name = vm.map_or("somebody".to_owned(), |vm| format!("{}/{}", vm.namespace, vm.name));
        let _ = self.answer(format!("{point} {name}")).await;
    }
}

/// A served socket.
pub(crate) struct Rig {
    pub(crate) model: Arc<Model>,
    pub(crate) folder: TempDir,
    pub(crate) socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl Rig {
    /// One that is there.
    pub(crate) async fn new() -> Self {
        let mut rig = Self::in_folder("s.sock");
        rig.serve();
        rig.is_served().await;
        rig
    }

    /// One that is not served yet.
    pub(crate) fn in_folder(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join(name);
        Self { model: Arc::default(), folder, socket, stop: None, serving: None }
    }

    pub(crate) fn serve(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let (socket, model) = (self.socket.clone(), Arc::clone(&self.model));
        self.stop = Some(stop);
        self.serving = Some(tokio::spawn(async move {
            serve_node_hooks(&socket, model, PACE, async {
                let _ = stopped.await;
            })
            .await;
        }));
    }

    /// Until somebody answers.
    pub(crate) async fn is_served(&self) {
        while UnixStream::connect(&self.socket).await.is_err() {
            tokio::time::sleep(PACE).await;
        }
    }

    pub(crate) async fn end(&mut self) {
        self.stop = None;
        self.serving.take().unwrap().await.unwrap();
    }

    pub(crate) async fn call(&self, point: &str, vmi: impl Into<Vec<u8>>) -> Result<(), Status> {
        let channel = connect(&self.socket).await.unwrap();
        let request = ExecuteNodeHookRequest {
            hook_point: point.to_owned(),
            vmi: vmi.into().into(),
            node_context: Some(NodeContext { node_name: "n1".to_owned() }),
        };
        NodeHookServiceClient::new(channel).execute_node_hook(request).await.map(|_| ())
    }
}

pub(crate) async fn connect(socket: &Path) -> Result<Channel, tonic::transport::Error> {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await
}

/// A VMI as virt-handler sends it.
pub(crate) fn vmi(resource: &str, profiles: &str) -> Value {
    json!({
        "metadata": {"name": "vm", "namespace": "vms", "annotations": {"virt-tailor.io/node-profiles": profiles}},
        "spec": {"domain": {"devices": {"hostDevices": [{"name": "d", "deviceName": resource}]}}},
        "status": {"phase": "Scheduled", "activePods": {UID: "n1", "2f2e3d4c-0a1b-4c5d-8e9f-001122334455": "n2"}},
    })
}

pub(crate) fn ours() -> Vec<u8> {
    vmi("example.com/gpu", "").to_string().into_bytes()
}
