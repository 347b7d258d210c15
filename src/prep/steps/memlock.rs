//! How much memory a process may lock.
//!
//! In session mode libvirt cannot raise its QEMU's limit, and a vIOMMU needs the guest's memory once for each device (kubevirt#17805,
//! #18915). `prlimit(2)` sets it from outside, before QEMU maps anything.

use serde::{Deserialize, Serialize};

use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::hand::ProcessId;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;

/// Let this process lock at least so much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetMemlock {
    /// Which; its start time tells it from a later one with its number.
    pub process: ProcessId,
    /// In bytes; `None` is no limit.
    pub limit: Option<u64>,
}

/// The limits of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemlockState {
    /// `None`: this process is gone.
    pub limits: Option<Limits>,
}

/// What a process may lock, in bytes; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Now.
    pub soft: Option<u64>,
    /// As far as it may raise the other itself.
    pub hard: Option<u64>,
}

impl Kind for SetMemlock {
    type State = MemlockState;

    fn describe(&self) -> String {
        match self.limit {
            Some(bytes) => format!("let process {} lock {bytes} bytes of memory", self.process),
            None => format!("let process {} lock any amount of memory", self.process),
        }
    }

    fn effect(&self) -> Effect {
        Effect::exclusive(format!("memory lock of process {} ({})", self.process.pid, self.process.started))
    }

    fn observe(&self, root: &Root) -> Result<MemlockState, Trouble> {
        if !self.process.is_alive(root) {
            return Ok(MemlockState { limits: None });
        }
        let path = format!("proc/{}/limits", self.process.pid);
        let limits = root.value(path, "a line \"Max locked memory\"", parse)?;
        Ok(MemlockState { limits })
    }

    fn wanted(&self, now: &MemlockState) -> Result<MemlockState, Trouble> {
        let Some(now) = now.limits else {
            return Err(Trouble::new(format!("process {} is gone: its memory lock cannot be set", self.process)));
        };
        // A limit is raised, never lowered: what is allowed already stays.
        let raised = |limit: Option<u64>| limit.and_then(|limit| self.limit.map(|wanted| wanted.max(limit)));
        Ok(MemlockState { limits: Some(Limits { soft: raised(now.soft), hard: raised(now.hard) }) })
    }

    fn moves(&self, _from: &MemlockState, to: &MemlockState, attempt: u32) -> Vec<Action> {
        match to.limits {
            Some(Limits { soft, hard }) if attempt == 0 => {
                vec![Action::SetMemlock { process: self.process, soft, hard }]
            }
            _ => Vec::new(),
        }
    }

    fn undone(&self, original: &MemlockState, _wanted: &MemlockState, now: &MemlockState) -> MemlockState {
        // Its limit went with it.
        if now.limits.is_some() { original.clone() } else { now.clone() }
    }

    fn reached(&self, goal: &MemlockState, now: &MemlockState) -> Reached {
        let bytes = |limit: Option<u64>| limit.map_or("any amount".to_owned(), |bytes| format!("{bytes} bytes"));
        match (goal.limits, now.limits) {
            (goal, now) if goal == now => Reached::Yes,
            (_, None) => Reached::No(format!("process {} has ended", self.process)),
            (_, Some(now)) => Reached::No(format!("process {} may lock {} of memory", self.process, bytes(now.soft))),
        }
    }
}

/// The line of `/proc/<pid>/limits` (proc_pid_limits(5)): `Max locked memory  8388608  8388608  bytes`.
fn parse(text: &str) -> Option<Limits> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
    let mut fields = line.split_ascii_whitespace().map(|field| match field {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    });
    Some(Limits { soft: fields.next()??, hard: fields.next()?? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(soft: Option<u64>, hard: Option<u64>) -> MemlockState {
        MemlockState { limits: Some(Limits { soft, hard }) }
    }

    fn step(limit: Option<u64>) -> SetMemlock {
        SetMemlock { process: ProcessId { pid: 4, started: 7 }, limit }
    }

    #[test]
    fn a_limit_is_raised_and_never_lowered() {
        assert_eq!(step(Some(9)).wanted(&state(Some(4), Some(20))).unwrap(), state(Some(9), Some(20)));
        assert_eq!(step(Some(9)).wanted(&state(None, None)).unwrap(), state(None, None));
        assert_eq!(step(None).wanted(&state(Some(4), Some(20))).unwrap(), state(None, None));
        assert!(step(None).wanted(&MemlockState { limits: None }).unwrap_err().message.contains("is gone"));
    }

    #[test]
    fn it_comes_back_unless_the_process_is_gone() {
        let (original, wanted, gone) = (state(Some(4), Some(20)), state(None, None), MemlockState { limits: None });
        assert_eq!(step(None).undone(&original, &wanted, &wanted), original);
        assert_eq!(step(None).undone(&original, &wanted, &gone), gone);
        assert_eq!(step(None).reached(&gone, &gone), Reached::Yes);
        assert!(matches!(step(None).reached(&wanted, &gone), Reached::No(_)));
        assert_eq!(step(None).moves(&wanted, &gone, 0), []);
    }

    #[test]
    fn the_kernels_table() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max core file size        0                    unlimited            bytes     \n\
                    Max locked memory         65536                unlimited            bytes     \n";
        assert_eq!(parse(text), Some(Limits { soft: Some(65536), hard: None }));
        assert_eq!(parse("Max core file size 0 0 bytes\n"), None);
    }

    #[test]
    fn our_own_is_there() {
        let root = Root::new("/");
        let process = ProcessId::of(&root, std::process::id()).unwrap();
        assert!(SetMemlock { process, limit: None }.observe(&root).unwrap().limits.is_some());
        let later = ProcessId { started: process.started + 1, ..process };
        assert_eq!(SetMemlock { process: later, limit: None }.observe(&root).unwrap().limits, None);
    }
}
