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
