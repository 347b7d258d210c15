//! Making a plan.

use super::conflicts::{along, conflicts};
use super::error::EngineError;
use super::fault;
use super::guard::Guard;
use super::progress::Progress;
use super::reach::reach;
use super::{Engine, Left};
use crate::prep::hand::{Hand, HandError, Hands};
use crate::prep::journal::{Event, HoldingPhase, JournalError, RecordId, RecordPhase, Request};
use crate::prep::kind::{Reached, Sharing};
use crate::prep::step::Step;
use crate::prep::trouble::Trouble;

/// How a plan went through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Whether the node was changed, or anything written down.
    pub changed: bool,
    /// What is not quite as asked, and why that is all right.
    pub notes: Vec<String>,
}

/// Why a step was not made.
enum Failure {
    Hand(HandError),
    Guard(Vec<String>),
    Journal(JournalError),
}

impl From<HandError> for Failure {
    fn from(error: HandError) -> Self {
        Self::Hand(error)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Hand(trouble.into())
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl<H: Hands, G: Guard> Engine<H, G> {
    /// Makes everything that a request wants, or nothing of it.
    ///
    /// A request that has been met already changes nothing; one that a crash cut short is taken up where it was.
    ///
    /// # Errors
    ///
    /// [`EngineError`]: refused (nothing was changed), or failed (what had been done was undone again, but for what it names).
    pub fn apply(&self, request: &Request, tell: &mut dyn FnMut(Progress<'_>)) -> Result<Applied, EngineError> {
        let _taken = self.domains.take(keys(request));
        self.free_quarantines()?;
        let reasons = conflicts(self.journal().ledger(), request);
        if !reasons.is_empty() {
            return Err(EngineError::Refused { reasons });
        }
        let before = self.journal().ledger().holdings.get(&request.owner).map(|holding| holding.phase.clone());
        // Whoever has it already is not asked to give it up.
        if before.is_none() {
            let reasons = self.guard.before_plan(request)?;
            if !reasons.is_empty() {
                return Err(EngineError::Refused { reasons });
            }
        }
        let mut hand = self.hire(&request.owner)??;
        let reasons = self.settle_shares(&mut hand, request, tell)?;
        if !reasons.is_empty() {
            return Err(EngineError::Refused { reasons });
        }
        if before.is_none() {
            self.check(&mut hand, request)?;
            self.append(Event::Began { request: request.clone() })?;
            self.written_down(&request.owner, &hand)?;
        }
        let mut applied = Applied::default();
        for (index, step) in request.steps.iter().enumerate() {
            tell(Progress::Step { number: index + 1, of: request.steps.len(), step, undo: false });
            fault::about(Some(step));
            match self.make(&mut hand, request, step, tell, &mut applied) {
                Ok(()) => (),
                Err(Failure::Journal(error)) => return Err(error.into()),
                Err(Failure::Guard(reasons)) => return Err(self.give_up(request, step, reasons.join("; "), tell)?),
                Err(Failure::Hand(error)) => {
                    self.quarantine(request, step.effect().lock(), &error)?;
                    drop(hand);
                    // Who was only slow is gone now, and what it was at can be given back.
                    self.free_quarantines()?;
                    return Err(self.give_up(request, step, error.to_string(), tell)?);
                }
            }
        }
        fault::about(None);
        if before != Some(HoldingPhase::Ready) {
            self.append(Event::Ready { owner: request.owner.clone() })?;
            applied.changed = true;
        }
        Ok(applied)
    }

    /// What only looks, before anything is changed; each looks again at its place among the steps.
    fn check(&self, hand: &mut H::Hand, request: &Request) -> Result<(), EngineError> {
        let mut reasons = Vec::new();
        for step in request.steps.iter().filter(|step| step.is_check()) {
            match hand.observe(step) {
                Ok(now) => reasons.extend(step.wanted(&now).err().map(|trouble| trouble.message)),
                Err(HandError::Refused(trouble)) => reasons.push(trouble.message),
                Err(error) => {
                    self.quarantine(request, step.effect().lock(), &error)?;
                    return Err(Trouble::new(error.to_string()).into());
                }
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(EngineError::Refused { reasons }) }
    }

    /// Makes one step, or takes part in one that is made.
    fn make(
        &self,
        hand: &mut H::Hand,
        request: &Request,
        step: &Step,
        tell: &mut dyn FnMut(Progress<'_>),
        applied: &mut Applied,
    ) -> Result<(), Failure> {
        if step.is_check() {
            step.wanted(&hand.observe(step)?)?;
            return Ok(());
        }
        let effect = step.effect();
        // A share of one's own is a record of one's own.
        let additive = effect.sharing == Sharing::Additive;
        let there = {
            let journal = self.journal();
            let ledger = journal.ledger();
            let there = if additive { ledger.share_of(&request.owner, step) } else { ledger.of_effect(&effect) };
            there.map(|(id, record)| (id, record.clone()))
        };
        let now = hand.observe(step)?;
        let (id, goal) = match there {
            Some((id, record)) => {
                if !record.owners.contains(&request.owner) {
                    self.append(Event::Joined { id, owner: request.owner.clone() })?;
                    applied.changed = true;
                }
                let is_there = !matches!(step.reached(&record.wanted, &now), Reached::No(_));
                // How much there was to be is no goal any more once others have taken their shares back.
                if record.phase == RecordPhase::Done && (additive || is_there) {
                    return Ok(());
                }
                // Others may have taken it for the node since: whoever stopped between the record and the write, or whoever put the
                // device back behind our back.
                if !is_there {
                    self.guard_step(request, step)?;
                }
                (id, record.wanted)
            }
            None => {
                let wanted = step.wanted(&now)?;
                let reasons = along(self.journal().ledger(), &request.owner, step, &now, &wanted);
                if !reasons.is_empty() {
                    return Err(Failure::Guard(reasons));
                }
                self.guard_step(request, step)?;
                let id = RecordId(self.journal().ledger().next);
                if let Some(remark) = step.remark(&now, &wanted) {
                    tell(Progress::Note(&remark));
                    applied.notes.push(remark);
                }
                let (owner, original) = (request.owner.clone(), now.clone());
                self.append(Event::Intended { id, owner, step: step.clone(), original, wanted: wanted.clone() })?;
                applied.changed = true;
                (id, wanted)
            }
        };
        let arrival = reach(hand, step, &goal, now, tell)?;
        if let Some(note) = arrival.note {
            tell(Progress::Note(&note));
            applied.notes.push(note);
        }
        applied.changed |= arrival.changed;
        self.note(Event::Done { id })?;
        Ok(())
    }

    fn guard_step(&self, request: &Request, step: &Step) -> Result<(), Failure> {
        let reasons = self.guard.before_step(request, step)?;
        if reasons.is_empty() { Ok(()) } else { Err(Failure::Guard(reasons)) }
    }

    /// Undoes what a failed plan had done. The error keeps both, why it failed and what could not be undone.
    fn give_up(
        &self,
        request: &Request,
        step: &Step,
        why: String,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<EngineError, EngineError> {
        self.append(Event::Failed { owner: request.owner.clone(), why: why.clone() })?;
        let everything = |why| vec![Left { what: "everything".to_owned(), why }];
        // A plan may be made once more for a VM that runs already, and must not take its devices away.
        let left: Vec<Left> = match self.guard.before_undo(request) {
            Ok(users) if users.is_empty() => match self.hire(&request.owner)? {
                Ok(mut hand) => self.take_back(&mut hand, request, tell)?.left,
                Err(trouble) => everything(trouble.message),
            },
            Ok(users) => everything(users.join("; ")),
            Err(trouble) => everything(trouble.message),
        };
        Ok(EngineError::Failed { what: step.describe(), why, left })
    }
}

/// Everything that must not be changed by two at once: the request's lock domain and the effects it shares.
pub(super) fn keys(request: &Request) -> impl Iterator<Item = String> {
    let effects = request.steps.iter().map(|step| step.effect());
    let effects = effects.flat_map(|effect| [Some(effect.key), effect.part.map(|part| part.of.to_owned())]).flatten();
    request.domain.iter().cloned().chain(effects).chain([format!("owner {}", request.owner)])
}
