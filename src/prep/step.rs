//! Every power this program has over a node.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::kind::{Effect, Kind, Reached};
use super::steps::{
    AddHugepages, AllowOvercommit, Bind, CheckDisks, IsolateCpus, LoadModule, MakeMdev, MakeVfs, MoveIrqs, PinPower,
    ReleaseConsoles, ReleaseFramebuffer, SetMemlock, SetParameter, SetResetMethods, SetVf, SetVgpu, StopService,
    SwapModule, TakeUnbindLock, UnloadModule,
};
use super::trouble::Trouble;
use crate::host::Root;

/// Writes the enum of steps, that of their states, and the dispatch between them. A new kind of step is one line in `kinds!`.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One thing that can be done to a node and undone again. This enum is the list of all powers.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "step", rename_all = "camelCase")]
        pub enum Step {
            $($(#[$doc])* $name($name),)*
        }

        /// The state a step observes: of the same kind as the step.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "of", content = "state", rename_all = "camelCase")]
        pub enum StepState {
            $(#[doc = concat!("Of a step [`Step::", stringify!($name), "`].")] $name(<$name as Kind>::State),)*
        }

        impl Step {
            /// One line for a person.
            pub fn describe(&self) -> String {
                match self { $(Self::$name(step) => step.describe(),)* }
            }

            /// What it changes.
            pub fn effect(&self) -> Effect {
                match self { $(Self::$name(step) => step.effect(),)* }
            }

            /// Whether it only looks. See [`Kind::is_check`].
            pub fn is_check(&self) -> bool {
                match self { $(Self::$name(step) => step.is_check(),)* }
            }

            /// How long an observation may take. See [`Kind::observe_within`].
            pub fn observe_within(&self) -> Duration {
                match self { $(Self::$name(step) => step.observe_within(),)* }
            }

            /// Today's state. See [`Kind::observe`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn observe(&self, root: &Root) -> Result<StepState, Trouble> {
                match self { $(Self::$name(step) => step.observe(root).map(StepState::$name),)* }
            }

            /// What should be. See [`Kind::wanted`].
            ///
            /// # Errors
            ///
            /// As there, and a state of another kind.
            pub fn wanted(&self, now: &StepState) -> Result<StepState, Trouble> {
                match (self, now) {
                    $((Self::$name(step), StepState::$name(now)) => step.wanted(now).map(StepState::$name),)*
                    _ => Err(self.mixed_up()),
                }
            }

            /// What a person should know of a change. See [`Kind::remark`]. Nothing for states of another kind.
            pub fn remark(&self, original: &StepState, wanted: &StepState) -> Option<String> {
                match (self, original, wanted) {
                    $((Self::$name(step), StepState::$name(original), StepState::$name(wanted)) => {
                        step.remark(original, wanted)
                    })*
                    _ => None,
                }
            }

            /// The state once virtual functions are made. See [`Kind::foreseen`]. `None` for a state of another kind as well.
            pub fn foreseen(&self, now: &StepState) -> Option<StepState> {
                match (self, now) {
                    $((Self::$name(step), StepState::$name(now)) => step.foreseen(now).map(StepState::$name),)*
                    _ => None,
                }
            }

            /// How to get from one state to another. See [`Kind::moves`].
            ///
            /// # Errors
            ///
            /// A state of another kind.
            pub fn moves(&self, from: &StepState, to: &StepState, attempt: u32) -> Result<Vec<Action>, Trouble> {
                match (self, from, to) {
                    $((Self::$name(step), StepState::$name(from), StepState::$name(to)) => Ok(step.moves(from, to, attempt)),)*
                    _ => Err(self.mixed_up()),
                }
            }

            /// What an undo aims at. See [`Kind::undone`].
            ///
            /// # Errors
            ///
            /// A state of another kind.
            pub fn undone(&self, original: &StepState, wanted: &StepState, now: &StepState) -> Result<StepState, Trouble> {
                match (self, original, wanted, now) {
                    $((Self::$name(step), StepState::$name(original), StepState::$name(wanted), StepState::$name(now)) => {
                        Ok(StepState::$name(step.undone(original, wanted, now)))
                    })*
                    _ => Err(self.mixed_up()),
                }
            }

            /// The same for a step that was not done. See [`Kind::unfinished`].
            ///
            /// # Errors
            ///
            /// A state of another kind.
            pub fn unfinished(&self, original: &StepState, wanted: &StepState, now: &StepState) -> Result<StepState, Trouble> {
                match (self, original, wanted, now) {
                    $((Self::$name(step), StepState::$name(original), StepState::$name(wanted), StepState::$name(now)) => {
                        Ok(StepState::$name(step.unfinished(original, wanted, now)))
                    })*
                    _ => Err(self.mixed_up()),
                }
            }

            /// The state once another lies beneath it. See [`Kind::rebased`]. `None` for states of another kind as well.
            pub fn rebased(&self, state: &StepState, from: &StepState, to: &StepState) -> Option<StepState> {
                match (self, state, from, to) {
                    $((Self::$name(step), StepState::$name(state), StepState::$name(from), StepState::$name(to)) => {
                        step.rebased(state, from, to).map(StepState::$name)
                    })*
                    _ => None,
                }
            }

            /// What a movement takes along. See [`Kind::along`]. Nothing for states of another kind.
            pub fn along(&self, from: &StepState, to: &StepState) -> Vec<String> {
                match (self, from, to) {
                    $((Self::$name(step), StepState::$name(from), StepState::$name(to)) => step.along(from, to),)*
                    _ => Vec::new(),
                }
            }

            /// The goal without what others have. See [`Kind::sparing`]. A state of another kind stays as it is.
            pub fn sparing(&self, goal: &StepState, held: &BTreeSet<String>) -> StepState {
                match (self, goal) {
                    $((Self::$name(step), StepState::$name(goal)) => StepState::$name(step.sparing(goal, held)),)*
                    _ => goal.clone(),
                }
            }

            /// Whether `now` is what was aimed at. See [`Kind::reached`].
            pub fn reached(&self, goal: &StepState, now: &StepState) -> Reached {
                match (self, goal, now) {
                    $((Self::$name(step), StepState::$name(goal), StepState::$name(now)) => step.reached(goal, now),)*
                    _ => Reached::No(self.mixed_up().message),
                }
            }
        }
    };
}

kinds! {
    /// Give a PCI function to another driver.
    Bind,
    /// Keep clients of the nvidia driver away from a GPU.
    TakeUnbindLock,
    /// Keep a PCI function awake.
    PinPower,
    /// Make virtual functions of a PF.
    MakeVfs,
    /// Set a virtual function's attributes on the wire.
    SetVf,
    /// Make a mediated device.
    MakeMdev,
    /// Make an NVIDIA VF a vGPU.
    SetVgpu,
    /// Take the text consoles off the frame buffers.
    ReleaseConsoles,
    /// Take the firmware's framebuffer off a GPU.
    ReleaseFramebuffer,
    /// Choose how a PCI function is reset.
    SetResetMethods,
    /// Hold a unit of systemd back.
    StopService,
    /// Load a module.
    LoadModule,
    /// Unload a module and what depends on it.
    UnloadModule,
    /// Replace a module by another build of it.
    SwapModule,
    /// Set a module's parameter.
    SetParameter,
    /// Add huge pages to a pool.
    AddHugepages,
    /// Allow huge pages beyond the pool.
    AllowOvercommit,
    /// Raise how much memory a process may lock.
    SetMemlock,
    /// Keep CPUs for a control group.
    IsolateCpus,
    /// Keep interrupts off CPUs.
    MoveIrqs,
    /// See that disks are idle and empty.
    CheckDisks,
}

impl Step {
    /// How much memory this step takes for huge pages, or lets the kernel take, in bytes: summed over all records of a ledger and a new
    /// request it is what `limits.hugepages.max` bounds.
    pub fn huge_bytes(&self) -> u64 {
        match self {
            Self::AddHugepages(step) => step.bytes(),
            Self::AllowOvercommit(step) => step.bytes(),
            _ => 0,
        }
    }

    /// A journal whose state does not belong to its step.
    fn mixed_up(&self) -> Trouble {
        Trouble::new(format!("the state kept for {:?} is of another kind of step", self.describe()))
    }
}
