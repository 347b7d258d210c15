//! Whether a device is free: a pure function of what was seen.
//!
//! No signal says so for certain. Hooks and links get lost, and the device-plugin API has no call for it. So a device is free when
//! nobody holds its VFIO files, two answers of kubelet at least ten seconds apart did not name it, none in between did, and no control
//! group of a pod that had it is left. Hooks and links only make somebody look sooner.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::node::Release;

use super::id::DeviceId;
use super::moment::Moment;

/// Two answers of kubelet that do not name a device are at least so far apart.
pub const APART: Duration = Duration::from_secs(10);
/// What was promised and never named by kubelet lapses after so long; and where no pod is known whose control group could be looked
/// for, kubelet has to be silent for so long.
pub const LAPSE: Duration = Duration::from_secs(60);

/// A pod's uid.
pub type PodUid = String;

/// A pod as kubelet names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What kubelet's pod-resources said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// When it was asked: what was promised later may not be in it.
    pub asked: Moment,
    /// Whether it lists the agent's own pod. One that does not is that of a kubelet which has not yet read its own state.
    pub counts: bool,
    /// Which pod has what.
    pub pods: BTreeMap<DeviceId, PodName>,
    /// What more than one pod has, as it says: somebody has it, and nobody knows who.
    pub contested: BTreeSet<DeviceId>,
    /// The uids of those pods, as far as known.
    pub uids: BTreeMap<PodName, BTreeSet<PodUid>>,
}

/// Everything that was seen in one look around.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// When it began.
    pub at: Moment,
    /// kubelet's answer, if it gave one since the last look.
    pub kubelet: Option<Answer>,
    /// Whose VFIO files are open, and in which pods.
    pub held: BTreeMap<DeviceId, BTreeSet<PodUid>>,
    /// Whether some process could not be looked into: then anything may be held.
    pub blind: bool,
    /// Pods with a control group; `None` if they cannot be seen.
    pub cgroups: Option<BTreeSet<PodUid>>,
}

/// What is known of the use of one id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tenancy {
    /// When it was promised, or last made ready.
    pub since: Moment,
    /// Whether kubelet ever named it, or somebody held it.
    pub seen: bool,
    /// The pod that kubelet names for it.
    pub pod: Option<PodName>,
    /// The pods that had it.
    pub uids: BTreeSet<PodUid>,
    /// The first answer of kubelet that did not name it; none since did.
    pub absent: Option<Moment>,
    /// Since when it is free.
    pub free: Option<Moment>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is used, or may be: why.
    Used(&'static str),
    /// It is free, and stays with us for a while longer.
    Idle,
    /// It is free: the promise is gone, and the device goes back if so told.
    Free {
        /// Whether what was done for it is undone.
        restore: bool,
    },
}

impl Tenancy {
    /// One that begins now. Whatever was seen before does not count.
    pub fn begin(now: Moment) -> Self {
        Self { since: now, ..Self::default() }
    }

    /// The same, of something that was live when this program came.
    pub fn adopted(now: Moment) -> Self {
        Self { since: now, seen: true, ..Self::default() }
    }

    /// Takes a look in.
    #[must_use]
    pub fn after(mut self, id: &DeviceId, policy: Release, look: &Look) -> (Self, Verdict) {
        let held = look.held.get(id);
        if let Some(pods) = held {
            self.seen = true;
            self.uids.extend(pods.iter().cloned());
        }
        // An answer to a question that is older than the promise says nothing about it.
        if let Some(answer) = look.kubelet.as_ref().filter(|answer| answer.asked > self.since) {
            match answer.pods.get(id) {
                Some(_) if answer.contested.contains(id) => {
                    (self.seen, self.pod, self.absent) = (true, None, None);
                }
                // That it is named is true whoever else is not.
                Some(pod) => {
                    self.seen = true;
                    self.uids.extend(answer.uids.get(pod).into_iter().flatten().cloned());
                    self.pod = Some(pod.clone());
                    self.absent = None;
                }
                None if answer.counts => {
                    self.absent.get_or_insert(answer.asked);
                }
                None => (),
            }
        }
        let verdict = self.verdict(policy, look, held.is_some());
        (self, verdict)
    }

    fn verdict(&mut self, policy: Release, look: &Look, held: bool) -> Verdict {
        if let Some(why) = self.in_use(look, held) {
            self.free = None;
            return Verdict::Used(why);
        }
        let free = *self.free.get_or_insert(look.at);
        match policy {
            Release::Restore => Verdict::Free { restore: true },
            Release::AfterIdle(period) if look.at.since(free) >= period.as_duration() => {
                Verdict::Free { restore: true }
            }
            Release::AfterIdle(_) => Verdict::Idle,
            Release::Keep => Verdict::Free { restore: false },
        }
    }

    /// Why it may be in use; `None` if it is not.
    fn in_use(&self, look: &Look, held: bool) -> Option<&'static str> {
        if held {
            return Some("a process has it open");
        }
        if look.blind {
            return Some("not every process can be looked into");
        }
        // Once free it stays so until somebody names it or holds it: kubelet need not be asked again.
        let Some(absent) = self.absent else { return Some("kubelet has not answered without it") };
        let quiet = if self.seen && !self.uids.is_empty() { APART } else { LAPSE };
        let last = look.kubelet.as_ref().filter(|answer| answer.counts && answer.asked > self.since);
        let apart = last.is_some_and(|answer| answer.asked.since(absent) >= APART);
        if self.free.is_none() && !apart {
            return Some("kubelet was not silent about it twice");
        }
        if !self.seen && look.at.since(self.since) < LAPSE || look.at.since(absent) < quiet && self.seen {
            return Some("it has been promised");
        }
        match &look.cgroups {
            None => Some("control groups cannot be seen"),
            Some(left) if !self.uids.is_disjoint(left) => Some("a control group of its pod is left"),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
