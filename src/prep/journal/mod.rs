//! What was before, written down before it is changed.
//!
//! One file of lines, each a checksum and an [`Event`]; what they add up to is the [`Ledger`]. An event is on the disk (fsync) before
//! what it announces happens. Nothing of it is trusted after a reboot, for a node starts anew then: the file knows its boot.

mod event;
mod file;
mod ledger;
mod line;

pub use event::{Event, RecordId, Request};
pub use file::{Journal, JournalError, Opened};
pub use ledger::{Holding, HoldingPhase, Ledger, Quarantine, Record, RecordPhase};
