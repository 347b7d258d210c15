//! What is going on, for whoever watches.

use crate::prep::action::Action;
use crate::prep::step::Step;

/// One moment of a plan.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A step begins: which of how many, and in which direction.
    Step {
        /// Which, from 1.
        number: usize,
        /// Of how many.
        of: usize,
        /// What.
        step: &'a Step,
        /// Whether it is being undone.
        undo: bool,
    },
    /// An action begins.
    Action(&'a Action),
    /// Something a person should know, though nothing went wrong.
    Note(&'a str),
}
