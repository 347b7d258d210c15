//! Why a plan did not go through.

use crate::prep::journal::JournalError;
use crate::prep::owner::Owner;
use crate::prep::trouble::Trouble;

/// Something that could not be undone, and stays written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// Why a plan did not go through.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Something stands in the way. Nothing has been changed.
    #[error("{}", refused(reasons))]
    Refused {
        /// What and who, a line each.
        reasons: Vec<String>,
    },
    /// A step failed, and what had been done was undone, but for what is left.
    #[error("{what} failed: {why}{}", left_over(left))]
    Failed {
        /// The step.
        what: String,
        /// Why.
        why: String,
        /// What could not be undone.
        left: Vec<Left>,
    },
    /// An undo went as far as it could.
    #[error("{owner} is not gone from this node{}", left_over(left))]
    NotUndone {
        /// Whose.
        owner: Owner,
        /// What could not be undone.
        left: Vec<Left>,
    },
    /// The system could not be read, or no process be started. Nothing has been changed.
    #[error(transparent)]
    System(#[from] Trouble),
    /// The journal could not be written: nothing is done that is not written down.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

fn refused(reasons: &[String]) -> String {
    reasons.join("; ")
}

fn left_over(left: &[Left]) -> String {
    if left.is_empty() {
        return String::new();
    }
    let left: Vec<String> = left.iter().map(|left| format!("{} ({})", left.what, left.why)).collect();
    format!("; not undone: {}", left.join("; "))
}
