//! Keeping interrupts off CPUs.
//!
//! Every interrupt has a list of CPUs that may take it (kernel: Documentation/core-api/irq/irq-affinity.rst), and `default_smp_affinity`
//! is that of interrupts to come. Some cannot be moved: those a driver spreads itself (NVMe, virtio) and some of the system's own; their
//! files answer with EIO, which is counted and said. irqbalance, where it runs, has to be held back as a service.

use std::collections::BTreeMap;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::cpu_set::CpuSet;
use crate::host::Root;
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
        Effect::shared(format!("interrupts of CPUs {}", self.away_from))
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
        let away = |cpus: &CpuSet| {
            let rest = cpus.without(&self.away_from);
            // An interrupt of these CPUs alone may go anywhere else.
            if rest.common(&now.online).is_empty() { others.clone() } else { rest }
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
        let default = to.default.as_ref().filter(|to| from.default.as_ref() != Some(to));
        let default = default.and_then(|cpus| write(DEFAULT.to_owned(), cpus.to_mask()));
        let changed = to.irqs.iter().filter(|(irq, to)| from.irqs.get(irq).is_some_and(|from| from != *to));
        let irqs =
            changed.filter_map(|(irq, cpus)| write(format!("proc/irq/{irq}/smp_affinity_list"), cpus.to_string()));
        default.into_iter().chain(irqs).collect()
    }

    fn undone(&self, original: &IrqState, wanted: &IrqState, now: &IrqState) -> IrqState {
        // Others may have taken CPUs away as well: ours come back, theirs do not.
        let back = |original: &CpuSet, wanted: Option<&CpuSet>, now: &CpuSet| {
            if wanted == Some(now) { original.clone() } else { now.with(&original.common(&self.away_from)) }
        };
        let irqs = now.irqs.iter().map(|(irq, now)| {
            let original = original.irqs.get(irq);
            // One that came since, under the default of that time, is given what others have now.
            let cpus = original.map_or_else(|| now.clone(), |original| back(original, wanted.irqs.get(irq), now));
            (*irq, cpus)
        });
        let default = now.default.as_ref().map(|now| match &original.default {
            Some(original) => back(original, wanted.default.as_ref(), now),
            None => now.clone(),
        });
        IrqState { online: now.online.clone(), default, irqs: irqs.collect() }
    }

    fn reached(&self, goal: &IrqState, now: &IrqState) -> Reached {
        if goal.default != now.default {
            return Reached::No(format!("/{DEFAULT} is not as it should be"));
        }
        // What has gone meanwhile is where it should be, and so is what came under the new default.
        let unmoved = now.irqs.iter().filter(|(irq, cpus)| goal.irqs.get(irq).is_some_and(|goal| goal != *cpus));
        let unmoved: Vec<String> = unmoved.map(|(irq, _)| irq.to_string()).collect();
        match unmoved.len() {
            0 => Reached::Yes,
            count => Reached::Enough(format!("{count} interrupts cannot be moved: {}", unmoved.join(", "))),
        }
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
    fn two_who_overlap_in_time_leave_it_as_it_was() {
        let original = state("0-7", &[(1, "0-7")]);
        let first = step("2-3").wanted(&original).unwrap();
        let both = step("4-5").wanted(&first).unwrap();
        let second = step("2-3").undone(&original, &first, &both);
        assert_eq!(second, state("0-3,6-7", &[(1, "0-3,6-7")]));
        assert_eq!(step("4-5").undone(&first, &both, &second), original);
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
