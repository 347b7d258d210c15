//! What every kind of step can say of itself.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::action::Action;
use super::hand::OBSERVE_WITHIN;
use super::trouble::Trouble;
use crate::base::PciAddress;
use crate::host::{CpuSet, Root};

/// A kind of step: what it wants, and how to get from one state to another. All but [`Kind::observe`] is pure.
pub trait Kind: Clone + Debug + PartialEq + Serialize + DeserializeOwned {
    /// Everything this step may change, as it is at one moment: what the journal keeps.
    type State: Clone + Debug + PartialEq + Serialize + DeserializeOwned;

    /// One line for a person: `bind 0000:3b:00.0 to vfio-pci`.
    fn describe(&self) -> String;

    /// What it changes, so that two owners who want the same meet.
    fn effect(&self) -> Effect;

    /// Whether this only looks, and refuses or not: it has no moves, changes nothing, and is not written down.
    fn is_check(&self) -> bool {
        false
    }

    /// How long [`Kind::observe`] may take before whoever does it is given up.
    fn observe_within(&self) -> Duration {
        OBSERVE_WITHIN
    }

    /// Reads today's state. Runs in the expendable process: this may touch attributes that take a device's lock.
    ///
    /// # Errors
    ///
    /// [`Trouble`]: it cannot be read, or there is no such thing on this node.
    fn observe(&self, root: &Root) -> Result<Self::State, Trouble>;

    /// What should be, given what is. Equal to `now` where nothing is to be done.
    ///
    /// # Errors
    ///
    /// [`Trouble`]: this cannot be reached from here, and why.
    fn wanted(&self, now: &Self::State) -> Result<Self::State, Trouble>;

    /// For a plan that is only told: the state as it will be once the plan has made the virtual function that this is about. `None` if
    /// it is about none, or that is there already.
    fn foreseen(&self, now: &Self::State) -> Option<Self::State> {
        let _ = now;
        None
    }

    /// What a person should know of a change that is about to be made, beside what it does. A note, no refusal.
    fn remark(&self, original: &Self::State, wanted: &Self::State) -> Option<String> {
        let (_, _) = (original, wanted);
        None
    }

    /// The actions that lead from one state to another, in order. `attempt` counts from 0: when the first movement did not reach its
    /// goal, the engine observes again and asks for the next one (a fallback, a retry after compaction); empty means there is none.
    fn moves(&self, from: &Self::State, to: &Self::State, attempt: u32) -> Vec<Action>;

    /// The state an undo aims at: what was, unless others may have changed it meanwhile (counts are given back as differences).
    fn undone(&self, original: &Self::State, wanted: &Self::State, now: &Self::State) -> Self::State {
        let (_, _) = (wanted, now);
        original.clone()
    }

    /// The same for a step that was given up, or cut short, before it was done: how far it had come is for `now` to show.
    fn unfinished(&self, original: &Self::State, wanted: &Self::State, now: &Self::State) -> Self::State {
        self.undone(original, wanted, now)
    }

    /// Of effects that lie one upon the other (see [`Part`]): this state, once what was `from` beneath it is `to`. `None` for all that do
    /// not.
    fn rebased(&self, state: &Self::State, from: &Self::State, to: &Self::State) -> Option<Self::State> {
        let (_, _, _) = (state, from, to);
        None
    }

    /// Effects of other steps that a movement takes along, by their keys: modules that go with another, or come with it.
    fn along(&self, from: &Self::State, to: &Self::State) -> Vec<String> {
        let (_, _) = (from, to);
        Vec::new()
    }

    /// A goal of an undo that leaves alone what others have by now, given the keys of their effects.
    fn sparing(&self, goal: &Self::State, held: &BTreeSet<String>) -> Self::State {
        let _ = held;
        goal.clone()
    }

    /// Whether `now` is what was aimed at.
    fn reached(&self, goal: &Self::State, now: &Self::State) -> Reached {
        if goal == now { Reached::Yes } else { Reached::No(format!("it is {now:?} and not {goal:?}")) }
    }
}

/// The outcome of reading back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// It is as it should be.
    Yes,
    /// It is not quite, for a reason nobody can help (a firmware framebuffer does not come back after a native driver); say so and go on.
    Enough(String),
    /// It is not: what is there instead.
    No(String),
}

/// What a step changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Effect {
    /// A name for it: `driver of 0000:3b:00.0`, `unit display-manager.service`.
    pub key: String,
    /// Who may want it at once.
    pub sharing: Sharing,
    /// The PCI function whose lock it takes, if it is about one.
    pub device: Option<PciAddress>,
    /// The CPUs it is about, of something that all CPUs have.
    pub part: Option<Part>,
}

/// CPUs of something that all of them have: two who want overlapping parts that are not the same would spoil each other's originals.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// Of what: `interrupts`.
    pub of: &'static str,
    /// Which.
    pub cpus: CpuSet,
}

/// Who may want an effect at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sharing {
    /// One owner only.
    Exclusive,
    /// Everybody who wants exactly the same; undone when the last of them goes.
    Shared,
    /// Everybody adds a share of their own and takes it back.
    Additive,
}

impl Effect {
    /// One owner only.
    pub fn exclusive(key: impl Into<String>) -> Self {
        Self { key: key.into(), sharing: Sharing::Exclusive, device: None, part: None }
    }

    /// Undone when the last owner goes.
    pub fn shared(key: impl Into<String>) -> Self {
        Self { key: key.into(), sharing: Sharing::Shared, device: None, part: None }
    }

    /// Everybody's own share.
    pub fn additive(key: impl Into<String>) -> Self {
        Self { key: key.into(), sharing: Sharing::Additive, device: None, part: None }
    }

    /// It takes this function's lock.
    #[must_use]
    pub fn of(self, device: PciAddress) -> Self {
        Self { device: Some(device), ..self }
    }

    /// It is about these CPUs' share of something.
    #[must_use]
    pub fn part(self, of: &'static str, cpus: CpuSet) -> Self {
        Self { part: Some(Part { of, cpus }), ..self }
    }

    /// Whether it is another effect that meets this one in some CPUs.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (&self.part, &other.part) {
            (Some(ours), Some(theirs)) => {
                self.key != other.key && ours.of == theirs.of && !ours.cpus.common(&theirs.cpus).is_empty()
            }
            _ => false,
        }
    }

    /// What a quarantine has to name for this to be left alone.
    pub fn lock(&self) -> String {
        self.device.map_or_else(|| self.key.clone(), |device| format!("function {device}"))
    }
}
