//! Devices that are numbers, and what was asked of them.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use virt_tailor::kubelet::{Allocation, DeviceNode, Devices, NotReady, Offer, Times, UnknownId, serve_resource_at};

pub const RESOURCE: &str = "devices.example/gpu";

/// Long enough for a machine that does many other things; nothing waits so long when all is well.
pub const SOON: Duration = Duration::from_secs(60);

/// The pace of a test.
pub fn hurried() -> Times {
    Times {
        register: Duration::from_secs(20),
        settle: Duration::from_millis(200),
        quiet: Duration::from_millis(100),
        longest: Duration::from_millis(400),
        drain: Duration::from_secs(1),
        rescan: Duration::from_secs(600),
        ..Times::default()
    }
}

/// How a preparation ends.
#[derive(Debug, Clone)]
pub enum End {
    Ready,
    NotReady(String),
    Panic,
}

#[derive(Debug)]
pub struct Model {
    pub offers: watch::Sender<Vec<Offer>>,
    pub allocations: AtomicUsize,
    /// Preparations that began, and that came to their end.
    pub began: AtomicUsize,
    pub ended: watch::Sender<usize>,
    /// Preparations wait while this is shut.
    pub open: watch::Sender<bool>,
    pub end: Mutex<End>,
    pub advice: Mutex<Vec<String>>,
    /// Ids that are being prepared: none twice at once.
    busy: Mutex<HashSet<String>>,
}

pub fn offer(id: &str) -> Offer {
    Offer { id: id.to_owned(), healthy: true, numa: None }
}

impl Model {
    pub fn new(ids: &[&str]) -> Arc<Self> {
        Arc::new(Self {
            offers: watch::Sender::new(ids.iter().map(|id| offer(id)).collect()),
            allocations: AtomicUsize::new(0),
            began: AtomicUsize::new(0),
            ended: watch::Sender::new(0),
            open: watch::Sender::new(true),
            end: Mutex::new(End::Ready),
            advice: Mutex::default(),
            busy: Mutex::default(),
        })
    }

    pub fn began(&self) -> usize {
        self.began.load(Ordering::SeqCst)
    }
}

impl Devices for Model {
    fn offers(&self) -> watch::Receiver<Vec<Offer>> {
        self.offers.subscribe()
    }

    fn prefer(&self, _: &[String], _: &[String], _: usize) -> Vec<String> {
        self.advice.lock().unwrap().clone()
    }

    fn allocate(&self, ids: &[String]) -> Result<Allocation, UnknownId> {
        let offers = self.offers.borrow();
        if let Some(id) = ids.iter().find(|id| offers.iter().all(|offer| offer.id != **id)) {
            return Err(UnknownId { resource: RESOURCE.to_owned(), id: id.clone() });
        }
        self.allocations.fetch_add(1, Ordering::SeqCst);
        let node = |path: String| DeviceNode { host_path: path.clone(), container_path: path, permissions: "mrw" };
        Ok(Allocation {
            envs: BTreeMap::from([("PCI_RESOURCE_DEVICES_EXAMPLE_GPU".to_owned(), ids.join(","))]),
            nodes: std::iter::once("vfio".to_owned())
                .chain(ids.to_vec())
                .map(|id| node(format!("/dev/vfio/{id}")))
                .collect(),
        })
    }

    async fn prepare(&self, ids: &[String]) -> Result<(), NotReady> {
        self.began.fetch_add(1, Ordering::SeqCst);
        for id in ids {
            assert!(self.busy.lock().unwrap().insert(id.clone()), "{id} is prepared twice at once");
        }
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        tokio::task::yield_now().await;
        for id in ids {
            self.busy.lock().unwrap().remove(id);
        }
        let end = self.end.lock().unwrap().clone();
        self.ended.send_modify(|ended| *ended += 1);
        match end {
            End::Ready => Ok(()),
            End::NotReady(reason) => Err(NotReady { reason }),
            End::Panic => panic!("as the test wants"),
        }
    }
}

/// A served resource.
pub struct Plugin {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    pub socket: PathBuf,
}

impl Plugin {
    pub fn start(root: &Path, model: &Arc<Model>, times: Times) -> Self {
        let folder = root.join("device-plugins");
        let (stop, stopped) = oneshot::channel::<()>();
        // As it is said to be: always the same.
        let socket = folder.join(format!("virt-tailor-{:08x}-gpu.sock", crc32fast::hash(RESOURCE.as_bytes())));
        let model = Arc::clone(model);
        let task = tokio::spawn(async move {
            serve_resource_at(&folder, RESOURCE, model, times, async {
                let _ = stopped.await;
            })
            .await;
        });
        Self { stop: Some(stop), task, socket }
    }

    /// Ends in order.
    pub async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.task.await.unwrap();
    }

    /// Ends as if killed: the socket's file stays.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
        drop(std::os::unix::net::UnixListener::bind(&self.socket).unwrap());
    }
}
