//! Huge pages while the system runs.
//!
//! The kernel says yes to any number and gives what it finds (kernel: Documentation/admin-guide/mm/hugetlbpage.rst), so the number is read
//! back; where it falls short, caches are dropped and memory is compacted, a few times. Everybody adds a share and takes it back: an undo
//! subtracts what was added, whatever others have done meanwhile.
//!
//! `nr_hugepages` shows surplus pages too: those beyond the pool, which go by themselves when nobody has them any more. Pages in use that
//! are taken from a pool become such, so they are not of the pool (kernel: mm/hugetlb.c, `set_max_huge_pages`): counted in, a share would
//! be taken back twice.

mod overcommit;

use serde::{Deserialize, Serialize};

use super::sysfs::write;
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;
pub use overcommit::AllowOvercommit;

/// So often memory is compacted.
const COMPACTIONS: u32 = 3;

/// Add huge pages to a NUMA node's pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddHugepages {
    /// The size of a page in KiB: 2048, 1048576.
    pub kib: u64,
    /// How many.
    pub count: u64,
    /// Where; `None` leaves it to the kernel, which spreads them over all nodes.
    pub numa: Option<u32>,
}

/// A number of pages, as it is or as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagesState {
    /// How many; `None`: the node has no pages of this size.
    pub pages: Option<u64>,
    /// Of a state that is aimed at: what will do as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Bound>,
}

/// What will do as well: others have shares of their own in the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Bound {
    /// More.
    AtLeast,
    /// Less.
    AtMost,
}

impl Kind for AddHugepages {
    type State = PagesState;

    fn describe(&self) -> String {
        format!("add {} huge pages of {} KiB{}", self.count, self.kib, self.place())
    }

    fn effect(&self) -> Effect {
        Effect::additive(format!("huge pages of {} KiB{}", self.kib, self.place()))
    }

    fn observe(&self, root: &Root) -> Result<PagesState, Trouble> {
        let PagesState { pages, .. } = count(root, &self.file("nr_hugepages"))?;
        let surplus = count(root, &self.file("surplus_hugepages"))?.pages.unwrap_or(0);
        Ok(PagesState { pages: pages.map(|pages| pages.saturating_sub(surplus)), bound: None })
    }

    fn wanted(&self, now: &PagesState) -> Result<PagesState, Trouble> {
        more(now, self.count)
            .ok_or_else(|| Trouble::new(format!("there are no huge pages of {} KiB{}", self.kib, self.place())))
    }

    fn moves(&self, from: &PagesState, to: &PagesState, attempt: u32) -> Vec<Action> {
        let Some(pages) = to.pages.filter(|_| from.pages.is_some() && attempt <= COMPACTIONS) else {
            return Vec::new();
        };
        let mut moves = Vec::new();
        if attempt > 0 && to.bound == Some(Bound::AtLeast) {
            // Dirty pages are in the way of a compaction as long as they are not on the disk.
            moves.push(Action::Sync);
            moves.extend(write("proc/sys/vm/drop_caches".to_owned(), "3"));
            moves.extend(match self.numa {
                Some(node) => write(format!("sys/devices/system/node/node{node}/compact"), "1"),
                None => write("proc/sys/vm/compact_memory".to_owned(), "1"),
            });
        }
        moves.extend(write(self.file("nr_hugepages"), pages.to_string()));
        moves
    }

    fn undone(&self, _original: &PagesState, _wanted: &PagesState, now: &PagesState) -> PagesState {
        less(now, self.count)
    }

    fn unfinished(&self, original: &PagesState, _wanted: &PagesState, now: &PagesState) -> PagesState {
        // What it got before it was given up: nobody else has been at it since.
        let got = now.pages.unwrap_or(0).saturating_sub(original.pages.unwrap_or(0));
        less(now, got.min(self.count))
    }

    fn reached(&self, goal: &PagesState, now: &PagesState) -> Reached {
        let short = |goal: u64, now: u64| {
            let got = self.count.saturating_sub(goal.saturating_sub(now));
            let fix = "free memory there or make a pool at boot";
            format!(
                "{} huge pages of {} KiB were asked for{} and {got} could be had: {fix}",
                self.count,
                self.kib,
                self.place()
            )
        };
        compare(goal, now, short)
    }
}

impl AddHugepages {
    /// How much memory that is, for a limit on the sum of all shares.
    pub fn bytes(&self) -> u64 {
        bytes(self.kib, self.count)
    }

    fn file(&self, name: &str) -> String {
        let folder = match self.numa {
            Some(node) => format!("sys/devices/system/node/node{node}/hugepages"),
            None => "sys/kernel/mm/hugepages".to_owned(),
        };
        format!("{folder}/hugepages-{}kB/{name}", self.kib)
    }

    fn place(&self) -> String {
        self.numa.map_or_else(String::new, |node| format!(" on NUMA node {node}"))
    }
}

fn bytes(kib: u64, count: u64) -> u64 {
    kib.saturating_mul(1024).saturating_mul(count)
}

fn count(root: &Root, file: &str) -> Result<PagesState, Trouble> {
    Ok(PagesState { pages: root.value(file, "a number of pages", |text| text.parse().ok())?, bound: None })
}

fn more(now: &PagesState, count: u64) -> Option<PagesState> {
    Some(PagesState { pages: Some(now.pages?.saturating_add(count)), bound: Some(Bound::AtLeast) })
}

fn less(now: &PagesState, count: u64) -> PagesState {
    PagesState { pages: now.pages.map(|pages| pages.saturating_sub(count)), bound: Some(Bound::AtMost) }
}

/// `short` words how many there are and how many there should be.
fn compare(goal: &PagesState, now: &PagesState, short: impl Fn(u64, u64) -> String) -> Reached {
    match (goal.pages, now.pages, goal.bound) {
        (None, None, _) => Reached::Yes,
        (Some(goal), Some(now), Some(Bound::AtLeast)) if now >= goal => Reached::Yes,
        (Some(goal), Some(now), Some(Bound::AtMost)) if now <= goal => Reached::Yes,
        (Some(goal), Some(now), None) if now == goal => Reached::Yes,
        (Some(goal), Some(now), Some(Bound::AtMost)) => {
            Reached::No(format!("{now} huge pages are left and {goal} were to be"))
        }
        (Some(goal), Some(now), _) => Reached::No(short(goal, now)),
        (Some(_), None, _) | (None, Some(_), _) => Reached::No("the NUMA node or the page size has gone".to_owned()),
    }
}

#[cfg(test)]
mod tests;
