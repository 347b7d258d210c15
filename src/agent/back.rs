//! From what was seen to a node that is as it was.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::config::node::Release;
use crate::prep::Owner;
use crate::prep::engine::{EngineError, Guard};
use crate::prep::hand::Hands;
use crate::prep::journal::{Holding, HoldingPhase};

use super::id::DeviceId;
use super::task::{Course, Outcome, Task};
use super::tenancy::{Answer, Look, Tenancy, Verdict};
use super::{Agent, Desk, cgroups_of_pods, errand};

/// When an undo that did not go through is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// What a person wants back.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Selection {
    /// Everything.
    All,
    /// Everything of one resource.
    Resource(String),
    /// One device, by its id or by its address.
    Device(String),
}

/// What became of one owner.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    /// Who.
    pub owner: String,
    /// Why it stays; `None` if it is gone.
    pub stays: Option<String>,
}

impl<H, G> Agent<H, G>
where
    H: Hands + Send + Sync + 'static,
    G: Guard + Send + Sync + 'static,
{
    /// Tells whoever waits for it what kubelet said: looking around among all processes takes longer than they may.
    pub fn hear(&self, answer: &Answer) {
        self.0.answers.send_if_modified(|last| {
            let new = **last != *answer;
            if new {
                *last = Arc::new(answer.clone());
            }
            new
        });
    }

    /// Takes in what was seen, and gives back what is free.
    pub fn look(&self, look: &Look) {
        if let Some(answer) = &look.kubelet {
            self.hear(answer);
        }
        let mut desk = self.desk();
        self.adopt(&mut desk);
        let ids: Vec<DeviceId> = desk.tenancies.keys().cloned().collect();
        for id in ids {
            // While something goes on for it, it is not free.
            if desk.tasks.contains_key(&format!("device/{id}")) {
                continue;
            }
            let Some(tenancy) = desk.tenancies.get(&id).cloned() else { continue };
            let (tenancy, verdict) = tenancy.after(&id, self.policy(&desk, &id), look);
            desk.promises.had_by(&id, &tenancy.uids);
            match verdict {
                Verdict::Used(_) | Verdict::Idle => drop(desk.tenancies.insert(id, tenancy)),
                Verdict::Free { restore } => self.free(&mut desk, &id, restore),
            }
        }
        self.pods_gone(&mut desk, look);
        self.try_again(&mut desk, look.at);
        self.publish(&mut desk);
    }

    /// Watches what is held and nobody watches: its promise is gone, and its undo did not go through.
    fn adopt(&self, desk: &mut Desk) {
        let now = self.now();
        for (owner, holding) in self.0.engine.ledger().holdings {
            if holding.phase != HoldingPhase::Ready || desk.tasks.contains_key(owner.as_str()) {
                continue;
            }
            if let Some(uid) = errand::uid_of_owner(&owner) {
                let Entry::Vacant(vacant) = desk.pods.entry(uid) else { continue };
                let lock = desk.levels.of(vacant.key());
                vacant.insert(errand::PodState::adopted(now, lock));
            } else if let Some(id) = DeviceId::of_owner(&owner)
                // What is kept is held without anybody's having it.
                && self.policy(desk, &id) != Release::Keep
            {
                desk.tenancies.entry(id).or_insert_with(|| Tenancy::adopted(now));
            }
        }
    }

    /// When a device goes back. One whose resource is no longer configured does at once.
    fn policy(&self, desk: &Desk, id: &DeviceId) -> Release {
        let unit = desk.inventory.units.get(id);
        let resource =
            unit.map(|unit| &unit.resource).or_else(|| desk.promises.get(id).map(|promise| &promise.resource));
        resource.and_then(|name| desk.config.resource(name)).map(|resource| resource.release).unwrap_or_default()
    }

    /// Forgets a promise, and has undone what was done for it.
    fn free(&self, desk: &mut Desk, id: &DeviceId, restore: bool) {
        if let Err(error) = desk.promises.forget(id) {
            tracing::warn!(device = id.as_str(), reason = %error, "the promise cannot be removed");
        }
        desk.tenancies.remove(id);
        tracing::info!(device = id.as_str(), restore, "free");
        let Some(owner) = id.owner().filter(|_| restore) else { return };
        if self.0.engine.ledger().holdings.contains_key(&owner) {
            self.give_back(desk, owner);
        }
    }

    /// Undoes everything of an owner, in a thread of its own.
    pub(super) fn give_back(&self, desk: &mut Desk, owner: Owner) -> Arc<Task> {
        let key = owner.as_str().to_owned();
        self.start(desk, &key, Course::Back, move |agent, task| agent.undo(&owner, task))
    }

    fn undo(&self, owner: &Owner, task: &Task) -> Outcome {
        let outcome = self.0.engine.undo(owner, &mut |progress| task.tell(progress));
        let mut desk = self.desk();
        match outcome {
            Ok(undone) => {
                desk.again.remove(owner.as_str());
                if let Some(uid) = errand::uid_of_owner(owner) {
                    desk.levels.forget(&uid);
                }
                for note in undone.notes {
                    tracing::info!(owner = owner.as_str(), note, "noted");
                }
                tracing::info!(owner = owner.as_str(), "as it was");
                Ok(())
            }
            Err(error) => {
                let reason = error.to_string();
                tracing::warn!(owner = owner.as_str(), reason, "not given back");
                let now = self.now();
                match (DeviceId::of_owner(owner), &error) {
                    // Somebody uses it after all: it is watched as before.
                    (Some(id), EngineError::Refused { .. }) => {
                        desk.tenancies.entry(id).or_insert_with(|| Tenancy::adopted(now));
                    }
                    _ => drop(desk.again.insert(owner.as_str().to_owned(), now)),
                }
                Err(reason)
            }
        }
    }

    /// Pods of which no control group is left have no profile any more.
    fn pods_gone(&self, desk: &mut Desk, look: &Look) {
        let Some(groups) = &look.cgroups else { return };
        desk.over.only(groups, look.at);
        let gone: Vec<String> = desk
            .pods
            .iter()
            // It may have come after this look began.
            .filter(|(uid, pod)| !groups.contains(*uid) && pod.since < look.at)
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in gone {
            let Ok(owner) = errand::owner_of(&uid) else { continue };
            if desk.tasks.contains_key(owner.as_str()) {
                continue;
            }
            desk.pods.remove(&uid);
            desk.levels.forget(&uid);
            if self.0.engine.ledger().holdings.contains_key(&owner) {
                self.give_back(desk, owner);
            }
        }
    }

    /// What could not be undone is tried again: who hung may be gone.
    fn try_again(&self, desk: &mut Desk, now: super::Moment) {
        let unfinished =
            |holding: &Holding| matches!(holding.phase, HoldingPhase::Failed { .. } | HoldingPhase::Releasing);
        let holdings = self.0.engine.ledger().holdings;
        let left: BTreeSet<&str> =
            holdings.iter().filter(|(_, holding)| unfinished(holding)).map(|(owner, _)| owner.as_str()).collect();
        // An earlier failure does not count for what is made since.
        desk.again.retain(|owner, _| left.contains(owner.as_str()));
        for (owner, holding) in &holdings {
            let unfinished = unfinished(holding);
            let ours = DeviceId::of_owner(owner).is_some() || errand::uid_of_owner(owner).is_some();
            if !unfinished || !ours || desk.tasks.contains_key(owner.as_str()) {
                continue;
            }
            match desk.again.get(owner.as_str()) {
                Some(last) if now.since(*last) < AGAIN => (),
                Some(_) => {
                    self.give_back(desk, owner.clone());
                }
                // Its plan failed: what was left over is tried after a while.
                None => drop(desk.again.insert(owner.as_str().to_owned(), now)),
            }
        }
    }

    /// Gives back what a person names, as far as nobody uses it, and waits for it: what kubelet has promised to a pod that does not run is
    /// taken all the same.
    pub async fn release(&self, selection: &Selection) -> Vec<Taken> {
        let began = self.now();
        if *selection == Selection::All {
            self.0.resting.store(true, Ordering::SeqCst);
        }
        let running = cgroups_of_pods(self.root());
        let mut tasks = Vec::new();
        let mut taken = Vec::new();
        let owners: Vec<Owner> = {
            let desk = self.desk();
            let ledger = self.0.engine.ledger();
            let fits = |owner: &Owner, purpose: &str| match selection {
                Selection::All => true,
                Selection::Resource(name) => purpose == name,
                Selection::Device(name) => {
                    let id = DeviceId::of_owner(owner);
                    let value = |id: &DeviceId| desk.inventory.units.get(id).map(super::Unit::value);
                    id.is_some_and(|id| id.as_str() == name || value(&id).as_deref() == Some(name))
                }
            };
            let fitting = ledger.holdings.iter().filter(|(owner, holding)| fits(owner, &holding.request.purpose));
            // What resources make comes last: what is made of it goes first.
            let (makers, others): (BTreeSet<_>, BTreeSet<_>) =
                fitting.map(|(owner, _)| owner.clone()).partition(|owner| owner.as_str().starts_with("resource/"));
            others.into_iter().chain(makers).collect()
        };
        for owner in owners {
            if let Some(why) = errand::still_running(&owner, running.as_ref()) {
                taken.push(Taken { owner: owner.as_str().to_owned(), stays: Some(why.to_owned()) });
                continue;
            }
            let task = {
                let mut desk = self.desk();
                match desk.tasks.get(owner.as_str()) {
                    Some(task) if task.course == Course::Back => Arc::clone(task),
                    Some(_) => {
                        let stays = Some("it is being made ready".to_owned());
                        taken.push(Taken { owner: owner.as_str().to_owned(), stays });
                        continue;
                    }
                    None => self.give_back(&mut desk, owner.clone()),
                }
            };
            // One after the other, for the order counts.
            let stays = task.ended().await.err();
            tasks.push((owner, stays));
        }
        for (owner, stays) in tasks {
            if let Some(id) = DeviceId::of_owner(&owner).filter(|_| stays.is_none()) {
                let mut desk = self.desk();
                // Unless it was promised anew meanwhile.
                if desk.tenancies.get(&id).is_some_and(|tenancy| tenancy.since <= began) {
                    desk.tenancies.remove(&id);
                    let _ = desk.promises.forget(&id);
                }
            }
            taken.push(Taken { owner: owner.as_str().to_owned(), stays });
        }
        taken
    }
}
