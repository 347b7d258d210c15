//! The hand: an expendable process that touches the node, so that nobody else can be caught in it.
//!
//! A write to sysfs may never return: unbinding a device waits for whoever still uses it, in the kernel, and no signal ends that wait. So
//! every observation and every action of a plan is done by one child process, fed over a pipe, each with a deadline. When a deadline
//! passes, the child is given up: it stays behind with its name and start time in the journal, and what it touched is left alone until
//! it is gone.

mod child;
mod process;
mod protocol;

use std::time::Duration;

pub use child::serve;
pub use process::{ProcessId, Workshop};

use super::action::Action;
use super::step::{Step, StepState};
use super::trouble::Trouble;

/// How long an observation may take unless its kind of step says otherwise: it may wait for a device's lock, which somebody's write holds.
pub const OBSERVE_WITHIN: Duration = Duration::from_secs(5);

/// Somebody who observes and acts, one thing at a time.
pub trait Hand {
    /// Reads the state a step is about.
    ///
    /// # Errors
    ///
    /// [`HandError`].
    fn observe(&mut self, step: &Step) -> Result<StepState, HandError>;

    /// Carries one action out.
    ///
    /// # Errors
    ///
    /// [`HandError`].
    fn act(&mut self, action: &Action) -> Result<(), HandError>;

    /// The process that it is, if it is one.
    fn process(&self) -> Option<ProcessId> {
        None
    }
}

/// Where hands come from: one for each plan.
pub trait Hands {
    /// What comes.
    type Hand: Hand;

    /// A fresh one.
    ///
    /// # Errors
    ///
    /// [`Trouble`]: no process can be started.
    fn hire(&self) -> Result<Self::Hand, Trouble>;
}

/// Why a hand did not do what it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandError {
    /// The node refused; the hand is well.
    #[error(transparent)]
    Refused(#[from] Trouble),
    /// It has not come back in time. It is never asked again.
    #[error("{what} has not returned within {seconds} s: process {process} hangs in it")]
    Stuck {
        /// What it was told.
        what: String,
        /// How long it was given.
        seconds: u64,
        /// Who it is.
        process: ProcessId,
    },
    /// It ended, or talks nonsense; whether the last action was carried out is unknown.
    #[error("the process that was to {what} is gone: {why}")]
    Gone {
        /// What it was told.
        what: String,
        /// How that showed.
        why: String,
    },
}
