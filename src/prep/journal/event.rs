//! What is written down.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use crate::base::PciAddress;
use crate::prep::hand::ProcessId;
use crate::prep::owner::Owner;
use crate::prep::step::{Step, StepState};

/// The number of a record, counted from 1 in each boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId(pub u64);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What somebody wants of the node: the whole of it, so that it can be taken up again after a crash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// For whom.
    pub owner: Owner,
    /// Under which name the admin allows it (a resource or a profile of the node's configuration).
    pub purpose: String,
    /// The PCI functions it gives away, the primary one first.
    #[serde(default)]
    pub devices: Vec<PciAddress>,
    /// What it must own alone for as long as it lasts: the keys of its ownership units (an IOMMU group, a slot that is reset as one).
    #[serde(default)]
    pub unit: Vec<String>,
    /// The keys of its lock domain: whatever must not be changed by two at once.
    #[serde(default)]
    pub domain: Vec<String>,
    /// What is to be done, in order.
    pub steps: Vec<Step>,
}

/// One line of the journal.
#[allow(clippy::large_enum_variant, reason = "an event lives as long as it takes to write or to read its line")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// The file begins.
    Opened {
        /// Of the file; there is one so far: 1.
        format: u32,
        /// `/proc/sys/kernel/random/boot_id`.
        boot: String,
    },
    /// What all events before add up to: the file was begun anew.
    Snapshot {
        /// Everything.
        ledger: Ledger,
    },
    /// Somebody's plan begins.
    Began {
        /// The whole of it.
        request: Request,
    },
    /// Somebody's plan is carried out by this process from here on: what outlives us is waited for.
    Hired {
        /// Whose.
        owner: Owner,
        /// Who.
        process: ProcessId,
    },
    /// A step is about to be made: nothing of it has been written to the node yet.
    Intended {
        /// Its number.
        id: RecordId,
        /// For whom.
        owner: Owner,
        /// What.
        step: Step,
        /// Everything it may change, as it was.
        original: StepState,
        /// As it shall be.
        wanted: StepState,
    },
    /// It has been made and read back.
    Done {
        /// Which.
        id: RecordId,
    },
    /// Another owner wants what has been done already.
    Joined {
        /// Which.
        id: RecordId,
        /// Who.
        owner: Owner,
    },
    /// One of several owners no longer wants it.
    Left {
        /// Which.
        id: RecordId,
        /// Who.
        owner: Owner,
    },
    /// It is about to be undone.
    Undoing {
        /// Which.
        id: RecordId,
        /// What it aims at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        goal: Option<StepState>,
    },
    /// It is as it was.
    Undone {
        /// Which.
        id: RecordId,
        /// What could not be had back, and why that is all right.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// It could not be undone; it stays written down.
    NotUndone {
        /// Which.
        id: RecordId,
        /// Why.
        why: String,
    },
    /// All steps of an owner are made.
    Ready {
        /// Whose.
        owner: Owner,
    },
    /// An owner's plan has failed; what it had done is being undone.
    Failed {
        /// Whose.
        owner: Owner,
        /// Why.
        why: String,
    },
    /// An owner is going.
    Releasing {
        /// Who.
        owner: Owner,
    },
    /// Nothing of an owner is left.
    Released {
        /// Whose.
        owner: Owner,
    },
    /// A hand hangs: what it touched is left alone until it is gone.
    Quarantined {
        /// The keys of the lock domain.
        domain: Vec<String>,
        /// Who hangs.
        process: ProcessId,
        /// In what.
        what: String,
        /// For whom it was done.
        owner: Owner,
    },
    /// The one who hung is gone.
    Freed {
        /// Who.
        process: ProcessId,
    },
}
