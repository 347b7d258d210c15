//! What kind of vGPU one of NVIDIA's VFs is, where its driver has VFIO of its own instead of mediated devices.
//!
//! `<VF>/nvidia/current_vgpu_type` is 0 or the number of a type of `creatable_vgpu_types`, which shrinks as the VF's siblings are made
//! (NVIDIA Virtual GPU Software User Guide, "Creating an NVIDIA vGPU on a Linux with KVM Hypervisor that uses a vendor-specific VFIO
//! framework").

use serde::{Deserialize, Serialize};

use super::sysfs::{function, write_function};
use crate::base::{PciAddress, shown};
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;

/// Make this VF a vGPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetVgpu {
    /// The VF.
    pub vf: PciAddress,
    /// The type's number.
    pub type_id: u32,
}

/// What a VF is, and could be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VgpuState {
    /// The type it has now, 0 for none; `None`: the driver offers no such thing.
    pub current: Option<u32>,
    /// Numbers and names of what it could be made.
    pub creatable: Vec<(u32, String)>,
}

const CURRENT: &str = "nvidia/current_vgpu_type";

impl Kind for SetVgpu {
    type State = VgpuState;

    fn describe(&self) -> String {
        format!("make {} a vGPU of type {}", self.vf, self.type_id)
    }

    fn effect(&self) -> Effect {
        Effect::exclusive(format!("vGPU type of {}", self.vf)).of(self.vf)
    }

    fn observe(&self, root: &Root) -> Result<VgpuState, Trouble> {
        let current = root.value(function(self.vf, CURRENT), "a number", |text| text.parse().ok())?;
        let list = root.text(function(self.vf, "nvidia/creatable_vgpu_types"))?.unwrap_or_default();
        // A heading, `ID    : vGPU Name`, then a line for each.
        let line = |line: &str| {
            let (id, name) = line.split_once(':')?;
            Some((id.trim().parse().ok()?, name.trim().to_owned()))
        };
        Ok(VgpuState { current, creatable: list.lines().filter_map(line).collect() })
    }

    fn wanted(&self, now: &VgpuState) -> Result<VgpuState, Trouble> {
        let (vf, id) = (self.vf, self.type_id);
        let why = match now.current {
            _ if id == 0 => format!("{vf}: type 0 is no vGPU"),
            Some(current) if current == id => return Ok(now.clone()),
            Some(0) if now.creatable.iter().any(|(creatable, _)| *creatable == id) => {
                return Ok(VgpuState { current: Some(id), ..now.clone() });
            }
            Some(0) => {
                let all: Vec<String> =
                    now.creatable.iter().map(|(id, name)| format!("{id} ({})", shown(name))).collect();
                let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
                format!("{vf} cannot be made a vGPU of type {id} now; what it can be: {all}")
            }
            Some(current) => format!("{vf} is a vGPU of type {current} already, and not of type {id}: free it first"),
            None => format!(
                "{vf} has no {CURRENT}: it is no VF of an NVIDIA GPU whose vGPU driver is loaded (sriov-manage -e makes them)"
            ),
        };
        Err(Trouble::new(why))
    }

    fn moves(&self, from: &VgpuState, to: &VgpuState, attempt: u32) -> Vec<Action> {
        let value = to.current.filter(|_| attempt == 0 && from.current != to.current);
        value.and_then(|id| write_function(self.vf, CURRENT, id.to_string())).into_iter().collect()
    }

    fn undone(&self, original: &VgpuState, _wanted: &VgpuState, now: &VgpuState) -> VgpuState {
        VgpuState { current: now.current.and(original.current), ..now.clone() }
    }

    fn reached(&self, goal: &VgpuState, now: &VgpuState) -> Reached {
        // What else can be made changes with every sibling.
        match (goal.current, now.current) {
            (goal, now) if goal == now => Reached::Yes,
            (_, Some(now)) => Reached::No(format!("the vGPU type of {} is {now}", self.vf)),
            (_, None) => Reached::No(format!("{} has no {CURRENT} any more", self.vf)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step() -> SetVgpu {
        SetVgpu { vf: "0000:3b:00.4".parse().unwrap(), type_id: 558 }
    }

    fn state(current: Option<u32>) -> VgpuState {
        VgpuState { current, creatable: vec![(557, "NVIDIA A40-1B".to_owned()), (558, "NVIDIA A40-2B".to_owned())] }
    }

    #[test]
    fn there_and_back() {
        let wanted = step().wanted(&state(Some(0))).unwrap();
        let file = "/sys/bus/pci/devices/0000:3b:00.4/nvidia/current_vgpu_type";
        let told = |actions: Vec<Action>| actions.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(told(step().moves(&state(Some(0)), &wanted, 0)), [format!("write \"558\" to {file}")]);
        // Its siblings have taken all the room meanwhile.
        let now = VgpuState { creatable: Vec::new(), ..wanted.clone() };
        assert_eq!(step().reached(&wanted, &now), Reached::Yes);
        let goal = step().undone(&state(Some(0)), &wanted, &now);
        assert_eq!(told(step().moves(&now, &goal, 0)), [format!("write \"0\" to {file}")]);
        assert_eq!(step().moves(&now, &goal, 1), []);
    }

    #[test]
    fn what_it_is_already_stays() {
        let now = state(Some(558));
        let wanted = step().wanted(&now).unwrap();
        assert_eq!(step().moves(&now, &wanted, 0), []);
        assert_eq!(step().undone(&now, &wanted, &now), now);
    }

    #[test]
    fn refusals_say_what_could_be() {
        let refused = |step: SetVgpu, now| step.wanted(&now).unwrap_err().message;
        let other = SetVgpu { type_id: 600, ..step() };
        assert_eq!(
            refused(other, state(Some(0))),
            "0000:3b:00.4 cannot be made a vGPU of type 600 now; what it can be: 557 (NVIDIA A40-1B), 558 (NVIDIA A40-2B)"
        );
        assert!(refused(step(), state(Some(557))).contains("of type 557 already"));
        assert!(refused(step(), state(None)).contains("sriov-manage"));
        assert!(refused(SetVgpu { type_id: 0, ..step() }, state(Some(0))).contains("no vGPU"));
    }

    #[test]
    fn the_list_is_read_without_its_heading() {
        let folder = tempfile::tempdir().unwrap();
        let nvidia = folder.path().join("sys/bus/pci/devices/0000:3b:00.4/nvidia");
        std::fs::create_dir_all(&nvidia).unwrap();
        std::fs::write(nvidia.join("current_vgpu_type"), "0\n").unwrap();
        let list = "ID    : vGPU Name\n557   : NVIDIA A40-1B\n558   : NVIDIA A40-2B\n";
        std::fs::write(nvidia.join("creatable_vgpu_types"), list).unwrap();
        assert_eq!(step().observe(&Root::new(folder.path())).unwrap(), state(Some(0)));
        assert_eq!(
            step().observe(&Root::new("/nonexistent")).unwrap(),
            VgpuState { current: None, creatable: Vec::new() }
        );
    }
}
