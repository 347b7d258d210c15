//! Keeping interrupts off CPUs.
//!
//! Every interrupt has a list of CPUs that may take it (kernel: Documentation/core-api/irq/irq-affinity.rst), and `default_smp_affinity`
//! is that of interrupts to come. Some cannot be moved: those a driver spreads itself (NVMe, virtio) and some of the system's own; their
//! files answer with EIO, which is counted and said. irqbalance, where it runs, has to be held back as a service.

use std::collections::BTreeMap;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::host::{CpuSet, Root};
use crate::prep::action::{Action, HostFile};
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;

const DEFAULT: &str = "proc/irq/default_smp_affinity";
/// EIO and EPERM: this one cannot be moved; ENOSPC: the other CPUs have no vector left (x86); ENOENT: it has gone.
const NOT_MOVABLE: [Errno; 4] = [Errno::EIO, Errno::EPERM, Errno::ENOSPC, Errno::ENOENT];

/// Keep interrupts off these CPUs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MoveIrqs {
    /// Which.
    pub away_from: CpuSet,
}

/// Which CPUs may take which interrupt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IrqState {
    /// CPUs that run.
    pub online: CpuSet,
    /// Interrupts to come.
    pub default: Option<CpuSet>,
    /// Those there are, by number.
    pub irqs: BTreeMap<u32, CpuSet>,
}

impl Kind for MoveIrqs {
    type State = IrqState;

    fn describe(&self) -> String {
        format!("keep interrupts off CPUs {}", self.away_from)
    }

    fn effect(&self) -> Effect {
        Effect::shared(format!("interrupts of CPUs {}", self.away_from)).part("interrupts", self.away_from.clone())
    }

    fn observe(&self, root: &Root) -> Result<IrqState, Trouble> {
        let list = |text: &str| text.parse().ok();
        let mut irqs = BTreeMap::new();
        for irq in root.names("proc/irq")?.iter().filter_map(|name| name.parse::<u32>().ok()) {
            // One may go between the look at the folder and this; some refuse to be read.
            if let Ok(Some(cpus)) = root.value(format!("proc/irq/{irq}/smp_affinity_list"), "a list of CPUs", list) {
                irqs.insert(irq, cpus);
            }
        }
        let online = root.value("sys/devices/system/cpu/online", "a list of CPUs", list)?.unwrap_or_default();
        Ok(IrqState { online, default: root.value(DEFAULT, "a mask of CPUs", CpuSet::from_mask)?, irqs })
    }

    fn wanted(&self, now: &IrqState) -> Result<IrqState, Trouble> {
        let others = now.online.without(&self.away_from);
        if others.is_empty() {
            return Err(Trouble::new(format!(
                "interrupts cannot be kept off CPUs {}: no other CPU is left to take them (online: {})",
                self.away_from, now.online
            )));
        }
        // What others keep interrupts off is not in the default any more.
        let usual = now.default.as_ref().map(|cpus| cpus.common(&others)).filter(|cpus| !cpus.is_empty());
        let usual = usual.unwrap_or(others);
        let away = |cpus: &CpuSet| {
            let rest = cpus.without(&self.away_from);
            // An interrupt of these CPUs alone may go anywhere else.
            if rest.common(&now.online).is_empty() { usual.clone() } else { rest }
        };
        let irqs = now.irqs.iter().map(|(irq, cpus)| (*irq, away(cpus))).collect();
        Ok(IrqState { online: now.online.clone(), default: now.default.as_ref().map(away), irqs })
    }

    fn moves(&self, from: &IrqState, to: &IrqState, attempt: u32) -> Vec<Action> {
        if attempt > 0 {
            return Vec::new();
        }
        let tolerate: Vec<i32> = NOT_MOVABLE.iter().map(|errno| *errno as i32).collect();
        let write = |path: String, value: String| {
            let tolerate = tolerate.clone();
            HostFile::new(path).ok().map(|file| Action::Write { file, value, tolerate })
        };
        // First those to come, so that none of them comes to where it must not be.
        let default = to.default.as_ref().filter(|to| !self.settled(to, from.default.as_ref()));
        let default = default.and_then(|cpus| write(DEFAULT.to_owned(), cpus.to_mask()));
        let changed =
            to.irqs.iter().filter(|(irq, to)| from.irqs.get(irq).is_some_and(|from| !self.settled(to, Some(from))));
        let irqs =
            changed.filter_map(|(irq, cpus)| write(format!("proc/irq/{irq}/smp_affinity_list"), cpus.to_string()));
        default.into_iter().chain(irqs).collect()
    }

    fn undone(&self, original: &IrqState, wanted: &IrqState, now: &IrqState) -> IrqState {
        moved(now, wanted, original)
    }

    fn rebased(&self, state: &IrqState, from: &IrqState, to: &IrqState) -> Option<IrqState> {
        Some(moved(state, from, to))
    }

    fn reached(&self, goal: &IrqState, now: &IrqState) -> Reached {
        if goal.default.as_ref().is_some_and(|goal| !self.settled(goal, now.default.as_ref())) {
            return Reached::No(format!("/{DEFAULT} is not as it should be"));
        }
        // What has gone meanwhile is where it should be, and so is what came under the new default.
        let unmoved = now
            .irqs
            .iter()
            .filter(|(irq, cpus)| goal.irqs.get(irq).is_some_and(|goal| !self.settled(goal, Some(cpus))));
        let unmoved: Vec<String> = unmoved.map(|(irq, _)| irq.to_string()).collect();
        match unmoved.len() {
            0 => Reached::Yes,
            count => Reached::Enough(format!("{count} interrupts cannot be moved: {}", unmoved.join(", "))),
        }
    }
}

/// A state in which what is as in `from` is as in `to`. What is otherwise is somebody else's doing, and what has come since is as it is.
fn moved(state: &IrqState, from: &IrqState, to: &IrqState) -> IrqState {
    let irq = |irq: &u32, cpus: &CpuSet| match (from.irqs.get(irq), to.irqs.get(irq)) {
        (Some(from), Some(to)) if from == cpus => to.clone(),
        _ => cpus.clone(),
    };
    let default = match (&state.default, &to.default) {
        (Some(_), Some(to)) if state.default == from.default => Some(to.clone()),
        _ => state.default.clone(),
    };
    let irqs = state.irqs.iter().map(|(number, cpus)| (*number, irq(number, cpus))).collect();
    IrqState { online: state.online.clone(), default, irqs }
}

impl MoveIrqs {
    /// Whether a list of CPUs is as it should be. Of one that is to be off our CPUs nothing else matters: others have theirs.
    fn settled(&self, goal: &CpuSet, now: Option<&CpuSet>) -> bool {
        let off = |cpus: &CpuSet| cpus.common(&self.away_from).is_empty();
        now.is_some_and(|now| goal == now || (off(goal) && off(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(default: &str, irqs: &[(u32, &str)]) -> IrqState {
        IrqState {
            online: "0-7".parse().unwrap(),
            default: Some(default.parse().unwrap()),
            irqs: irqs.iter().map(|(irq, cpus)| (*irq, cpus.parse().unwrap())).collect(),
        }
    }

    fn step(cpus: &str) -> MoveIrqs {
        MoveIrqs { away_from: cpus.parse().unwrap() }
    }

    #[test]
    fn interrupts_go_elsewhere_and_come_back() {
        let original = state("0-7", &[(1, "0-7"), (9, "0"), (24, "2-3")]);
        let wanted = step("2-3").wanted(&original).unwrap();
        assert_eq!(wanted, state("0-1,4-7", &[(1, "0-1,4-7"), (9, "0"), (24, "0-1,4-7")]));
        let told: Vec<String> = step("2-3").moves(&original, &wanted, 0).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "write \"000000f3\" to /proc/irq/default_smp_affinity",
                "write \"0-1,4-7\" to /proc/irq/1/smp_affinity_list",
                "write \"0-1,4-7\" to /proc/irq/24/smp_affinity_list",
            ]
        );
        assert_eq!(step("2-3").undone(&original, &wanted, &wanted), original);
    }

    #[test]
    fn whoever_goes_first_everything_is_as_it_was_in_the_end() {
        // Anywhere; on one of the first's CPUs alone; on one of the second's; across both; elsewhere.
        let original =
            state("0-7", &[(1, "0-7"), (20, "2"), (21, "4"), (22, "2,4"), (23, "0"), (24, "2-5"), (25, "0,3")]);
        let (first, second) = (step("2-3"), step("4-5"));
        let one = first.wanted(&original).unwrap();
        let two = second.wanted(&one).unwrap();
        for cpus in two.irqs.values().chain(&two.default) {
            assert!(cpus.common(&"2-5".parse().unwrap()).is_empty(), "{cpus}");
        }
        // Whoever asks again while the other is there changes nothing.
        assert_eq!(first.reached(&one, &two), Reached::Yes);
        assert_eq!(first.moves(&two, &one, 0), []);
        let newest_first = first.undone(&original, &one, &second.undone(&one, &two, &two));
        assert_eq!(newest_first, original);

        // The first goes: the second is as if it had been alone.
        let found = second.rebased(&one, &one, &original).unwrap();
        let wanted = second.wanted(&found).unwrap();
        let alone = first.rebased(&two, &two, &wanted).unwrap();
        assert_eq!(alone, second.wanted(&original).unwrap());
        assert_eq!(second.undone(&found, &wanted, &alone), original);
    }

    #[test]
    fn what_somebody_else_has_set_stays() {
        let original = state("0-7", &[(1, "0-7"), (9, "0-7")]);
        let wanted = step("2-3").wanted(&original).unwrap();
        let now = state("0-1,4-7", &[(1, "6"), (9, "0-1,4-7"), (30, "1")]);
        assert_eq!(step("2-3").undone(&original, &wanted, &now), state("0-7", &[(1, "6"), (9, "0-7"), (30, "1")]));
    }

    #[test]
    fn overlapping_sets_are_two_effects_that_meet() {
        assert!(step("2-3").effect().overlaps(&step("3-4").effect()));
        assert!(!step("2-3").effect().overlaps(&step("4-5").effect()));
        assert!(!step("2-3").effect().overlaps(&step("2-3").effect()));
    }

    #[test]
    fn what_cannot_be_moved_is_said_and_what_has_gone_is_not() {
        let original = state("0-7", &[(1, "0-7"), (24, "2"), (25, "3")]);
        let wanted = step("2-3").wanted(&original).unwrap();
        let now = state("0-1,4-7", &[(1, "0-1,4-7"), (24, "2"), (30, "5")]);
        assert_eq!(step("2-3").reached(&wanted, &now), Reached::Enough("1 interrupts cannot be moved: 24".to_owned()));
        let back = step("2-3").undone(&original, &wanted, &now);
        assert_eq!(back, state("0-7", &[(1, "0-7"), (24, "2"), (30, "5")]));
    }

    #[test]
    fn somebody_has_to_take_them() {
        let error = step("0-7").wanted(&state("0-7", &[])).unwrap_err();
        assert!(error.message.contains("no other CPU is left"), "{error}");
    }
}
