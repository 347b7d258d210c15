//! Keeping a device awake while it changes hands.
//!
//! A function that vfio-pci lets go to sleep may never come back: some devices do not return from D3cold ("Unable to change power state
//! from D3cold to D0", kata-containers#11708, gnif/vendor-reset#76). `power/control` and `d3cold_allowed` keep it in D0
//! (kernel: Documentation/ABI/testing/sysfs-devices-power and sysfs-bus-pci).

use serde::{Deserialize, Serialize};

use super::sysfs::{function, write_function};
use crate::base::PciAddress;
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind};
use crate::prep::trouble::Trouble;

/// Keep this function in D0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinPower {
    /// Which.
    pub address: PciAddress,
}

/// What the two switches say; `None` where the kernel has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PowerState {
    /// `power/control`: `on` or `auto`.
    pub control: Option<String>,
    /// `d3cold_allowed`: `0` or `1`.
    pub d3cold_allowed: Option<String>,
}

impl Kind for PinPower {
    type State = PowerState;

    fn describe(&self) -> String {
        format!("keep {} awake", self.address)
    }

    fn effect(&self) -> Effect {
        Effect::shared(format!("power of {}", self.address)).of(self.address)
    }

    fn observe(&self, root: &Root) -> Result<PowerState, Trouble> {
        Ok(PowerState {
            control: root.text(function(self.address, "power/control"))?,
            d3cold_allowed: root.text(function(self.address, "d3cold_allowed"))?,
        })
    }

    fn wanted(&self, now: &PowerState) -> Result<PowerState, Trouble> {
        let pinned = |value: &Option<String>, to: &str| value.as_ref().map(|_| to.to_owned());
        Ok(PowerState { control: pinned(&now.control, "on"), d3cold_allowed: pinned(&now.d3cold_allowed, "0") })
    }

    fn undone(&self, original: &PowerState, _wanted: &PowerState, now: &PowerState) -> PowerState {
        // What has been unplugged has no switches.
        let back = |original: &Option<String>, now: &Option<String>| now.as_ref().and(original.clone());
        PowerState {
            control: back(&original.control, &now.control),
            d3cold_allowed: back(&original.d3cold_allowed, &now.d3cold_allowed),
        }
    }

    fn moves(&self, from: &PowerState, to: &PowerState, attempt: u32) -> Vec<Action> {
        if attempt > 0 {
            return Vec::new();
        }
        let change = |name, from: &Option<String>, to: &Option<String>| {
            to.as_ref()
                .filter(|to| from.as_ref() != Some(to))
                .and_then(|to| write_function(self.address, name, to.as_str()))
        };
        [
            change("power/control", &from.control, &to.control),
            change("d3cold_allowed", &from.d3cold_allowed, &to.d3cold_allowed),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// The bridges above a function, the nearest first: a root port that sleeps takes what is below it along, so they are kept awake as
/// well, a [`PinPower`] each. Read from where the function's folder lies.
///
/// # Errors
///
/// [`Trouble`]: the system refused.
pub fn upstream(root: &Root, address: PciAddress) -> Result<Vec<PciAddress>, Trouble> {
    let Some(path) = root.link(format!("sys/bus/pci/devices/{address}"))? else { return Ok(Vec::new()) };
    let above = path.parent().into_iter().flat_map(|path| path.iter()).rev();
    Ok(above.map_while(|name| name.to_str()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step() -> PinPower {
        PinPower { address: "0000:03:00.0".parse().unwrap() }
    }

    fn state(control: &str, d3cold_allowed: Option<&str>) -> PowerState {
        PowerState { control: Some(control.to_owned()), d3cold_allowed: d3cold_allowed.map(str::to_owned) }
    }

    #[test]
    fn there_and_back() {
        let original = state("auto", Some("1"));
        let wanted = step().wanted(&original).unwrap();
        assert_eq!(wanted, state("on", Some("0")));
        let told = |from, to| step().moves(from, to, 0).iter().map(ToString::to_string).collect::<Vec<_>>();
        let folder = "/sys/bus/pci/devices/0000:03:00.0";
        let writes = |control, allowed| {
            [
                format!("write {control:?} to {folder}/power/control"),
                format!("write {allowed:?} to {folder}/d3cold_allowed"),
            ]
        };
        assert_eq!(told(&original, &wanted), writes("on", "0"));
        assert_eq!(told(&wanted, &step().undone(&original, &wanted, &wanted)), writes("auto", "1"));
        assert_eq!(step().moves(&original, &wanted, 1), []);
    }

    #[test]
    fn what_is_not_there_is_not_written() {
        let original = state("auto", None);
        let wanted = step().wanted(&original).unwrap();
        assert_eq!(step().moves(&original, &wanted, 0).len(), 1);
        let gone = PowerState { control: None, d3cold_allowed: None };
        assert_eq!(step().undone(&original, &wanted, &gone), gone);
    }

    #[test]
    fn all_bridges_above_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let devices = folder.path().join("sys/bus/pci/devices");
        std::fs::create_dir_all(&devices).unwrap();
        let target = "../../../devices/pci0000:00/0000:00:1c.4/0000:02:00.0/0000:03:00.0";
        std::os::unix::fs::symlink(target, devices.join("0000:03:00.0")).unwrap();
        let above = upstream(&Root::new(folder.path()), step().address).unwrap();
        assert_eq!(above.iter().map(ToString::to_string).collect::<Vec<_>>(), ["0000:02:00.0", "0000:00:1c.4"]);
    }
}
