//! A node, an agent on it, and the words of kubelet.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use virt_tailor::agent::{Agent, Answer, DeviceId, Look, Moment, PodName, ResourceDevices, Settings};
use virt_tailor::config::node::{Effective, NodeConfig};
use virt_tailor::host::Root;
use virt_tailor::kubelet::{Allocation, Devices as _, NotReady, Offer};
use virt_tailor::prep::engine::{Engine, Guard};
use virt_tailor::prep::journal::Request;
use virt_tailor::prep::{Step, Trouble};

use crate::hand::ModelHands;
use crate::model::Model;
use crate::{AUDIO, GPU, NIC};

pub(crate) const BOOT: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const UID: &str = "1f2e3d4c-0a1b-4c5d-8e9f-001122334455";
pub(crate) const GPUS: &str = "example.com/gpu";
pub(crate) const RESOURCES: &str = "  - {name: example.com/gpu, selector: {class: \"1201\"}, companions: auto}
  - {name: example.com/nic, selector: {class: \"1200\"}}
";

pub(crate) type TestAgent = Agent<ModelHands, Opened>;

/// Who has the one group open that is of interest, as the guard of a real node says it; the kernel lets nobody else open it then. Everything
/// else is allowed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opened(Arc<Mutex<Option<String>>>);

impl Opened {
    /// A pod's QEMU opens it; `false` if another one has.
    pub(crate) fn open(&self, pod: &str) -> bool {
        let mut opened = self.0.lock().unwrap();
        let is_free = opened.is_none();
        if is_free {
            *opened = Some(format!("vfio/1 of {GPU} is open in process 4711 (qemu-kvm, pod {pod})"));
        }
        is_free
    }

    /// It has ended.
    pub(crate) fn close(&self) {
        self.0.lock().unwrap().take();
    }
}

impl Guard for Opened {
    fn before_plan(&self, _: &Request) -> Result<Vec<String>, Trouble> {
        Ok(Vec::new())
    }

    fn before_step(&self, _: &Request, _: &Step) -> Result<Vec<String>, Trouble> {
        Ok(Vec::new())
    }

    fn before_undo(&self, _: &Request) -> Result<Vec<String>, Trouble> {
        Ok(self.0.lock().unwrap().iter().cloned().collect())
    }
}

/// The node and what outlives an agent on it.
pub(crate) struct Rig {
    pub(crate) model: Model,
    pub(crate) hands: ModelHands,
    pub(crate) state: TempDir,
    pub(crate) clock: Arc<AtomicU64>,
    pub(crate) boot: String,
    pub(crate) opened: Opened,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// One with more functions, that can be given away like the NIC: address, group, driver.
    pub(crate) fn with(more: &[(String, u32, &str)]) -> Self {
        let model = Model::with(more);
        furnish(&model, more);
        let state = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(state.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let hands = model.hands();
        Self {
            model,
            hands,
            state,
            clock: Arc::new(AtomicU64::new(1000)),
            boot: BOOT.to_owned(),
            opened: Opened::default(),
        }
    }

    /// An agent takes the node up, after whoever was there before has gone.
    pub(crate) fn start(&self) -> TestAgent {
        self.start_with(self.hands.clone(), RESOURCES)
    }

    pub(crate) fn start_with(&self, hands: ModelHands, resources: &str) -> TestAgent {
        let mut tries = 0;
        let engine = loop {
            match Engine::open(self.state.path(), &self.boot, hands.clone(), self.opened.clone()) {
                Ok((engine, _)) => break engine,
                // The last thread of the one before is about to end.
                Err(error) if tries > 1000 => panic!("{error}"),
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
            tries += 1;
        };
        let clock = Arc::clone(&self.clock);
        let settings = Settings {
            root: self.model.root(),
            state: self.state.path().to_owned(),
            boot: self.boot.clone(),
            clock: Box::new(move || Moment(clock.load(Ordering::SeqCst))),
        };
        let (agent, troubles) = Agent::open(settings, engine).unwrap();
        assert_eq!(troubles, [""; 0]);
        agent.recover(&|_| Ok(false)).unwrap();
        agent.reload(config(resources)).unwrap();
        agent
    }

    /// Time passes, in seconds.
    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Moment {
        Moment(self.clock.load(Ordering::SeqCst))
    }

    /// What is seen now: kubelet names these for the pod, and nobody holds anything.
    pub(crate) fn seen(&self, named: &[&str]) -> Look {
        let pod = PodName { namespace: "vms".to_owned(), name: "launcher".to_owned() };
        let pods: BTreeMap<DeviceId, PodName> = named.iter().map(|id| (id.parse().unwrap(), pod.clone())).collect();
        let uids = BTreeMap::from([(pod, BTreeSet::from([UID.to_owned()]))]);
        let kubelet = Some(Answer { asked: self.now(), counts: true, pods, uids, ..Answer::default() });
        Look { at: self.now(), kubelet, cgroups: Some(BTreeSet::new()), ..Look::default() }
    }

    /// The pod is gone: kubelet says so often enough.
    pub(crate) fn pod_gone(&self, agent: &TestAgent) {
        for _ in 0..8 {
            self.pass(10);
            agent.look(&self.seen(&[]));
            settle(agent);
        }
    }

    /// A file of the agent's own.
    pub(crate) fn write_state(&self, path: &str, text: &str) {
        fs::write(self.state.path().join(path), text).unwrap();
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.model.root().path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

pub(crate) fn config(resources: &str) -> Arc<Effective> {
    let text = format!(
        "apiVersion: virt-tailor.io/v1alpha1\nkind: NodeConfig\nmetadata: {{name: n}}\nspec:\n  resources:\n{resources}"
    );
    Arc::new(NodeConfig::read("node.yaml", &text).unwrap().for_node("n"))
}

/// Waits until nothing is under way.
pub(crate) fn settle(agent: &TestAgent) {
    while !agent.is_idle() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

pub(crate) fn devices(agent: &TestAgent, resource: &str) -> ResourceDevices<ModelHands, Opened> {
    agent.devices(resource.parse().unwrap())
}

pub(crate) fn offers(agent: &TestAgent, resource: &str) -> Vec<Offer> {
    devices(agent, resource).offers().borrow().clone()
}

/// The only id of a resource.
pub(crate) fn only(agent: &TestAgent, resource: &str) -> String {
    let offers = offers(agent, resource);
    assert_eq!(offers.len(), 1, "{offers:?}");
    offers[0].id.clone()
}

pub(crate) fn allocate(agent: &TestAgent, resource: &str, id: &str) -> Allocation {
    devices(agent, resource).allocate(&[id.to_owned()]).unwrap()
}

pub(crate) async fn prepare(agent: &TestAgent, resource: &str, id: &str) -> Result<(), NotReady> {
    devices(agent, resource).prepare(&[id.to_owned()]).await
}

/// Moves a function to where its root bus is, as in a real tree.
pub(crate) fn place(root: &Root, address: &str) {
    let (entry, folder) = (format!("sys/bus/pci/devices/{address}"), format!("sys/devices/pci0000:00/{address}"));
    fs::create_dir_all(root.path("sys/devices/pci0000:00")).unwrap();
    fs::create_dir_all(root.path(&entry)).unwrap();
    fs::rename(root.path(&entry), root.path(&folder)).unwrap();
    symlink(format!("../../../../{folder}"), root.path(&entry)).unwrap();
}

/// Gives the model what every function and every kernel has.
fn furnish(model: &Model, more: &[(String, u32, &str)]) {
    let root = model.root();
    let put = |path: String, text: &[u8]| {
        fs::create_dir_all(root.path(&path).parent().unwrap()).unwrap();
        fs::write(root.path(&path), text).unwrap();
    };
    let three = [(GPU, "0x120100", 1), (AUDIO, "0x040300", 1), (NIC, "0x120000", 2)];
    let more = more.iter().map(|(address, group, _)| (address.as_str(), "0x120000", *group));
    for (address, class, group) in three.into_iter().chain(more) {
        place(&root, address);
        let folder = format!("sys/bus/pci/devices/{address}");
        put(format!("{folder}/vendor"), b"0x8086\n");
        put(format!("{folder}/device"), b"0x1234\n");
        put(format!("{folder}/class"), format!("{class}\n").as_bytes());
        put(format!("{folder}/config"), &[0; 64]);
        put(format!("{folder}/resource"), "0x0 0x0 0x0\n".repeat(13).as_bytes());
        put(format!("{folder}/reset_method"), b"flr\n");
        put(format!("{folder}/numa_node"), b"0\n");
        let members = root.path(format!("sys/kernel/iommu_groups/{group}/devices"));
        fs::create_dir_all(&members).unwrap();
        symlink(format!("../../../../bus/pci/devices/{address}"), members.join(address)).unwrap();
    }
    for module in ["vfio_pci", "vfio_iommu_type1", "vfio"] {
        put(format!("sys/module/{module}/initstate"), b"live\n");
        put(format!("sys/module/{module}/refcnt"), b"0\n");
    }
    put("proc/modules".to_owned(), b"vfio_pci 1 0 - Live 0x0\nvfio_iommu_type1 1 0 - Live 0x0\nvfio 1 0 - Live 0x0\n");
    put("proc/sys/kernel/osrelease".to_owned(), b"6.12.0\n");
    for list in ["modules.dep", "modules.builtin", "modules.alias", "modules.softdep"] {
        put(format!("lib/modules/6.12.0/{list}"), b"");
    }
    put("sys/class/iommu/dmar0/x".to_owned(), b"");
}
