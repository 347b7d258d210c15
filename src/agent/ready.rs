//! From a promise to a device that can be opened.

use std::sync::Arc;
use std::time::Duration;

use crate::host::{Mdevs, Root};
use crate::kubelet::NotReady;
use crate::prep::Compiler;
use crate::prep::Offered;
use crate::prep::engine::{EngineError, Guard};
use crate::prep::guard::Site;
use crate::prep::hand::Hands;
use crate::prep::journal::{Holding, HoldingPhase, Request};

use super::id::DeviceId;
use super::refusal::Cause;
use super::task::{Course, Outcome, Task};
use super::tenancy::Tenancy;
use super::{Agent, Unit};

/// Sooner than who calls gives up with a line that says less: kubelet is told how far things are.
const ANSWER_WITHIN: Duration = Duration::from_secs(24);
/// How long kubelet may take to say whose a device is.
const NAMED_WITHIN: Duration = Duration::from_secs(3);

/// Why a device was not made ready.
struct Refusal {
    reason: String,
    cause: Cause,
}

impl Refusal {
    fn of_request(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), cause: Cause::Request }
    }

    /// What the look at refused devices finds again, as long as it is so.
    fn obstacle(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), cause: Cause::Obstacle }
    }

    fn of_attempt(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), cause: Cause::Attempt }
    }
}

impl<H, G> Agent<H, G>
where
    H: Hands + Send + Sync + 'static,
    G: Guard + Send + Sync + 'static,
{
    /// Makes promised devices ready, and waits for it.
    ///
    /// # Errors
    ///
    /// [`NotReady`]: one line. What was begun goes on, and asking again finds it done.
    pub(super) async fn prepare(&self, resource: &str, ids: &[String]) -> Result<(), NotReady> {
        let mut parsed = Vec::with_capacity(ids.len());
        for id in ids {
            let id: DeviceId =
                id.parse().map_err(|error: super::DeviceIdError| NotReady { reason: error.to_string() })?;
            parsed.push(id);
        }
        let tasks = self.begin_all(resource, &parsed).await?;
        let all = async {
            for task in &tasks {
                task.ended().await.map_err(|reason| NotReady { reason })?;
            }
            Ok(())
        };
        tokio::time::timeout(ANSWER_WITHIN, all).await.unwrap_or_else(|_| {
            let steps = tasks.iter().map(|task| task.step()).find(|step| step.number > 0).unwrap_or_default();
            let reason = format!("still preparing, step {} of {}: {}", steps.number, steps.of, steps.what);
            Err(NotReady { reason })
        })
    }

    /// Begins what is not under way.
    async fn begin_all(&self, resource: &str, ids: &[DeviceId]) -> Result<Vec<Arc<Task>>, NotReady> {
        if let Err((id, refusal)) = self.allowed(resource, ids).await {
            return Err(self.refuse(resource, &id, &refusal));
        }
        let mut tasks = Vec::new();
        for id in ids {
            tasks.push(self.begin(resource, id).await);
        }
        Ok(tasks)
    }

    /// Joins what is under way for a device, after what goes the other way has ended; else begins it.
    async fn begin(&self, resource: &str, id: &DeviceId) -> Arc<Task> {
        let key = format!("device/{id}");
        loop {
            let other = {
                let mut desk = self.desk();
                match desk.tasks.get(&key) {
                    Some(task) if task.course == Course::Ready => return Arc::clone(task),
                    Some(task) => Arc::clone(task),
                    None => {
                        let now = self.now();
                        // It is asked for now: whoever did not name it before this says nothing.
                        let tenancy = desk.tenancies.entry(id.clone()).or_insert_with(|| Tenancy::begin(now));
                        (tenancy.since, tenancy.absent, tenancy.free) = (now, None, None);
                        let (resource, id) = (resource.to_owned(), id.clone());
                        return self.start(&mut desk, &key, Course::Ready, move |agent, task| {
                            agent.make(&resource, &id, task)
                        });
                    }
                }
            };
            let _ = other.ended().await;
        }
    }

    /// Whether devices may go to the pod that asks: they were promised, and the pod's namespace may have them. If not, which, and why.
    async fn allowed(&self, resource: &str, ids: &[DeviceId]) -> Result<(), (DeviceId, Refusal)> {
        let because = |id: &DeviceId, reason: String| Err((id.clone(), Refusal::of_request(reason)));
        let namespaces = {
            let desk = self.desk();
            let promised = |id: &&DeviceId| desk.promises.get(id).is_some_and(|promise| promise.resource == resource);
            if let Some(id) = ids.iter().find(|id| !promised(id)) {
                let reason = format!(
                    "{id} was promised to nobody, or so long ago that nobody knows which device files were named: delete the pod, a new one gets a new promise"
                );
                return because(id, reason);
            }
            let Some(first) = ids.first() else { return Ok(()) };
            match desk.config.resource(resource) {
                Some(resource) => resource.namespaces.clone(),
                None => return because(first, format!("{resource} is no longer in this node's configuration")),
            }
        };
        if namespaces.is_any() {
            return Ok(());
        }
        let asked = self.now();
        let mut answers = self.0.answers.subscribe();
        self.want_look();
        // One that comes after this, for all of them: the last one may be of whoever had a device before.
        let mut unnamed = ids.first();
        let fresh = async {
            while answers.changed().await.is_ok() {
                let answer = Arc::clone(&answers.borrow_and_update());
                if answer.asked < asked {
                    continue;
                }
                unnamed = ids.iter().find(|id| !answer.pods.contains_key(id));
                if unnamed.is_none() {
                    return Some(answer);
                }
            }
            None
        };
        let answer = tokio::time::timeout(NAMED_WITHIN, fresh).await.ok().flatten();
        for id in ids {
            let pod = answer.as_ref().and_then(|answer| answer.pods.get(id));
            let Some(pod) = pod else {
                let reason =
                    format!("{resource} is for some namespaces only, and kubelet has not said whose pod this is");
                return because(unnamed.unwrap_or(id), reason);
            };
            if answer.as_ref().is_some_and(|answer| answer.contested.contains(id)) {
                let reason = format!("{resource} is for some namespaces only, and kubelet names two pods that have it");
                return because(id, reason);
            }
            if !namespaces.matches(&pod.namespace) {
                let reason = format!(
                    "pods of namespace {} may not have {resource}: this node's configuration names others",
                    pod.namespace
                );
                return because(id, reason);
            }
        }
        Ok(())
    }

    /// Notes a refusal, for people.
    fn refuse(&self, resource: &str, id: &DeviceId, refusal: &Refusal) -> NotReady {
        let mut desk = self.desk();
        let reason = crate::base::shown(&refusal.reason).into_owned();
        desk.refusals.add(id, resource, &reason, refusal.cause, self.now());
        self.publish(&mut desk);
        tracing::warn!(device = id.as_str(), resource, reason, "not ready");
        NotReady { reason }
    }

    /// Prepares, binds, and sees that the promised file is there: in a thread of its own.
    fn make(&self, resource: &str, id: &DeviceId, task: &Task) -> Outcome {
        match self.try_make(resource, id, task) {
            Ok(()) => {
                self.desk().refusals.clear(id);
                tracing::info!(device = id.as_str(), resource, "ready");
                Ok(())
            }
            Err(refusal) => Err(self.refuse(resource, id, &refusal).reason),
        }
    }

    fn try_make(&self, resource: &str, id: &DeviceId, task: &Task) -> Result<(), Refusal> {
        let (unit, promised, config) = {
            let desk = self.desk();
            let unit = desk.inventory.units.get(id).cloned();
            (unit, desk.promises.get(id).and_then(|promise| promise.group), Arc::clone(&desk.config))
        };
        let Some(unit) = unit else { return Err(Refusal::obstacle(format!("{id} is not on this node any more"))) };
        let Some(named) = config.resource(resource) else {
            return Err(Refusal::of_request(format!("{resource} is no longer in this node's configuration")));
        };
        let owner = id.owner().ok_or_else(|| Refusal::of_request(format!("{id} is no owner's name")))?;
        // What an earlier plan could not undo comes first, and what was done for it as another resource's.
        let ledger = self.0.engine.ledger();
        let unfinished = |phase: &HoldingPhase| matches!(phase, HoldingPhase::Failed { .. } | HoldingPhase::Releasing);
        let another = |holding: &Holding| unfinished(&holding.phase) || holding.request.purpose != resource;
        if let Some(held) = ledger.holdings.get(&owner).filter(|held| another(held)) {
            let undone = self.0.engine.undo(&owner, &mut |progress| task.tell(progress));
            undone.map_err(|error| self.of_engine(error, &held.request))?;
        }
        let site = Site::read(self.root()).map_err(|error| Refusal::of_attempt(error.to_string()))?;
        as_promised(self.root(), &site, &unit, promised)?;
        let ledger = self.0.engine.ledger();
        let request: Request = match ledger.holdings.get(&owner) {
            Some(holding) if holding.request.purpose == resource => {
                // The VM before may not have ended yet.
                let users = self.0.engine.guard().before_undo(&holding.request);
                let users = users.map_err(|trouble| Refusal::of_attempt(trouble.message))?;
                if !users.is_empty() {
                    return Err(Refusal::obstacle(users.join("; ")));
                }
                holding.request.clone()
            }
            _ => {
                let compiler = Compiler { site: &site, root: self.root(), config: &config, ledger: &ledger };
                let late = compiler.late(named, &unit.offered, &owner);
                late.map_err(|reasons| Refusal::obstacle(reasons.join("; ")))?
            }
        };
        let applied = self.0.engine.apply(&request, &mut |progress| task.tell(progress));
        for note in applied.map_err(|error| self.of_engine(error, &request))?.notes {
            tracing::info!(device = id.as_str(), note, "noted");
        }
        let Some(group) = promised else { return Ok(()) };
        // The kernel makes it with the bind, before it returns.
        let node = format!("dev/vfio/{group}");
        if self.root().has(&node) {
            return Ok(());
        }
        Err(Refusal::of_attempt(format!("/{node} is not there although {} is ready", unit.value())))
    }

    /// What was refused and is to be seen is an obstacle. Some of what refuses is known only by trying: a check among the steps, what holds
    /// a device through a service that is to be stopped.
    fn of_engine(&self, error: EngineError, request: &Request) -> Refusal {
        let refused = matches!(error, EngineError::Refused { .. } | EngineError::NotUndone { .. });
        match refused && self.is_in_the_way(&self.0.engine.ledger(), request) == Some(true) {
            true => Refusal::obstacle(error.to_string()),
            false => Refusal::of_attempt(error.to_string()),
        }
    }
}

/// Whether a device still is in the group that was named: kubelet answers from memory, and a boot numbers groups anew.
fn as_promised(root: &Root, site: &Site, unit: &Unit, promised: Option<u32>) -> Result<(), Refusal> {
    let value = unit.value();
    let now = match unit.offered {
        Offered::Mdev { .. } => {
            let mdevs = Mdevs::read(root).map_err(|error| Refusal::of_attempt(error.to_string()))?;
            mdevs.0.get(&value).and_then(|mdev| mdev.iommu_group)
        }
        other => {
            let device = site.pci.get(other.function());
            site.groups
                .of(other.function())
                .map(|group| group.id)
                .or(device.and_then(|device| device.function.iommu_group))
        }
    };
    let group = |group: Option<u32>| group.map_or("none".to_owned(), |group| group.to_string());
    match (promised, now) {
        (Some(promised), Some(now)) if promised == now => Ok(()),
        (None, None) => Err(Refusal::of_attempt(format!("{value} is in no IOMMU group"))),
        _ => Err(Refusal::of_request(format!(
            "{value} was promised as IOMMU group {} and is in {} now: delete the pod, a new one gets a new promise",
            group(promised),
            group(now)
        ))),
    }
}
