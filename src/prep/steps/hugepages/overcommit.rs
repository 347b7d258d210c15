//! Huge pages beyond the pool.

use serde::{Deserialize, Serialize};

use super::super::sysfs::write;
use super::{PagesState, bytes, compare, count, less, more};
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;

/// Let programs take huge pages that are not in any pool, when they need them and as long as there are any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowOvercommit {
    /// The size of a page in KiB.
    pub kib: u64,
    /// How many more.
    pub count: u64,
}

impl Kind for AllowOvercommit {
    type State = PagesState;

    fn describe(&self) -> String {
        format!("allow {} huge pages of {} KiB beyond the pool", self.count, self.kib)
    }

    fn effect(&self) -> Effect {
        Effect::additive(format!("huge pages of {} KiB beyond the pool", self.kib))
    }

    fn observe(&self, root: &Root) -> Result<PagesState, Trouble> {
        count(root, &self.file())
    }

    fn wanted(&self, now: &PagesState) -> Result<PagesState, Trouble> {
        more(now, self.count).ok_or_else(|| Trouble::new(format!("there are no huge pages of {} KiB", self.kib)))
    }

    fn moves(&self, from: &PagesState, to: &PagesState, attempt: u32) -> Vec<Action> {
        let pages = to.pages.filter(|_| from.pages.is_some() && attempt == 0);
        pages.and_then(|pages| write(self.file(), pages.to_string())).into_iter().collect()
    }

    fn undone(&self, _original: &PagesState, _wanted: &PagesState, now: &PagesState) -> PagesState {
        less(now, self.count)
    }

    fn unfinished(&self, original: &PagesState, _wanted: &PagesState, now: &PagesState) -> PagesState {
        let got = now.pages.unwrap_or(0).saturating_sub(original.pages.unwrap_or(0));
        less(now, got.min(self.count))
    }

    fn reached(&self, goal: &PagesState, now: &PagesState) -> Reached {
        compare(goal, now, |goal, now| {
            format!("{now} huge pages of {} KiB are allowed beyond the pool, not {goal}", self.kib)
        })
    }
}

impl AllowOvercommit {
    /// How much memory that may become, for a limit on the sum of all shares.
    pub fn bytes(&self) -> u64 {
        bytes(self.kib, self.count)
    }

    fn file(&self) -> String {
        format!("sys/kernel/mm/hugepages/hugepages-{}kB/nr_overcommit_hugepages", self.kib)
    }
}
