//! What the events add up to. Pure: the same events make the same ledger.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::event::{Event, RecordId, Request};
use crate::prep::hand::ProcessId;
use crate::prep::kind::Effect;
use crate::prep::owner::Owner;
use crate::prep::step::{Step, StepState};

/// Everything that has been changed on the node and not been undone, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// The boot it is about.
    pub boot: String,
    /// What has been changed, by number, oldest first.
    pub records: BTreeMap<RecordId, Record>,
    /// Who holds something.
    pub holdings: BTreeMap<Owner, Holding>,
    /// What is left alone because somebody hangs in it.
    pub quarantines: Vec<Quarantine>,
    /// The number of the next record.
    pub next: u64,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// What was done.
    pub step: Step,
    /// As it was.
    pub original: StepState,
    /// As it shall be.
    pub wanted: StepState,
    /// How far it is.
    pub phase: RecordPhase,
    /// What its undo aims at, once that has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<StepState>,
    /// Whether its undo began, or could not, before it was done: how far it had come is for the node to show.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
    /// For whom, the first one first.
    pub owners: Vec<Owner>,
}

/// How far a change is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RecordPhase {
    /// Written down; whether anything has been done is for the node to show.
    Intended,
    /// Done and read back.
    Done,
    /// Being undone.
    Undoing,
    /// It could not be undone.
    Stuck {
        /// Why.
        why: String,
    },
}

/// What one owner has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holding {
    /// What was asked for.
    pub request: Request,
    /// How far it is.
    pub phase: HoldingPhase,
    /// The changes it has a part in, in the order in which it took part.
    pub records: Vec<RecordId>,
    /// Whose hands its plan was in last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand: Option<ProcessId>,
}

/// How far an owner's plan is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HoldingPhase {
    /// Being made.
    Preparing,
    /// All made.
    Ready,
    /// It failed, and what it had done is being undone.
    Failed {
        /// Why.
        why: String,
    },
    /// Being given back.
    Releasing,
}

/// What is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantine {
    /// The keys of the lock domain.
    pub domain: BTreeSet<String>,
    /// Who hangs.
    pub process: ProcessId,
    /// In what.
    pub what: String,
    /// For whom it was done.
    pub owner: Owner,
}

impl Ledger {
    /// Takes one event in. An event about a record or an owner that is not there changes nothing: what is gone stays gone.
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Opened { boot, .. } => *self = Self { boot, next: 1, ..Self::default() },
            Event::Snapshot { ledger } => *self = ledger,
            Event::Began { request } => {
                let owner = request.owner.clone();
                // A plan taken up again keeps what it has.
                let (records, hand) =
                    self.holdings.remove(&owner).map(|holding| (holding.records, holding.hand)).unwrap_or_default();
                self.holdings.insert(owner, Holding { request, phase: HoldingPhase::Preparing, records, hand });
            }
            Event::Hired { owner, process } => {
                if let Some(holding) = self.holdings.get_mut(&owner) {
                    holding.hand = Some(process);
                }
            }
            Event::Intended { id, owner, step, original, wanted } => {
                self.next = self.next.max(id.0 + 1);
                let owners = vec![owner.clone()];
                let phase = RecordPhase::Intended;
                let record = Record { step, original, wanted, phase, goal: None, unfinished: false, owners };
                self.records.insert(id, record);
                self.hold(&owner, id);
            }
            Event::Done { id } => self.set_phase(id, RecordPhase::Done),
            Event::Joined { id, owner } => {
                if let Some(record) = self.records.get_mut(&id)
                    && !record.owners.contains(&owner)
                {
                    record.owners.push(owner.clone());
                    self.hold(&owner, id);
                }
            }
            Event::Left { id, owner } => {
                if let Some(record) = self.records.get_mut(&id) {
                    record.owners.retain(|other| *other != owner);
                }
                if let Some(holding) = self.holdings.get_mut(&owner) {
                    holding.records.retain(|other| *other != id);
                }
            }
            Event::Undoing { id, goal } => {
                self.set_phase(id, RecordPhase::Undoing);
                if let Some(record) = self.records.get_mut(&id) {
                    record.goal = goal;
                }
            }
            Event::Undone { id, .. } => {
                for (above, original, wanted) in self.rebased_on(id) {
                    if let Some(record) = self.records.get_mut(&above) {
                        (record.original, record.wanted) = (original, wanted);
                    }
                }
                self.records.remove(&id);
                for holding in self.holdings.values_mut() {
                    holding.records.retain(|other| *other != id);
                }
            }
            Event::NotUndone { id, why } => self.set_phase(id, RecordPhase::Stuck { why }),
            Event::Ready { owner } => self.set_holding(&owner, HoldingPhase::Ready),
            Event::Failed { owner, why } => self.set_holding(&owner, HoldingPhase::Failed { why }),
            Event::Releasing { owner } => self.set_holding(&owner, HoldingPhase::Releasing),
            Event::Released { owner } => {
                self.holdings.remove(&owner);
            }
            Event::Quarantined { domain, process, what, owner } => {
                let domain = domain.into_iter().collect();
                self.quarantines.push(Quarantine { domain, process, what, owner });
            }
            Event::Freed { process } => self.quarantines.retain(|other| other.process != process),
        }
    }

    /// The change that made an effect, if there is one.
    pub fn of_effect(&self, effect: &Effect) -> Option<(RecordId, &Record)> {
        self.records.iter().find(|(_, record)| record.step.effect().key == effect.key).map(|(id, record)| (*id, record))
    }

    /// The share that an owner has added with a step, if there is one.
    pub fn share_of(&self, owner: &Owner, step: &Step) -> Option<(RecordId, &Record)> {
        let ours = |record: &Record| record.step == *step && record.owners.contains(owner);
        self.records.iter().find(|(_, record)| ours(record)).map(|(id, record)| (*id, record))
    }

    /// Effects that lie upon one (see [`crate::prep::Part`]), oldest first: what they found and what they want once it is gone. Each found
    /// what the one before it had made.
    pub fn rebased_on(&self, id: RecordId) -> Vec<(RecordId, StepState, StepState)> {
        let Some(gone) = self.records.get(&id) else { return Vec::new() };
        let lane = |record: &Record| record.step.effect().part.map(|part| part.of);
        let (mut from, mut to) = (gone.wanted.clone(), gone.original.clone());
        let mut above = Vec::new();
        for (other, record) in self.records.iter().filter(|(other, _)| **other > id) {
            if lane(record).is_none() || lane(record) != lane(gone) {
                continue;
            }
            let Some(original) = record.step.rebased(&record.original, &from, &to) else { continue };
            let Ok(wanted) = record.step.wanted(&original) else { continue };
            (from, to) = (record.wanted.clone(), wanted.clone());
            above.push((*other, original, wanted));
        }
        above
    }

    /// What keeps a lock domain from being touched.
    pub fn quarantine_of(&self, domain: &[String]) -> Option<&Quarantine> {
        self.quarantines.iter().find(|quarantine| domain.iter().any(|key| quarantine.domain.contains(key)))
    }

    /// Whether nothing is held, changed or left alone.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.holdings.is_empty() && self.quarantines.is_empty()
    }

    fn hold(&mut self, owner: &Owner, id: RecordId) {
        if let Some(holding) = self.holdings.get_mut(owner)
            && !holding.records.contains(&id)
        {
            holding.records.push(id);
        }
    }

    fn set_phase(&mut self, id: RecordId, phase: RecordPhase) {
        if let Some(record) = self.records.get_mut(&id) {
            record.unfinished |= record.phase == RecordPhase::Intended && phase != RecordPhase::Done;
            record.phase = phase;
        }
    }

    fn set_holding(&mut self, owner: &Owner, phase: HoldingPhase) {
        if let Some(holding) = self.holdings.get_mut(owner) {
            holding.phase = phase;
        }
    }
}
