//! Keeping CPUs for one control group.
//!
//! A cgroup v2 cpuset partition of kind `isolated` takes its CPUs from everybody else and out of the scheduler's balancing (kernel:
//! Documentation/admin-guide/cgroup-v2.rst, cpuset.cpus.partition). Two ways lead there:
//! - a control group of a VM, wherever it lies, becomes a *remote* partition: `cpuset.cpus.exclusive` hands its CPUs down from the top
//!   (Linux 6.7 and later, told by the file being there);
//! - without one, a control group of our own at the top, whose CPUs are then nobody's until somebody moves a process into it.
//!
//! Kernels that do not keep unbound kernel work off such CPUs themselves have the workqueues' mask set, if that is asked for.

use serde::{Deserialize, Serialize};

use super::sysfs::write;
use crate::host::{CpuSet, Root};
use crate::prep::action::{Action, HostFile};
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;

const TOP: &str = "sys/fs/cgroup";
const WORK: &str = "sys/devices/virtual/workqueue";
const OWN: &str = "virt-tailor-cpus-";

/// Keep these CPUs for a control group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolateCpus {
    /// Which.
    pub cpus: CpuSet,
    /// For whom, below `/sys/fs/cgroup`; `None` is a new one at the top.
    pub cgroup: Option<String>,
    /// Whether unbound kernel work is kept off them where the kernel does not do so itself.
    #[serde(default = "yes")]
    pub workqueues: bool,
}

fn yes() -> bool {
    true
}

/// What belongs to a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpusState {
    /// Whether the top has a cpuset controller at all.
    pub controller: bool,
    /// Whether the top hands it down.
    pub enabled: bool,
    /// Whether the control group is there.
    pub there: bool,
    /// `cpuset.cpus`, which may be empty; of a control group of our own only.
    pub cpus: Option<CpuSet>,
    /// `cpuset.cpus.exclusive` from the top down; of a given control group only. `None`: the kernel has no such file.
    pub exclusive: Vec<Option<CpuSet>>,
    /// `cpuset.cpus.partition`: `member`, `isolated`, `isolated invalid (why)`.
    pub partition: Option<String>,
    /// CPUs for unbound kernel work; `None`: the kernel sees to it, or nobody asked.
    pub work: Option<CpuSet>,
    /// Whether there are other control groups of ours at the top.
    pub others: bool,
}

impl Kind for IsolateCpus {
    type State = CpusState;

    fn describe(&self) -> String {
        match &self.cgroup {
            Some(cgroup) => format!("keep CPUs {} for control group {cgroup}", self.cpus),
            None => format!("keep CPUs {} free", self.cpus),
        }
    }

    fn effect(&self) -> Effect {
        Effect::exclusive(format!("CPUs {}", self.cpus)).part("cpus", self.cpus.clone())
    }

    fn observe(&self, root: &Root) -> Result<CpusState, Trouble> {
        let set = |path: String| root.value(path, "a list of CPUs", |text| text.parse::<CpuSet>().ok());
        let has = |file: &str| {
            let words = root.text(format!("{TOP}/{file}"))?.unwrap_or_default();
            Ok::<_, Trouble>(words.split_ascii_whitespace().any(|word| word == "cpuset"))
        };
        let folder = self.folder();
        let own = self.cgroup.is_none();
        let exclusive = self.levels().into_iter().map(|level| set(format!("{level}/cpuset.cpus.exclusive")));
        let kernel_sees_to_it = root.has(format!("{WORK}/cpumask_isolated"));
        let name = folder.rsplit('/').next().unwrap_or_default();
        Ok(CpusState {
            controller: has("cgroup.controllers")?,
            enabled: has("cgroup.subtree_control")?,
            there: root.has(&folder),
            cpus: if own { set(format!("{folder}/cpuset.cpus"))? } else { None },
            exclusive: exclusive.collect::<Result<_, _>>()?,
            partition: root.text(format!("{folder}/cpuset.cpus.partition"))?,
            work: match kernel_sees_to_it || !self.workqueues {
                true => None,
                false => root.value(format!("{WORK}/cpumask"), "a mask of CPUs", CpuSet::from_mask)?,
            },
            others: root.names(TOP)?.iter().any(|other| other.starts_with(OWN) && other != name),
        })
    }

    fn wanted(&self, now: &CpusState) -> Result<CpusState, Trouble> {
        let refuse = |why: &str| Err(Trouble::new(format!("CPUs {} cannot be isolated: {why}", self.cpus)));
        if self.cpus.is_empty() {
            return refuse("there are none in the list");
        }
        if !now.controller {
            return refuse(
                "there is no cgroup v2 cpuset controller at /sys/fs/cgroup (boot with systemd.unified_cgroup_hierarchy=1)",
            );
        }
        if let Some(cgroup) = &self.cgroup {
            if !now.there {
                return refuse(&format!("there is no control group {cgroup}"));
            }
            if now.exclusive.iter().any(Option::is_none) {
                return refuse(
                    "this kernel has no cpuset.cpus.exclusive there (Linux 6.7 and later, cpuset handed down to it)",
                );
            }
        }
        let with = |cpus: &CpuSet| cpus.with(&self.cpus);
        Ok(CpusState {
            enabled: true,
            there: true,
            cpus: self.cgroup.is_none().then(|| self.cpus.clone()),
            exclusive: now.exclusive.iter().map(|level| level.as_ref().map(with)).collect(),
            partition: Some("isolated".to_owned()),
            work: now.work.as_ref().map(|work| work.without(&self.cpus)),
            ..now.clone()
        })
    }

    fn moves(&self, from: &CpusState, to: &CpusState, attempt: u32) -> Vec<Action> {
        if attempt > 0 {
            return Vec::new();
        }
        let (folder, own) = (self.folder(), self.cgroup.is_none());
        let mut moves = Vec::new();
        let mut put = |path: String, value: &str| moves.extend(write(path, value));
        let give = to.partition.as_deref() == Some("isolated");
        if give && !from.enabled {
            put(format!("{TOP}/cgroup.subtree_control"), "+cpuset");
        }
        let text = |cpus: &CpuSet| if cpus.is_empty() { "\n".to_owned() } else { cpus.to_string() };
        let mut levels: Vec<(String, String)> = Vec::new();
        for ((level, from), to) in self.levels().into_iter().zip(&from.exclusive).zip(&to.exclusive) {
            if let Some(to) = to.as_ref().filter(|to| from.as_ref() != Some(to)) {
                levels.push((format!("{level}/cpuset.cpus.exclusive"), text(to)));
            }
        }
        if give {
            if own && !from.there {
                moves.extend(HostFile::new(folder.clone()).ok().map(|folder| Action::MakeFolder { folder }));
            }
            let mut put = |path: String, value: &str| moves.extend(write(path, value));
            if let Some(cpus) = to.cpus.as_ref().filter(|to| from.cpus.as_ref() != Some(to)) {
                put(format!("{folder}/cpuset.cpus"), &text(cpus));
            }
            levels.iter().for_each(|(file, value)| put(file.clone(), value));
            if from.partition != to.partition {
                put(format!("{folder}/cpuset.cpus.partition"), "isolated");
            }
        } else {
            if from.there && from.partition != to.partition {
                put(format!("{folder}/cpuset.cpus.partition"), to.partition.as_deref().unwrap_or("member"));
            }
            levels.iter().rev().for_each(|(file, value)| put(file.clone(), value));
            if own && from.there && !to.there {
                moves.extend(HostFile::new(folder).ok().map(|folder| Action::RemoveFolder { folder }));
            }
            if from.enabled && !to.enabled {
                let file = HostFile::new(format!("{TOP}/cgroup.subtree_control")).ok();
                let tolerate = vec![nix::errno::Errno::EBUSY as i32];
                moves.extend(file.map(|file| Action::Write { file, value: "-cpuset".to_owned(), tolerate }));
            }
        }
        if let Some(work) = to.work.as_ref().filter(|to| from.work.as_ref() != Some(to)) {
            moves.extend(write(format!("{WORK}/cpumask"), work.to_mask()));
        }
        moves
    }

    fn undone(&self, original: &CpusState, wanted: &CpusState, now: &CpusState) -> CpusState {
        let taken = |original: &CpuSet| self.cpus.without(original);
        let level = |(now, original): (&Option<CpuSet>, &Option<CpuSet>)| {
            Some(now.as_ref()?.without(&taken(original.as_ref().unwrap_or(&CpuSet::default()))))
        };
        let work = now.work.as_ref().map(|now| match &original.work {
            Some(original) if wanted.work.as_ref() != Some(now) => now.with(&original.common(&self.cpus)),
            original => original.clone().unwrap_or_else(|| now.clone()),
        });
        let gone = self.cgroup.is_some() && !now.there;
        CpusState {
            controller: now.controller,
            enabled: original.enabled || now.others,
            there: original.there && !gone,
            cpus: original.cpus.clone(),
            exclusive: now.exclusive.iter().zip(&original.exclusive).map(level).collect(),
            partition: if gone { None } else { original.partition.clone() },
            work,
            others: now.others,
        }
    }

    fn reached(&self, goal: &CpusState, now: &CpusState) -> Reached {
        let same = CpusState { enabled: goal.enabled, others: goal.others, ..now.clone() } == *goal;
        match (same, now.enabled == goal.enabled, &now.partition) {
            (true, true, _) => Reached::Yes,
            (true, false, _) if now.enabled => {
                Reached::Enough("the cpuset controller stays on: others have come to use it".to_owned())
            }
            (_, _, Some(partition)) if partition.contains("invalid") => {
                Reached::No(format!("the kernel does not isolate CPUs {}: {partition}", self.cpus))
            }
            _ => Reached::No(format!("CPUs {} are not as they should be: {now:?} and not {goal:?}", self.cpus)),
        }
    }
}

impl IsolateCpus {
    fn folder(&self) -> String {
        match &self.cgroup {
            Some(cgroup) => format!("{TOP}/{}", cgroup.trim_matches('/')),
            // A comma is nothing to have in a name.
            None => format!("{TOP}/{OWN}{}", self.cpus.to_string().replace(',', "_")),
        }
    }

    /// The control groups from the top down to the given one.
    fn levels(&self) -> Vec<String> {
        let mut path = TOP.to_owned();
        let names = self.cgroup.iter().flat_map(|cgroup| cgroup.split('/')).filter(|name| !name.is_empty());
        names
            .map(|name| {
                path = format!("{path}/{name}");
                path.clone()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
