//! Putting the node back: the journal read backwards.

use std::collections::BTreeSet;

use super::Engine;
use super::apply::keys;
use super::conflicts::held_by_others;
use super::error::{EngineError, Left};
use super::fault;
use super::guard::Guard;
use super::progress::Progress;
use super::reach::{Arrival, reach};
use crate::prep::hand::{Hand, HandError, Hands};
use crate::prep::journal::{Event, JournalError, Record, RecordId, RecordPhase, Request};
use crate::prep::kind::Sharing;
use crate::prep::owner::Owner;
use crate::prep::step::{Step, StepState};

/// How an undo went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undone {
    /// Whether there was anything to undo.
    pub changed: bool,
    /// What could not be had back, and why that is all right.
    pub notes: Vec<String>,
    /// What could not be undone, and stays written down.
    pub(super) left: Vec<Left>,
}

impl<H: Hands, G: Guard> Engine<H, G> {
    /// Gives back everything an owner has. What others want too stays until the last of them goes. An owner who has nothing is no error.
    ///
    /// # Errors
    ///
    /// [`EngineError::Refused`]: a device is still in use, and nothing was changed. [`EngineError::NotUndone`]: it went on past every
    /// failure, and names what is left; asking again tries again.
    pub fn undo(&self, owner: &Owner, tell: &mut dyn FnMut(Progress<'_>)) -> Result<Undone, EngineError> {
        let request =
            |engine: &Self| engine.journal().ledger().holdings.get(owner).map(|holding| holding.request.clone());
        let Some(first) = request(self) else { return Ok(Undone::default()) };
        let _taken = self.domains.take(keys(&first));
        self.free_quarantines()?;
        // Who waited for the lock may find it done.
        let Some(request) = request(self) else { return Ok(Undone::default()) };
        let reasons = self.guard.before_undo(&request)?;
        if !reasons.is_empty() {
            return Err(EngineError::Refused { reasons });
        }
        let mut hand = self.hire(owner)??;
        self.append(Event::Releasing { owner: owner.clone() })?;
        // Ours goes whatever becomes of theirs.
        let _settled = self.settle_shares(&mut hand, &request, tell)?;
        let undone = self.take_back(&mut hand, &request, tell)?;
        if undone.left.is_empty() {
            Ok(undone)
        } else {
            Err(EngineError::NotUndone { owner: owner.clone(), left: undone.left })
        }
    }

    /// Undoes an owner's records, newest first, past every failure: no service stays stopped because a device does not come back.
    pub(super) fn take_back(
        &self,
        hand: &mut H::Hand,
        request: &Request,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Undone, JournalError> {
        let owner = &request.owner;
        let ids =
            self.journal().ledger().holdings.get(owner).map(|holding| holding.records.clone()).unwrap_or_default();
        let mut undone = Undone { changed: true, ..Undone::default() };
        let mut replaced: Option<H::Hand> = None;
        for (index, id) in ids.iter().rev().enumerate() {
            let Some(record) = self.journal().ledger().records.get(id).cloned() else { continue };
            if record.owners.iter().any(|other| other != owner) {
                self.append(Event::Left { id: *id, owner: owner.clone() })?;
                continue;
            }
            tell(Progress::Step { number: index + 1, of: ids.len(), step: &record.step, undo: true });
            fault::about(Some(&record.step));
            let hand = replaced.as_mut().unwrap_or(hand);
            match self.take_back_one(hand, *id, &record, tell) {
                Ok(arrival) => undone.notes.extend(arrival.note),
                Err(TakeBack::Journal(error)) => return Err(error),
                Err(TakeBack::Hand(error)) => {
                    let lost = !matches!(error, HandError::Refused(_));
                    self.quarantine(request, record.step.effect().lock(), &error)?;
                    self.append(Event::NotUndone { id: *id, why: error.to_string() })?;
                    undone.left.push(Left { what: record.step.describe(), why: error.to_string() });
                    if lost {
                        match self.hire(owner)? {
                            Ok(hand) => replaced = Some(hand),
                            Err(trouble) => {
                                undone.left.push(Left { what: "the rest".to_owned(), why: trouble.message });
                                break;
                            }
                        }
                    }
                }
            }
        }
        fault::about(None);
        if undone.left.is_empty() {
            self.append(Event::Released { owner: owner.clone() })?;
        }
        Ok(undone)
    }

    /// Takes back others' shares in what a request adds to, as far as a crash cut them short: how far one had come can be told only as long
    /// as nobody else adds or takes. Their owners have everything else, and add it anew when they are finished. Why one could not be, if so.
    pub(super) fn settle_shares(
        &self,
        hand: &mut H::Hand,
        request: &Request,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Vec<String>, JournalError> {
        let added = |step: &Step| Some(step.effect()).filter(|effect| effect.sharing == Sharing::Additive);
        let keys: BTreeSet<String> = request.steps.iter().filter_map(added).map(|effect| effect.key).collect();
        let is_theirs = |record: &Record| {
            is_half(record)
                && !record.owners.contains(&request.owner)
                && added(&record.step).is_some_and(|effect| keys.contains(&effect.key))
        };
        let theirs: Vec<(RecordId, Record)> = {
            let journal = self.journal();
            let records = journal.ledger().records.iter().filter(|(_, record)| is_theirs(record));
            records.map(|(id, record)| (*id, record.clone())).collect()
        };
        let mut left = Vec::new();
        for (id, record) in theirs {
            let Some(theirs) = record.owners.first() else { continue };
            self.written_down(theirs, hand)?;
            match self.take_back_one(hand, id, &record, tell) {
                Ok(_) => (),
                Err(TakeBack::Journal(error)) => return Err(error),
                Err(TakeBack::Hand(error)) => {
                    // What hangs is theirs, and keeps nothing of ours.
                    self.quarantine_only(theirs, vec![record.step.effect().lock()], &error)?;
                    self.append(Event::NotUndone { id, why: error.to_string() })?;
                    left.push(format!("{}, of another owner, was cut short: {error}", record.step.describe()));
                    if !matches!(error, HandError::Refused(_)) {
                        match self.hire(&request.owner)? {
                            Ok(another) => *hand = another,
                            Err(trouble) => {
                                left.push(trouble.message);
                                break;
                            }
                        }
                    }
                }
            }
        }
        Ok(left)
    }

    fn take_back_one(
        &self,
        hand: &mut H::Hand,
        id: RecordId,
        record: &Record,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Arrival, TakeBack> {
        let step = &record.step;
        let lock = step.effect().lock();
        if let Some(quarantine) = self.journal().ledger().quarantine_of(&[lock]) {
            let why = format!("process {} still hangs: {}", quarantine.process, quarantine.what);
            return Err(TakeBack::Hand(crate::prep::Trouble::new(why).into()));
        }
        if !is_half(record) && self.is_unclear(id, step) {
            let why = "how far another owner's share has come is not clear yet: that one is settled first";
            return Err(TakeBack::Hand(crate::prep::Trouble::new(why).into()));
        }
        let additive = step.effect().sharing == Sharing::Additive;
        let now = hand.observe(step)?;
        let goal = match (&record.phase, &record.goal) {
            // Cut short in its undo: computed anew, a share would be taken back twice.
            (RecordPhase::Undoing, Some(goal)) => goal.clone(),
            (RecordPhase::Stuck { .. }, Some(goal)) if additive => goal.clone(),
            // Others' lie upon it: what they will have found is what is left.
            _ if let Some(goal) = self.goal_beneath(id, step, &now) => goal,
            (phase, _) if record.unfinished || *phase == RecordPhase::Intended => {
                step.unfinished(&record.original, &record.wanted, &now).map_err(HandError::from)?
            }
            _ => step.undone(&record.original, &record.wanted, &now).map_err(HandError::from)?,
        };
        let goal = match record.owners.first() {
            Some(owner) => step.sparing(&goal, &held_by_others(self.journal().ledger(), owner)),
            None => goal,
        };
        self.append(Event::Undoing { id, goal: Some(goal.clone()) })?;
        let arrival = reach(hand, step, &goal, now, tell)?;
        self.append(Event::Undone { id, note: arrival.note.clone() })?;
        Ok(arrival)
    }
}

/// Whether a record was cut short in the making or in its undo: how far it has come is for the node to show. One whose undo was refused
/// before it began is whole.
fn is_half(record: &Record) -> bool {
    let begun = match record.phase {
        RecordPhase::Done => false,
        RecordPhase::Stuck { .. } => record.goal.is_some(),
        RecordPhase::Intended | RecordPhase::Undoing => true,
    };
    record.unfinished || begun
}

impl<H: Hands, G: Guard> Engine<H, G> {
    /// Whether another share in the same is half made or half taken back.
    fn is_unclear(&self, id: RecordId, step: &Step) -> bool {
        let effect = step.effect();
        let journal = self.journal();
        let mut others = journal.ledger().records.iter().filter(|(other, _)| **other != id);
        effect.sharing == Sharing::Additive
            && others.any(|(_, other)| is_half(other) && other.step.effect().key == effect.key)
    }

    /// What is to be once a record is gone upon which others lie; `None` if none do.
    fn goal_beneath(&self, id: RecordId, step: &Step, now: &StepState) -> Option<StepState> {
        let journal = self.journal();
        let (above, _, wanted) = journal.ledger().rebased_on(id).pop()?;
        let record = journal.ledger().records.get(&above)?;
        step.rebased(now, &record.wanted, &wanted)
    }
}

/// Why a record was not undone.
enum TakeBack {
    Hand(HandError),
    Journal(JournalError),
}

impl From<HandError> for TakeBack {
    fn from(error: HandError) -> Self {
        Self::Hand(error)
    }
}

impl From<JournalError> for TakeBack {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}
