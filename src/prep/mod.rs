//! Changing a node for a VM, and putting it back.
//!
//! | file | what it is |
//! |---|---|
//! | [`Step`] | every power this program has over a node, one enum; each kind of step in a file of `steps` |
//! | [`Action`] | the single effects steps are made of: a write, a module, a unit, … |
//! | [`Effects`] | who carries actions out: the live kernel, or a model of it in tests |
//! | [`hand`] | the expendable process that does so, and the deadline it is given |
//! | [`journal`] | what was before, written down before it is changed |
//! | [`engine`] | apply, undo, recover |
//!
//! A step is a pair of pure functions around one observation: [`Kind::wanted`] says what should be, [`Kind::moves`] how to get from one
//! state to another. Undoing is the same movement with the journal's original state as its goal.

mod action;
mod compile;
mod effects;
pub mod engine;
pub mod guard;
pub mod hand;
pub mod journal;
mod kind;
mod live;
mod owner;
mod refusal;
mod select;
mod step;
pub mod steps;
mod trouble;
pub mod vf;

pub use action::{Action, HostFile, HostFileError};
pub use compile::{Compiler, Offered, PodPlace, ProfilePlan, WhatIsOffered};
pub use effects::{Effects, LiveEffects, perform};
pub use kind::{Effect, Kind, Part, Reached, Sharing};
pub use owner::{Owner, OwnerError};
pub use select::selected;
pub use step::{Step, StepState};
pub use trouble::Trouble;
