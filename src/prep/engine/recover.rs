//! After a crash: every owner is either done or gone.

use super::Engine;
use super::error::EngineError;
use super::guard::Guard;
use super::progress::Progress;
use crate::host::Root;
use crate::prep::hand::{Hands, ProcessId};
use crate::prep::journal::{Event, Holding, HoldingPhase, JournalError};
use crate::prep::owner::Owner;
use crate::prep::trouble::Trouble;

/// What became of one owner, or of one who hung.
#[derive(Debug)]
pub enum Recovered {
    /// Nothing was to be done: the owner has all it asked for, and keeps it.
    Adopted {
        /// Who.
        owner: Owner,
    },
    /// Somebody uses its device, so what was begun was finished.
    Finished {
        /// Who.
        owner: Owner,
    },
    /// Nobody uses its device, so what was begun was undone.
    Undone {
        /// Who.
        owner: Owner,
        /// What could not be had back, and why that is all right.
        notes: Vec<String>,
    },
    /// It could neither be finished nor undone.
    Open {
        /// Who.
        owner: Owner,
        /// Why.
        error: EngineError,
    },
    /// One who hung is gone; what it touched may be touched again.
    Freed {
        /// Who.
        process: ProcessId,
    },
}

impl<H: Hands, G: Guard> Engine<H, G> {
    /// Takes up what a crash of this program cut short. Whose device is in use (`alive`) is finished, others are undone; who had
    /// everything keeps it. May be called at any time, and again.
    ///
    /// # Errors
    ///
    /// [`JournalError`]; what fails for one owner is in the list and does not keep the others from recovering.
    pub fn recover(
        &self,
        alive: &dyn Fn(&Holding) -> Result<bool, Trouble>,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Vec<Recovered>, JournalError> {
        let mut recovered: Vec<Recovered> =
            self.free_quarantines()?.into_iter().map(|process| Recovered::Freed { process }).collect();
        for (owner, holding) in self.ledger().holdings {
            let finish = match holding.phase {
                HoldingPhase::Ready => {
                    recovered.push(Recovered::Adopted { owner });
                    continue;
                }
                HoldingPhase::Preparing => alive(&holding),
                HoldingPhase::Failed { .. } | HoldingPhase::Releasing => Ok(false),
            };
            let outcome = match finish {
                Ok(true) => self.apply(&holding.request, tell).map(|_| Recovered::Finished { owner: owner.clone() }),
                Ok(false) => self
                    .undo(&owner, tell)
                    .map(|undone| Recovered::Undone { owner: owner.clone(), notes: undone.notes }),
                Err(trouble) => Err(trouble.into()),
            };
            recovered.push(outcome.unwrap_or_else(|error| Recovered::Open { owner, error }));
        }
        Ok(recovered)
    }

    /// Lifts the quarantines of those who are gone, and tells who.
    pub(super) fn free_quarantines(&self) -> Result<Vec<ProcessId>, JournalError> {
        // A process is looked for where this one runs, whatever the root of the node's files.
        let here = Root::new("/");
        let gone: Vec<ProcessId> = {
            let journal = self.journal();
            journal
                .ledger()
                .quarantines
                .iter()
                .map(|quarantine| quarantine.process)
                .filter(|id| !id.is_alive(&here))
                .collect()
        };
        for process in &gone {
            self.append(Event::Freed { process: *process })?;
        }
        Ok(gone)
    }
}
