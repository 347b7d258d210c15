//! What is done around a pod: it names profiles and a memory lock, nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::base::{ByteSize, shown};
use crate::config::Memlock;
use crate::link::{self, Errands, Pod, Refusal, Reply, Request};
use crate::prep::engine::Guard;
use crate::prep::guard::Site;
use crate::prep::hand::Hands;
use crate::prep::journal::HoldingPhase;
use crate::prep::{Compiler, Owner};

use super::lock::{Held, capped, greater, hold};
use super::pods::{place, vm_processes};
use super::task::{Course, Outcome, Task};
use super::tenancy::{PodName, PodUid};
use super::{Agent, Desk, Moment, cgroups_of_pods};

/// What the owners of what pods ask for begin with.
const PREFIX: &str = "pod/";
/// An answer comes within a second; what takes longer is said to.
const ANSWER_WITHIN: Duration = Duration::from_millis(800);

/// What a pod has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PodState {
    /// When it first did.
    pub(super) since: Moment,
    /// What it asked for; `None` after a restart of ours, until it asks again.
    asked: Option<Asked>,
    /// What its processes may lock, held as a level.
    pub(super) lock: Option<Memlock>,
    /// Whether it is as much as was asked, and was last found so.
    confirmed: bool,
    /// Why its plan failed.
    failed: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    profiles: Vec<String>,
    memlock: Option<link::Memlock>,
}

impl Asked {
    /// Both together, if they do not contradict each other: a node hook names the profiles of a VM before its sidecar knows how much
    /// memory is to be locked.
    fn with(&self, other: &Self) -> Option<Self> {
        let memlock = match (self.memlock, other.memlock) {
            (Some(one), Some(other)) if one != other => return None,
            (one, other) => one.or(other),
        };
        (self.profiles == other.profiles).then(|| Self { profiles: self.profiles.clone(), memlock })
    }
}

impl PodState {
    /// One that was live when this program came, with the level that was held for it.
    pub(super) fn adopted(now: Moment, lock: Option<Memlock>) -> Self {
        Self { since: now, asked: None, lock, confirmed: false, failed: None }
    }
}

/// As whom the engine knows what is done for a pod.
pub(super) fn owner_of(uid: &str) -> Result<Owner, String> {
    format!("{PREFIX}{uid}").parse().map_err(|error: crate::prep::OwnerError| error.to_string())
}

/// The pod that an owner stands for.
pub(super) fn uid_of_owner(owner: &Owner) -> Option<PodUid> {
    owner.as_str().strip_prefix(PREFIX).map(str::to_owned)
}

/// Why what was done for a pod is not undone on a person's word: by the control groups there are, if they can be seen.
pub fn still_running(owner: &Owner, cgroups: Option<&BTreeMap<PodUid, Vec<String>>>) -> Option<&'static str> {
    let uid = uid_of_owner(owner)?;
    match cgroups {
        None => Some("whether its pod still runs cannot be seen: the control groups of pods cannot be read"),
        Some(cgroups) => cgroups.contains_key(&uid).then_some("its pod still runs"),
    }
}

/// What the agent does for pods that ask over their link.
pub struct PodErrands<H, G>(Agent<H, G>);

impl<H, G> std::fmt::Debug for PodErrands<H, G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PodErrands")
    }
}

impl<H, G> Agent<H, G>
where
    H: Hands + Send + Sync + 'static,
    G: Guard + Send + Sync + 'static,
{
    /// What is done for pods that ask over their link.
    pub fn errands(&self) -> PodErrands<H, G> {
        PodErrands(self.clone())
    }

    /// Asserts the memory lock of every pod that has one: once a second, as long as there are such.
    pub fn hold_locks(&self) {
        let levels: Vec<(PodUid, Memlock)> = {
            let desk = self.desk();
            desk.pods.iter().filter_map(|(uid, pod)| Some((uid.clone(), pod.lock?))).collect()
        };
        if levels.is_empty() {
            return;
        }
        let Some(cgroups) = cgroups_of_pods(self.root()) else { return };
        for (uid, level) in levels {
            let Some(own) = cgroups.get(&uid) else { continue };
            let held = hold(self.root(), &uid, &vm_processes(self.root(), own), level);
            let confirmed = matches!(held, Ok(Held::As | Held::Raised));
            match held {
                Ok(Held::Raised) => tracing::info!(pod = uid, "its memory lock was raised"),
                Err(reason) => tracing::warn!(pod = uid, reason, "its memory lock is not held"),
                _ => (),
            }
            if let Some(pod) = self.desk().pods.get_mut(&uid) {
                pod.confirmed = confirmed;
            }
        }
    }

    async fn prepare_pod(&self, pod: &Pod, asked: Asked) -> Result<Reply, Refusal> {
        let owner = owner_of(&pod.uid).map_err(Refusal::new)?;
        // It reads files of the node: not on the thread that everybody's answers come from.
        let begun = {
            let (agent, pod, owner, asked) = (self.clone(), pod.clone(), owner.clone(), asked.clone());
            tokio::task::spawn_blocking(move || agent.begin_pod(&pod, &owner, asked)).await
        };
        let task = begun.map_err(|error| Refusal::new(error.to_string()))??;
        if let Some(task) = task {
            match tokio::time::timeout(ANSWER_WITHIN, task.ended()).await {
                // Who joined what somebody had begun with less has to ask again.
                Ok(Ok(())) if !self.covers(&pod.uid, &asked) => return Ok(working(&task)),
                Ok(Ok(())) => (),
                Ok(Err(reason)) => return Err(Refusal::new(reason)),
                Err(_) => return Ok(working(&task)),
            }
        }
        Ok(Reply::Ready { lock_confirmed: self.confirmed(&pod.uid) })
    }

    /// Begins what a pod asks for, or joins it; `None` if it is done.
    fn begin_pod(&self, pod: &Pod, owner: &Owner, asked: Asked) -> Result<Option<Arc<Task>>, Refusal> {
        let cgroups = cgroups_of_pods(self.root()).unwrap_or_default();
        let running = cgroups.get(&pod.uid).is_some_and(|own| vm_processes(self.root(), own).qemu.is_some());
        let ledger = self.0.engine.ledger();
        let held = ledger.holdings.get(owner);
        let mut desk = self.desk();
        if let Some(task) = desk.tasks.get(owner.as_str()) {
            return match task.course {
                Course::Ready => Ok(Some(Arc::clone(task))),
                Course::Back => Err(Refusal::new("what this pod had is just being given back")),
            };
        }
        if desk.over.contains(&pod.uid) {
            return Err(Refusal::new(
                "this pod has said that its VM is over: a pod is prepared once, and another VM has another pod",
            ));
        }
        let state = desk.pods.get(&pod.uid);
        let before = state.and_then(|state| state.asked.clone());
        let both = before.as_ref().map_or_else(|| Some(asked.clone()), |before| before.with(&asked));
        let ready = held.is_some_and(|held| held.phase == HoldingPhase::Ready);
        let as_made = |asked: &Asked| held.is_none_or(|held| held.request.purpose == asked.profiles.join(","));
        let Some(asked) = both.filter(as_made) else {
            return Err(Refusal::new("this pod has asked for something else before: a pod is prepared once"));
        };
        if ready && before.as_ref() == Some(&asked) {
            return Ok(None);
        }
        if let Some(failed) = state.and_then(|state| state.failed.clone()).filter(|_| held.is_some()) {
            return Err(Refusal::new(failed));
        }
        // Once QEMU runs, whoever asks may be a guest that has broken out. What was made before a restart of ours is only taken up again, and
        // no lock is added or raised: what the pod was granted is on the disk. (What its profiles give is the admin's word, not the pod's.)
        let lock = state.and_then(|state| state.lock);
        let most = desk.config.limits.memlock.max;
        let more = asked.memlock.is_some_and(|asked| greater(lock, Some(capped(of_link(asked), most).0)) != lock);
        if running && (!ready || more) {
            return Err(Refusal::new("this pod's VM runs already: what precedes its start comes too late"));
        }
        if asked.memlock.is_some() && !asked.profiles.iter().any(|name| self.locks(&desk, name, &pod.namespace)) {
            self.may_lock(&desk, pod)?;
        }
        let since = state.map_or_else(|| self.now(), |state| state.since);
        // What is held already stays: who asks first after a restart of ours may be one who knows nothing of it.
        let (confirmed, failed) = (false, None);
        let fresh = PodState { since, asked: Some(asked.clone()), lock, confirmed, failed };
        desk.pods.insert(pod.uid.clone(), fresh);
        let (pod, owner) = (pod.clone(), owner.clone());
        let key = owner.as_str().to_owned();
        let job = move |agent: &Self, task: &Task| agent.make_pod(&pod, &owner, &asked, task);
        Ok(Some(self.start(&mut desk, &key, Course::Ready, job)))
    }

    /// Whether a profile that this namespace may name has a memory lock in it.
    fn locks(&self, desk: &Desk, profile: &str, namespace: &str) -> bool {
        let is_lock =
            |step: &crate::config::node::ProfileStep| matches!(step, crate::config::node::ProfileStep::Memlock(_));
        desk.config.profile(profile, namespace).is_some_and(|profile| profile.steps.iter().any(is_lock))
    }

    /// Only who has a device of ours, or a profile that says so, is given a memory lock.
    fn may_lock(&self, desk: &Desk, pod: &Pod) -> Result<(), Refusal> {
        let name = PodName { namespace: pod.namespace.clone(), name: pod.name.clone() };
        let has = |tenancy: &super::Tenancy| tenancy.pod.as_ref() == Some(&name) || tenancy.uids.contains(&pod.uid);
        if desk.tenancies.values().any(has) {
            return Ok(());
        }
        // kubelet may not have been asked since it gave it one.
        self.want_look();
        Err(Refusal::new(
            "this pod has no device of this node's resources, and names no profile with memlock: its memory lock stays as it is",
        ))
    }

    fn make_pod(&self, pod: &Pod, owner: &Owner, asked: &Asked, task: &Task) -> Outcome {
        let outcome = self.try_make_pod(pod, owner, asked, task);
        if let Err(reason) = &outcome {
            tracing::warn!(pod = pod.uid, namespace = pod.namespace, name = pod.name, reason, "not prepared");
            let mut desk = self.desk();
            let held = self.0.engine.ledger().holdings.contains_key(owner);
            match desk.pods.get_mut(&pod.uid) {
                Some(state) if held => state.failed = Some(reason.clone()),
                // Nothing is left of it: it may ask again, and for something else.
                _ => {
                    desk.pods.remove(&pod.uid);
                    desk.levels.forget(&pod.uid);
                }
            }
        }
        outcome
    }

    fn try_make_pod(&self, pod: &Pod, owner: &Owner, asked: &Asked, task: &Task) -> Outcome {
        let cgroups = cgroups_of_pods(self.root()).ok_or("the control groups of pods cannot be seen")?;
        let own = cgroups
            .get(&pod.uid)
            .ok_or_else(|| format!("pod {} has no control group on this node", shown(&pod.uid)))?;
        let config = Arc::clone(&self.desk().config);
        let site = Site::read(self.root()).map_err(|error| error.to_string())?;
        let ledger = self.0.engine.ledger();
        let compiler = Compiler { site: &site, root: self.root(), config: &config, ledger: &ledger };
        let place = place(self.root(), &pod.uid, &cgroups);
        let plan = match compiler.profiles(&asked.profiles, &pod.namespace, &place, owner) {
            Ok(plan) => plan,
            Err(reasons) => return Err(reasons.join("; ")),
        };
        // What was made for it before a restart of ours stays as it was made.
        let request = ledger.holdings.get(owner).map_or(plan.request, |held| held.request.clone());
        let applied = self.0.engine.apply(&request, &mut |progress| task.tell(progress));
        applied.map_err(|error| error.to_string())?;
        let wanted = greater(plan.memlock, asked.memlock.map(of_link));
        let Some(wanted) = wanted else { return Ok(()) };
        let (level, whole) = capped(wanted, config.limits.memlock.max);
        let held = hold(self.root(), &pod.uid, &vm_processes(self.root(), own), level)?;
        let mut desk = self.desk();
        if let Some(state) = desk.pods.get_mut(&pod.uid) {
            // A former one of us may have held more, for one who has not asked again yet.
            let level = greater(state.lock, Some(level)).unwrap_or(level);
            state.lock = Some(level);
            state.confirmed = whole && held != Held::Nobody;
            desk.levels.keep(&pod.uid, level);
        }
        Ok(())
    }

    /// Whether what a pod has asked for so far has all of this in it.
    fn covers(&self, uid: &str, asked: &Asked) -> bool {
        let desk = self.desk();
        let known = desk.pods.get(uid).and_then(|state| state.asked.as_ref());
        known.is_some_and(|known| known.with(asked).as_ref() == Some(known))
    }

    fn confirmed(&self, uid: &str) -> bool {
        let desk = self.desk();
        let most = desk.config.limits.memlock.max;
        let state = desk.pods.get(uid);
        let asked = state.and_then(|state| state.asked.as_ref()).and_then(|asked| asked.memlock);
        // Who asked for no lock is told of none.
        asked.is_some_and(|asked| capped(of_link(asked), most).1) && state.is_some_and(|state| state.confirmed)
    }

    async fn release_pod(&self, pod: &Pod) -> Result<Reply, Refusal> {
        let owner = owner_of(&pod.uid).map_err(Refusal::new)?;
        let task = {
            let mut desk = self.desk();
            let other = desk.tasks.get(owner.as_str()).cloned();
            // What is being made is given back when the pod's control group is gone, if nobody asks again.
            if other.as_ref().is_some_and(|task| task.course == Course::Ready) {
                return Err(Refusal::new("the node is still being prepared for this pod: ask again"));
            }
            let is_held = self.0.engine.ledger().holdings.contains_key(&owner);
            let was_prepared = desk.pods.remove(&pod.uid).is_some() || is_held;
            desk.levels.forget(&pod.uid);
            if was_prepared {
                desk.over.note(&pod.uid, self.now());
            }
            match other {
                Some(task) => Some(task),
                None if is_held => Some(self.give_back(&mut desk, owner)),
                None => None,
            }
        };
        self.want_look();
        if let Some(task) = task {
            match tokio::time::timeout(ANSWER_WITHIN, task.ended()).await {
                Ok(Ok(())) => (),
                Ok(Err(reason)) => return Err(Refusal::new(reason)),
                Err(_) => return Ok(working(&task)),
            }
        }
        Ok(Reply::Released)
    }

    fn status_of_pod(&self, pod: &Pod) -> Result<Reply, Refusal> {
        let owner = owner_of(&pod.uid).map_err(Refusal::new)?;
        let (task, failed) = {
            let desk = self.desk();
            let failed = desk.pods.get(&pod.uid).and_then(|state| state.failed.clone());
            (desk.tasks.get(owner.as_str()).cloned(), failed)
        };
        match (task, failed) {
            (Some(task), _) => Ok(working(&task)),
            (None, Some(reason)) => Err(Refusal::new(reason)),
            (None, None) => Ok(Reply::Ready { lock_confirmed: self.confirmed(&pod.uid) }),
        }
    }
}

impl<H, G> Errands for PodErrands<H, G>
where
    H: Hands + Send + Sync + 'static,
    G: Guard + Send + Sync + 'static,
{
    async fn ask(&self, pod: &Pod, request: Request) -> Result<Reply, Refusal> {
        match request {
            Request::Prepare { node_profiles, memlock } => {
                let twice = node_profiles.iter().collect::<BTreeSet<_>>().len() != node_profiles.len();
                if twice {
                    return Err(Refusal::new("a profile is named twice"));
                }
                self.0.prepare_pod(pod, Asked { profiles: node_profiles, memlock }).await
            }
            Request::Release => self.0.release_pod(pod).await,
            Request::Status => self.0.status_of_pod(pod),
        }
    }
}

fn working(task: &Task) -> Reply {
    let step = task.step();
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Reply::Working { step: number(step.number.max(1)), of: number(step.of.max(1)), what: step.what }
}

fn of_link(memlock: link::Memlock) -> Memlock {
    match memlock {
        link::Memlock::Bytes(bytes) => Memlock::Size(ByteSize::bytes(bytes)),
        link::Memlock::Unlimited => Memlock::Unlimited,
    }
}
