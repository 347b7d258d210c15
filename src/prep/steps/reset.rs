//! Which ways of resetting a function the kernel may use, and in which order.
//!
//! `reset_method` (kernel: Documentation/ABI/testing/sysfs-bus-pci, since 5.15). Some devices do not survive the way the kernel prefers:
//! vendor-reset needs `device_specific` (gnif/vendor-reset#46).

use serde::{Deserialize, Serialize};

use super::sysfs::{function, write_function};
use crate::base::PciAddress;
use crate::config::node::ResetMethod;
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;

/// Let the kernel reset a function in these ways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetResetMethods {
    /// Which function.
    pub address: PciAddress,
    /// The ways, the one that is tried first at the front.
    pub methods: Vec<ResetMethod>,
}

/// What the attribute says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetState {
    /// The names, in order; empty: none is allowed. `None`: the function, or the kernel, has no such attribute.
    pub methods: Option<Vec<String>>,
}

impl Kind for SetResetMethods {
    type State = ResetState;

    fn describe(&self) -> String {
        let bus = if self.methods.contains(&ResetMethod::Bus) {
            " (bus resets all functions below the same bridge)"
        } else {
            ""
        };
        format!("reset {} by {}{bus}", self.address, self.names().join(", "))
    }

    fn effect(&self) -> Effect {
        Effect::exclusive(format!("reset methods of {}", self.address)).of(self.address)
    }

    fn observe(&self, root: &Root) -> Result<ResetState, Trouble> {
        let text = root.text(function(self.address, "reset_method"))?;
        Ok(ResetState { methods: text.map(|text| text.split_whitespace().map(str::to_owned).collect()) })
    }

    fn wanted(&self, now: &ResetState) -> Result<ResetState, Trouble> {
        let address = self.address;
        if self.methods.is_empty() {
            return Err(Trouble::new(format!("{address}: name at least one way of resetting it")));
        }
        if now.methods.is_none() {
            return Err(Trouble::new(format!(
                "{address} has no reset_method: it cannot be reset at all, or the kernel is older than 5.15"
            )));
        }
        Ok(ResetState { methods: Some(self.names()) })
    }

    fn moves(&self, from: &ResetState, to: &ResetState, attempt: u32) -> Vec<Action> {
        let methods = to.methods.as_ref().filter(|_| attempt == 0 && from.methods.is_some() && from != to);
        // An empty write never reaches the kernel; a line break is "none".
        let text = methods.map(|methods| if methods.is_empty() { "\n".to_owned() } else { methods.join(" ") });
        text.and_then(|text| write_function(self.address, "reset_method", text)).into_iter().collect()
    }

    fn undone(&self, original: &ResetState, _wanted: &ResetState, now: &ResetState) -> ResetState {
        // What has been unplugged has no attributes.
        ResetState { methods: now.methods.as_ref().and(original.methods.clone()) }
    }

    fn reached(&self, goal: &ResetState, now: &ResetState) -> Reached {
        match (goal, now) {
            (goal, now) if goal == now => Reached::Yes,
            (_, ResetState { methods: Some(now) }) => {
                let now = if now.is_empty() { "nothing".to_owned() } else { now.join(", ") };
                Reached::No(format!("{} may be reset by {now}", self.address))
            }
            _ => Reached::No(format!("{} has no reset_method any more", self.address)),
        }
    }
}

impl SetResetMethods {
    fn names(&self) -> Vec<String> {
        self.methods.iter().map(|method| method.as_str().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(methods: &[ResetMethod]) -> SetResetMethods {
        SetResetMethods { address: "0000:3b:00.0".parse().unwrap(), methods: methods.to_vec() }
    }

    fn state(text: &str) -> ResetState {
        ResetState { methods: Some(text.split_whitespace().map(str::to_owned).collect()) }
    }

    fn told(actions: &[Action]) -> Vec<String> {
        actions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn there_and_back() {
        let step = step(&[ResetMethod::DeviceSpecific, ResetMethod::Bus]);
        let original = state("flr bus");
        let wanted = step.wanted(&original).unwrap();
        let file = "/sys/bus/pci/devices/0000:3b:00.0/reset_method";
        assert_eq!(told(&step.moves(&original, &wanted, 0)), [format!("write \"device_specific bus\" to {file}")]);
        assert_eq!(told(&step.moves(&wanted, &original, 0)), [format!("write \"flr bus\" to {file}")]);
        assert_eq!(told(&step.moves(&wanted, &state(""), 0)), [format!("write \"\\n\" to {file}")]);
        assert_eq!(step.moves(&original, &wanted, 1), []);
        assert_eq!(
            step.describe(),
            "reset 0000:3b:00.0 by device_specific, bus (bus resets all functions below the same bridge)"
        );
    }

    #[test]
    fn what_cannot_be_reset_is_refused_and_what_is_gone_is_done() {
        let step = step(&[ResetMethod::Flr]);
        let none = ResetState { methods: None };
        assert!(step.wanted(&none).unwrap_err().message.contains("cannot be reset at all"));
        assert!(self::step(&[]).wanted(&state("flr")).unwrap_err().message.contains("at least one"));
        assert_eq!(step.undone(&state("pm"), &state("flr"), &none), none);
    }

    #[test]
    fn names_are_the_kernels() {
        for method in [
            ResetMethod::DeviceSpecific,
            ResetMethod::Acpi,
            ResetMethod::Flr,
            ResetMethod::AfFlr,
            ResetMethod::Pm,
            ResetMethod::Bus,
            ResetMethod::CxlBus,
        ] {
            assert_eq!(serde_json::to_value(method).unwrap(), method.as_str());
        }
    }

    #[test]
    fn the_attribute_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("sys/bus/pci/devices/0000:3b:00.0");
        let step = step(&[ResetMethod::Flr]);
        assert_eq!(step.observe(&Root::new(folder.path())).unwrap().methods, None);
        std::fs::create_dir_all(&device).unwrap();
        std::fs::write(device.join("reset_method"), "flr bus\n").unwrap();
        assert_eq!(step.observe(&Root::new(folder.path())).unwrap(), state("flr bus"));
    }
}
