//! Huge pages while the system runs.
//!
//! The kernel says yes to any number and gives what it finds (kernel: Documentation/admin-guide/mm/hugetlbpage.rst), so the number is read
//! back; where it falls short, caches are dropped and memory is compacted, a few times. Everybody adds a share and takes it back: an undo
//! subtracts what was added, whatever others have done meanwhile.

use serde::{Deserialize, Serialize};

use super::sysfs::write;
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;

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

/// Let programs take huge pages that are not in any pool, when they need them and as long as there are any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowOvercommit {
    /// The size of a page in KiB.
    pub kib: u64,
    /// How many more.
    pub count: u64,
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
        count(root, &self.file())
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
        moves.extend(write(self.file(), pages.to_string()));
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
    fn file(&self) -> String {
        let folder = match self.numa {
            Some(node) => format!("sys/devices/system/node/node{node}/hugepages"),
            None => "sys/kernel/mm/hugepages".to_owned(),
        };
        format!("{folder}/hugepages-{}kB/nr_hugepages", self.kib)
    }

    fn place(&self) -> String {
        self.numa.map_or_else(String::new, |node| format!(" on NUMA node {node}"))
    }
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
    fn file(&self) -> String {
        format!("sys/kernel/mm/hugepages/hugepages-{}kB/nr_overcommit_hugepages", self.kib)
    }
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
mod tests {
    use super::*;

    fn step() -> AddHugepages {
        AddHugepages { kib: 2048, count: 4, numa: Some(1) }
    }

    fn now(pages: u64) -> PagesState {
        PagesState { pages: Some(pages), bound: None }
    }

    fn told(actions: &[Action]) -> Vec<String> {
        actions.iter().map(ToString::to_string).collect()
    }

    const FILE: &str = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages";

    #[test]
    fn a_share_is_added_and_a_shortfall_compacts_a_bounded_number_of_times() {
        let wanted = step().wanted(&now(3)).unwrap();
        assert_eq!(told(&step().moves(&now(3), &wanted, 0)), [format!("write \"7\" to {FILE}")]);
        assert_eq!(
            told(&step().moves(&now(5), &wanted, 1)),
            [
                "write cached data to the disks".to_owned(),
                "write \"3\" to /proc/sys/vm/drop_caches".to_owned(),
                "write \"1\" to /sys/devices/system/node/node1/compact".to_owned(),
                format!("write \"7\" to {FILE}"),
            ]
        );
        assert_eq!(step().moves(&now(5), &wanted, COMPACTIONS + 1), []);
        let Reached::No(why) = step().reached(&wanted, &now(5)) else { unreachable!() };
        assert!(why.starts_with("4 huge pages of 2048 KiB were asked for on NUMA node 1 and 2 could be had"), "{why}");
    }

    #[test]
    fn an_undo_takes_back_what_was_added_whatever_others_did() {
        let (original, wanted) = (now(3), step().wanted(&now(3)).unwrap());
        for (there, left) in [(7, 3), (12, 8), (4, 0), (2, 0)] {
            let goal = step().undone(&original, &wanted, &now(there));
            assert_eq!(goal.pages, Some(left));
            assert_eq!(step().reached(&goal, &now(left)), Reached::Yes);
        }
        for (there, left) in [(5, 3), (3, 3), (7, 3), (2, 2)] {
            assert_eq!(step().unfinished(&original, &wanted, &now(there)).pages, Some(left), "{there}");
        }
    }

    #[test]
    fn others_shares_do_not_disturb() {
        let wanted = step().wanted(&now(3)).unwrap();
        assert_eq!(step().reached(&wanted, &now(11)), Reached::Yes);
        assert_eq!(step().reached(&wanted, &now(7)), Reached::Yes);
        let none = PagesState { pages: None, bound: None };
        assert_eq!(step().wanted(&none).unwrap_err().message, "there are no huge pages of 2048 KiB on NUMA node 1");
    }
}
