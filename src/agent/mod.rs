//! The node agent's one state: what this node gives, who has it, and when it goes back.
//!
//! | file | what it is |
//! |---|---|
//! | `id`, `inventory` | what there is: one id for each thing that has one owner |
//! | `promise` | what kubelet was told, kept on disk |
//! | `tenancy` | whether a device is free: a pure function of what was seen |
//! | `task` | what goes on: a thread for each device or pod, which callers wait for and never are |
//! | `offer` | what kubelet sees: the list of a resource, and its health |
//! | `again` | what was refused for long, looked at again |
//! | `ready` | PreStartContainer: from a promise to a device that can be opened |
//! | `back` | release: from a verdict to a node that is as it was |
//! | `devices` | [`crate::kubelet::Devices`] for one resource |
//! | `pods`, `lock`, `errand` | what is done around a pod: profiles, the memory lock, [`crate::link::Errands`] |
//! | `emulator` | which QEMU is that of a VM |
//! | `kept` | the last configuration that was in force, kept on disk |
//! | `level` | how much a pod's VM may lock, kept on disk |
//! | `over` | the pods that have said that their VM is over |
//! | `look` | gathering what was seen |
//! | `refusal`, `status` | what people are told |
//!
//! Everything that is changed goes through the engine; the entrances (kubelet, link, hooks, a person) only call in here. Observations are
//! values. Nothing waits for a person's or a client's deadline: a plan runs to its end whoever has stopped listening.

mod again;
mod back;
mod devices;
mod emulator;
mod errand;
mod id;
mod inventory;
mod kept;
mod level;
mod lock;
mod look;
mod moment;
mod offer;
mod over;
mod pods;
mod promise;
mod ready;
mod refusal;
mod status;
mod task;
mod tenancy;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::config::node::Effective;
use crate::host::Root;
use crate::kubelet::Offer;
use crate::prep::Trouble;
use crate::prep::engine::{Engine, Guard, Recovered};
use crate::prep::hand::Hands;
use crate::prep::journal::{Holding, HoldingPhase, JournalError};

pub use back::{Selection, Taken};
pub use devices::ResourceDevices;
pub use errand::{PodErrands, still_running};
pub use id::{DeviceId, DeviceIdError};
pub use inventory::{Inventory, Unit};
pub use kept::{keep_configuration, kept_configuration};
pub use look::{Watched, look_around};
pub use moment::Moment;
pub use pods::{cgroups_of_pods, uids_of};
pub use promise::{Promise, Promises, allocation};
pub use refusal::{Cause, Refusals, Refused};
pub use status::{DeviceStatus, STATUS, Status};
pub use tenancy::{APART, Answer, LAPSE, Look, PodName, PodUid, Tenancy, Verdict};

use errand::PodState;
use level::Levels;
use over::Over;
use task::Task;

/// Where the agent is and what time it is there.
pub struct Settings {
    /// The node's files.
    pub root: Root,
    /// Where promises are kept: the engine's own state folder.
    pub state: PathBuf,
    /// The boot that is going on.
    pub boot: String,
    /// The time; tests have their own.
    pub clock: Box<dyn Fn() -> Moment + Send + Sync>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("root", &self.root).field("state", &self.state).finish_non_exhaustive()
    }
}

/// The agent of one node; clones are the same one.
pub struct Agent<H, G>(Arc<Inner<H, G>>);

impl<H, G> Clone for Agent<H, G> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H, G> fmt::Debug for Agent<H, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

struct Inner<H, G> {
    settings: Settings,
    engine: Engine<H, G>,
    desk: Mutex<Desk>,
    /// One refresh at a time.
    refreshing: Mutex<()>,
    /// The resources that are served.
    resources: watch::Sender<BTreeSet<String>>,
    /// The latest answer of kubelet.
    answers: watch::Sender<Arc<Answer>>,
    /// Somebody would like a look around now.
    wanted: Notify,
    /// A person wanted everything back: what resources make is not made again before another configuration or start.
    resting: AtomicBool,
}

/// What is in hand.
struct Desk {
    config: Arc<Effective>,
    /// Why the one that is given is not in force, if so.
    rejected: Option<String>,
    inventory: Inventory,
    promises: Promises,
    tenancies: BTreeMap<DeviceId, Tenancy>,
    /// By owner.
    tasks: BTreeMap<String, Arc<Task>>,
    offers: BTreeMap<String, watch::Sender<Vec<Offer>>>,
    refusals: Refusals,
    pods: BTreeMap<PodUid, PodState>,
    over: Over,
    levels: Levels,
    /// Why what a resource makes could not be made, by owner.
    unmade: BTreeMap<String, String>,
    /// When an undo that did not go through is tried again, by owner.
    again: BTreeMap<String, Moment>,
}

impl<H, G> Agent<H, G>
where
    H: Hands + Send + Sync + 'static,
    G: Guard + Send + Sync + 'static,
{
    /// Takes up a node: reads what was promised. Nothing is offered before [`Agent::recover`] and [`Agent::begin_with`].
    ///
    /// # Errors
    ///
    /// The promises cannot be listed. What cannot be read of them is in the list of lines.
    pub fn open(settings: Settings, engine: Engine<H, G>) -> io::Result<(Self, Vec<String>)> {
        let (promises, troubles) = Promises::open(&settings.state)?;
        let levels = Levels::below(&settings.state);
        let desk = Desk {
            config: Arc::default(),
            rejected: None,
            inventory: Inventory::default(),
            promises,
            tenancies: BTreeMap::new(),
            tasks: BTreeMap::new(),
            offers: BTreeMap::new(),
            refusals: Refusals::default(),
            pods: BTreeMap::new(),
            over: Over::default(),
            levels,
            unmade: BTreeMap::new(),
            again: BTreeMap::new(),
        };
        let (resources, answers) = (watch::Sender::default(), watch::Sender::default());
        let (desk, refreshing, wanted) = (Mutex::new(desk), Mutex::default(), Notify::new());
        let resting = AtomicBool::new(false);
        let inner = Inner { settings, engine, desk, refreshing, resources, answers, wanted, resting };
        Ok((Self(Arc::new(inner)), troubles))
    }

    /// Finishes or undoes what a crash cut short, by who uses his device (`alive`), and adopts what is live. Before anything is served.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: nothing can be written down.
    pub fn recover(&self, alive: &dyn Fn(&Holding) -> Result<bool, Trouble>) -> Result<Vec<Recovered>, JournalError> {
        let recovered = self.0.engine.recover(alive, &mut |_| ())?;
        let now = self.now();
        let mut desk = self.desk();
        let holdings = self.0.engine.ledger().holdings;
        let held = |id: &DeviceId| id.owner().is_some_and(|owner| holdings.contains_key(&owner));
        let mut tenancies: BTreeMap<DeviceId, Tenancy> = BTreeMap::new();
        for (id, promise) in desk.promises.all() {
            let tenancy = match promise.boot == self.0.settings.boot {
                true if held(id) => Tenancy::adopted(now),
                true => Tenancy::begin(promise.at.min(now)),
                // kubelet may still answer from its memory of the last boot: the promise is what that is held against.
                false => Tenancy::begin(now),
            };
            // kubelet may not name the pod any more, and it may not have opened anything yet: its control group is what is left.
            tenancies.insert(id.clone(), Tenancy { uids: promise.uids.clone(), ..tenancy });
        }
        for (owner, holding) in &holdings {
            if let Some(id) = DeviceId::of_owner(owner).filter(|_| holding.phase == HoldingPhase::Ready) {
                tenancies.entry(id).or_insert_with(|| Tenancy::adopted(now));
            }
        }
        desk.tenancies = tenancies;
        let uids: BTreeSet<PodUid> = holdings.keys().filter_map(errand::uid_of_owner).collect();
        desk.levels.only(&uids);
        for uid in uids {
            let lock = desk.levels.of(&uid);
            desk.pods.entry(uid).or_insert_with(|| PodState::adopted(now, lock));
        }
        Ok(recovered)
    }

    /// The engine: for its guard and its ledger.
    pub fn engine(&self) -> &Engine<H, G> {
        &self.0.engine
    }

    /// The resources that are to be served, and each change of them.
    pub fn resources(&self) -> watch::Receiver<BTreeSet<String>> {
        self.0.resources.subscribe()
    }

    /// Ends when somebody waits for kubelet's answer or a look around.
    pub async fn look_wanted(&self) {
        self.0.wanted.notified().await;
    }

    /// Has somebody look around soon: a hook or a link said that something has ended.
    pub fn want_look(&self) {
        self.0.wanted.notify_one();
    }

    /// What time it is.
    pub fn now(&self) -> Moment {
        (self.0.settings.clock)()
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.desk().tasks.is_empty()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        // What is in it is replaced whole or not at all.
        self.0.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn root(&self) -> &Root {
        &self.0.settings.root
    }
}
