//! Apply, undo, recover: the only code that changes a node.
//!
//! Everything is checked before anything is written. Every step is written to the journal before it is made, is read back after, and is
//! undone from the journal alone, in reverse.

mod apply;
mod conflicts;
mod domains;
mod error;
mod fault;
mod guard;
mod orphans;
mod plan;
mod progress;
mod reach;
mod recover;
mod undo;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use apply::Applied;
pub use error::{EngineError, Left};
pub use guard::{Guard, Unguarded};
pub use plan::{How, Plan, PlannedStep};
pub use progress::Progress;
pub use recover::Recovered;
pub use undo::Undone;

use super::hand::{HandError, Hands};
use super::journal::{Event, Journal, JournalError, Ledger, Opened, Request};
use super::owner::Owner;
use super::trouble::Trouble;
use domains::Domains;

/// The engine of one node: one at a time, for it holds the journal.
#[derive(Debug)]
pub struct Engine<H, G> {
    journal: Mutex<Journal>,
    domains: Domains,
    hands: H,
    guard: G,
}

impl<H: Hands, G: Guard> Engine<H, G> {
    /// Takes the journal of a state folder for the boot that is going on.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: somebody else has it, or it cannot be read.
    ///
    /// Whoever was at work for an earlier process that was killed is waited for, 2 s at most; then what it is at is left alone.
    pub fn open(state: &Path, boot: &str, hands: H, guard: G) -> Result<(Self, Opened), JournalError> {
        let (journal, opened) = Journal::open(state, boot)?;
        let engine = Self { journal: Mutex::new(journal), domains: Domains::default(), hands, guard };
        engine.leave_orphans_alone()?;
        Ok((engine, opened))
    }

    /// What is changed and held now.
    pub fn ledger(&self) -> Ledger {
        self.journal().ledger().clone()
    }

    /// Lifts the quarantines of those who hung and are gone.
    ///
    /// # Errors
    ///
    /// [`JournalError`].
    pub fn settle(&self) -> Result<(), JournalError> {
        self.free_quarantines().map(drop)
    }

    /// What stands in the way of a request now: what others have, and what the guard says. Nothing on the node is touched, and no device's
    /// lock is waited for.
    ///
    /// # Errors
    ///
    /// [`Trouble`]: the system cannot be read.
    pub fn obstacles(&self, request: &Request) -> Result<Vec<String>, Trouble> {
        let mut reasons = conflicts::conflicts(self.journal().ledger(), request);
        if reasons.is_empty() {
            reasons = self.guard.before_plan(request)?;
        }
        Ok(reasons)
    }

    /// The guard.
    pub fn guard(&self) -> &G {
        &self.guard
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        // Whoever panicked had not got through append(), which marks the journal itself where a line may be torn.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, event: Event) -> Result<(), JournalError> {
        fault::point("before it is written down");
        self.journal().append(event)?;
        fault::point("after it is written down");
        Ok(())
    }

    fn note(&self, event: Event) -> Result<(), JournalError> {
        self.journal().note(event)?;
        fault::point("after it is noted");
        Ok(())
    }

    /// Writes down that a hand hangs, so that nobody touches what it touched.
    fn quarantine(&self, request: &Request, lock: String, error: &HandError) -> Result<(), JournalError> {
        let mut domain = request.domain.clone();
        domain.push(lock);
        self.quarantine_only(&request.owner, domain, error)
    }

    /// The same for these keys alone.
    fn quarantine_only(&self, owner: &Owner, domain: Vec<String>, error: &HandError) -> Result<(), JournalError> {
        let HandError::Stuck { what, process, .. } = error else { return Ok(()) };
        self.append(Event::Quarantined { domain, process: *process, what: what.clone(), owner: owner.clone() })
    }
}
