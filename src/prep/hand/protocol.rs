//! What goes over the pipe: one line of JSON each way.

use serde::{Deserialize, Serialize};

use crate::prep::action::Action;
use crate::prep::step::{Step, StepState};
use crate::prep::trouble::Trouble;

/// What the hand is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Order {
    /// Read a state.
    Observe(Step),
    /// Do something.
    Act(Action),
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Answer {
    /// The state.
    State(StepState),
    /// It is done.
    Done,
    /// The node refused.
    Refused(Trouble),
}
