//! NVIDIA's gate before a GPU is taken from its driver.
//!
//! With a client left, the driver's unbind never returns, not even once the client has gone (NVIDIA/open-gpu-kernel-modules#1374). On a
//! vGPU host the driver has a lock against that: `/proc/driver/nvidia/gpus/<address>/unbindLock` takes a 1 only if nobody uses the GPU, and
//! lets nobody in from then on; a refusal shows only when it is read back (open-gpu-kernel-modules: kernel-open/nvidia/nv-procfs.c,
//! `nv_procfs_close_unbind_lock`). It goes with the binding: the driver comes back without it.

use serde::{Deserialize, Serialize};

use super::sysfs::write;
use crate::base::PciAddress;
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;

/// Tries, and the pause before each but the first, which is longer each time: a monitor that asks every few seconds is gone in between.
const TRIES: u32 = 5;
const PAUSE_MILLIS: u64 = 200;

/// Let no new client of the nvidia driver near this GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeUnbindLock {
    /// Which.
    pub address: PciAddress,
}

/// What the gate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnbindLockState {
    /// Whether it is locked; `None`: there is no such gate, as the driver does not have the function.
    pub locked: Option<bool>,
}

/// The gate of a GPU.
fn gate(address: PciAddress) -> String {
    format!("proc/driver/nvidia/gpus/{address}/unbindLock")
}

impl TakeUnbindLock {
    /// The step for a function, if the driver that has it offers the gate.
    pub fn of(root: &Root, address: PciAddress) -> Option<Self> {
        root.has(gate(address)).then_some(Self { address })
    }
}

impl Kind for TakeUnbindLock {
    type State = UnbindLockState;

    fn describe(&self) -> String {
        format!("let no new client of the nvidia driver near {}", self.address)
    }

    fn effect(&self) -> Effect {
        Effect::exclusive(format!("unbindLock of {}", self.address)).of(self.address)
    }

    fn observe(&self, root: &Root) -> Result<UnbindLockState, Trouble> {
        let digit = |text: &str| match text {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        };
        Ok(UnbindLockState { locked: root.value(gate(self.address), "0 or 1", digit)? })
    }

    fn wanted(&self, now: &UnbindLockState) -> Result<UnbindLockState, Trouble> {
        Ok(UnbindLockState { locked: now.locked.map(|_| true) })
    }

    fn moves(&self, from: &UnbindLockState, to: &UnbindLockState, attempt: u32) -> Vec<Action> {
        let Some(lock) = to.locked.filter(|_| from.locked.is_some() && from != to && attempt < TRIES) else {
            return Vec::new();
        };
        let pause = (attempt > 0).then(|| Action::Pause { millis: PAUSE_MILLIS * u64::from(attempt) });
        pause.into_iter().chain(write(gate(self.address), u8::from(lock).to_string())).collect()
    }

    fn undone(&self, original: &UnbindLockState, _wanted: &UnbindLockState, now: &UnbindLockState) -> UnbindLockState {
        UnbindLockState { locked: now.locked.and(original.locked) }
    }

    fn reached(&self, goal: &UnbindLockState, now: &UnbindLockState) -> Reached {
        match (goal.locked, now.locked) {
            (goal, now) if goal == now => Reached::Yes,
            (Some(true), Some(false)) => Reached::No(format!(
                "{} is still used through the nvidia driver, which does not lock it for that: nvidia-smi and fuser -v /dev/nvidia* on the \
                 node say by whom",
                self.address
            )),
            (_, Some(_)) => Reached::No(format!("unbindLock of {} is not as it was", self.address)),
            (_, None) => Reached::No(format!("the nvidia driver no longer has {}", self.address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step() -> TakeUnbindLock {
        TakeUnbindLock { address: "0000:3b:00.0".parse().unwrap() }
    }

    fn state(locked: Option<bool>) -> UnbindLockState {
        UnbindLockState { locked }
    }

    fn told(actions: &[Action]) -> Vec<String> {
        actions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn there_and_back() {
        let (open, locked) = (state(Some(false)), state(Some(true)));
        assert_eq!(step().wanted(&open).unwrap(), locked);
        let file = "/proc/driver/nvidia/gpus/0000:3b:00.0/unbindLock";
        assert_eq!(told(&step().moves(&open, &locked, 0)), [format!("write \"1\" to {file}")]);
        assert_eq!(told(&step().moves(&locked, &open, 0)), [format!("write \"0\" to {file}")]);
        assert_eq!(step().moves(&locked, &locked, 0), []);
        // The driver that gets the GPU back has not locked it.
        assert_eq!(step().undone(&open, &locked, &open), open);
        assert_eq!(step().undone(&open, &locked, &state(None)), state(None));
    }

    #[test]
    fn a_client_has_some_time_to_go_and_is_then_a_refusal() {
        let (open, locked) = (state(Some(false)), state(Some(true)));
        let tries: Vec<usize> = (0..=TRIES).map(|attempt| step().moves(&open, &locked, attempt).len()).collect();
        assert_eq!(tries, [1, 2, 2, 2, 2, 0]);
        let Reached::No(why) = step().reached(&locked, &open) else { panic!() };
        assert!(why.starts_with("0000:3b:00.0 is still used through the nvidia driver"), "{why}");
    }

    #[test]
    fn only_where_the_driver_has_the_gate() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let address = step().address;
        assert_eq!(TakeUnbindLock::of(&root, address), None);
        assert_eq!(step().observe(&root).unwrap(), state(None));
        let file = folder.path().join(gate(address));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "0\n").unwrap();
        assert_eq!(TakeUnbindLock::of(&root, address), Some(step()));
        assert_eq!(step().observe(&root).unwrap(), state(Some(false)));
        std::fs::write(&file, "?\n").unwrap();
        assert!(step().observe(&root).is_err());
    }
}
