//! Giving a PCI function to another driver, and back.
//!
//! `driver_override`, then unbind, then `drivers_probe` (kernel: Documentation/ABI/testing/sysfs-bus-pci). Never `new_id`, which lets the
//! driver take every identical device (harvester#3609, nasty#603). The override comes first, so that nothing else takes the device in
//! between. `drivers_probe` reports success even if nobody bound, so the link is read back.

use serde::{Deserialize, Serialize};

use super::sysfs::{function, write, write_function};
use crate::base::PciAddress;
use crate::host::{Pci, Root};
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;

/// How long the group's device node may take to appear once a VFIO driver has bound; devtmpfs makes it within the bind itself.
const NODE_MILLIS: u64 = 5_000;
/// snd_hda_intel refuses with EBUSY for a moment when it gets a device back right after it gave it away (harvester#6995).
const RETRY_MILLIS: u64 = 500;
/// So many tries at the driver's own `bind` file.
const RETRIES: u32 = 4;

/// Give this function to a driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// Which.
    pub address: PciAddress,
    /// The driver's name, `-` and `_` as the driver writes it.
    pub driver: String,
}

/// Who drives a function, and who is asked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindState {
    /// Whether there is such a function now (a virtual function may not be made yet, any function may be unplugged).
    pub present: bool,
    /// The driver it is bound to.
    pub driver: Option<String>,
    /// `driver_override`: a foreign one (driverctl, udev) is the admin's will, and comes back.
    pub driver_override: Option<String>,
    /// The IOMMU group, whose device node has to be there once a VFIO driver is bound. One that VFIO makes up where there is no IOMMU is
    /// none.
    pub group: Option<u32>,
    /// Whether its config space reads as all ones: it fell off the bus, and the driver that has it cannot do anything with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
}

impl Kind for Bind {
    type State = BindState;

    fn describe(&self) -> String {
        format!("bind {} to {}", self.address, self.driver)
    }

    fn effect(&self) -> Effect {
        Effect::exclusive(format!("driver of {}", self.address)).of(self.address)
    }

    fn observe(&self, root: &Root) -> Result<BindState, Trouble> {
        let set = |text: &String| !text.is_empty() && text != "(null)";
        let group = root.link_name(function(self.address, "iommu_group"))?.and_then(|name| name.parse().ok());
        // Its device node has another name, `noiommu-N` (kernel: drivers/vfio/group.c).
        let made_up = root.text(function(self.address, "iommu_group/name"))?.is_some_and(|name| name == "vfio-noiommu");
        Ok(BindState {
            present: root.has(format!("sys/bus/pci/devices/{}", self.address)),
            driver: root.link_name(function(self.address, "driver"))?,
            driver_override: root.text(function(self.address, "driver_override"))?.filter(set),
            group: if made_up { None } else { group },
            silent: Pci::answers(root, self.address) == Some(false),
        })
    }

    fn wanted(&self, now: &BindState) -> Result<BindState, Trouble> {
        if !now.present {
            return Err(Trouble::new(format!("there is no PCI function {} on this node", self.address)));
        }
        let driver = Some(self.driver.clone());
        if now.driver == driver {
            // Bound already: an override would only be one more thing to put back.
            return Ok(now.clone());
        }
        Ok(BindState { driver_override: driver.clone(), driver, ..now.clone() })
    }

    fn remark(&self, original: &BindState, wanted: &BindState) -> Option<String> {
        let foreign =
            original.driver_override.as_ref().filter(|_| original.driver_override != wanted.driver_override)?;
        Some(format!(
            "{} has driver_override {foreign}, set by somebody else (driverctl, a udev rule): it is put back afterwards",
            self.address
        ))
    }

    fn foreseen(&self, now: &BindState) -> Option<BindState> {
        // New ones have no driver ([`super::MakeVfs`]). Their group has no number yet, so nothing waits for its node.
        let new = BindState { present: true, driver: None, driver_override: None, group: None, silent: false };
        (!now.present).then_some(new)
    }

    fn moves(&self, from: &BindState, to: &BindState, attempt: u32) -> Vec<Action> {
        if !from.present {
            return Vec::new();
        }
        if attempt == 0 { self.move_over(from, to) } else { self.insist(from, to, attempt) }
    }

    fn undone(&self, original: &BindState, wanted: &BindState, now: &BindState) -> BindState {
        // What has been unplugged took its driver and its override along.
        if !now.present {
            return now.clone();
        }
        let ours = |driver: &Option<String>| driver.is_none() || *driver == wanted.driver || is_vfio(driver);
        if ours(&now.driver) || now.driver == original.driver {
            // That it has gone silent cannot be undone.
            return BindState { group: now.group, silent: now.silent, ..original.clone() };
        }
        // Somebody gave it to yet another driver, and may use it: no guard has been asked whether it could be taken from that one.
        let kept = now.driver_override == wanted.driver_override;
        let driver_override = if kept { original.driver_override.clone() } else { now.driver_override.clone() };
        BindState { driver_override, ..now.clone() }
    }

    fn reached(&self, goal: &BindState, now: &BindState) -> Reached {
        match (goal, now) {
            // Nothing refuses a device that has gone silent, before QEMU does.
            (goal, now) if now.silent && !goal.silent && is_vfio(&goal.driver) => Reached::No(format!(
                "{} no longer answers (its config space reads ffff): it fell off the bus",
                self.address
            )),
            (goal, now)
                if goal.present == now.present
                    && (&goal.driver, &goal.driver_override) == (&now.driver, &now.driver_override) =>
            {
                Reached::Yes
            }
            (_, now) if !now.present => Reached::No(format!("{} is no longer there", self.address)),
            (goal, now) if goal.driver == now.driver => Reached::No(format!(
                "driver_override of {} is {} and not {}",
                self.address,
                named(&now.driver_override),
                named(&goal.driver_override)
            )),
            _ => Reached::No(format!(
                "{} is bound to {} and not to {}",
                self.address,
                named(&now.driver),
                named(&goal.driver)
            )),
        }
    }
}

impl BindState {
    /// An override that names another driver than the one that has the function: it waits for the next time that somebody probes
    /// (`driverctl --noprobe`), and would keep the driver from getting the function back.
    fn foreign_override(&self) -> Option<&str> {
        let name = self.driver_override.as_deref()?;
        self.driver.as_deref().filter(|driver| *driver != name).and(Some(name))
    }
}

impl Bind {
    /// The usual way: ask for the driver, take the function from the present one, let the kernel match.
    fn move_over(&self, from: &BindState, to: &BindState) -> Vec<Action> {
        let mut moves = Vec::new();
        // While the function changes hands the override has to name the driver it goes to, if only to put it back: without one the
        // kernel would offer the function to every driver that knows its ids.
        let rebind = from.driver != to.driver;
        let last = to.foreign_override().filter(|_| rebind);
        let first = if last.is_some() { &to.driver } else { &to.driver_override };
        if from.driver_override != *first {
            moves.extend(write_function(self.address, "driver_override", first.as_deref().unwrap_or("\n")));
        }
        if rebind && from.driver.is_some() {
            moves.extend(write_function(self.address, "driver/unbind", self.address.to_string()));
        }
        if rebind && to.driver.is_some() {
            moves.extend(write("sys/bus/pci/drivers_probe".to_owned(), self.address.to_string()));
            moves.extend(self.await_node(to));
        }
        moves.extend(last.and_then(|name| write_function(self.address, "driver_override", name)));
        moves
    }

    /// Nobody took it: name the driver to its own face. Its `bind` file also tells why it refuses, which `drivers_probe` does not.
    fn insist(&self, from: &BindState, to: &BindState, attempt: u32) -> Vec<Action> {
        let Some(driver) = to.driver.as_deref().filter(|_| attempt <= RETRIES && from.driver != to.driver) else {
            return Vec::new();
        };
        let mut moves = Vec::new();
        if attempt > 1 {
            moves.push(Action::Pause { millis: RETRY_MILLIS });
        }
        if from.driver.is_some() {
            moves.extend(write_function(self.address, "driver/unbind", self.address.to_string()));
        }
        // A driver's `bind` file does not take what the override keeps from it.
        let last = to.foreign_override();
        if last.is_some() {
            moves.extend(write_function(self.address, "driver_override", driver));
        }
        moves.extend(write(format!("sys/bus/pci/drivers/{driver}/bind"), self.address.to_string()));
        moves.extend(self.await_node(to));
        moves.extend(last.and_then(|name| write_function(self.address, "driver_override", name)));
        moves
    }

    /// Waits for the group's device node, where the driver is one of VFIO's.
    fn await_node(&self, to: &BindState) -> Option<Action> {
        let group = to.group.filter(|_| is_vfio(&to.driver))?;
        Some(Action::Await { path: format!("dev/vfio/{group}").into(), present: true, millis: NODE_MILLIS })
    }
}

/// Whether a driver is one of VFIO's.
fn is_vfio(driver: &Option<String>) -> bool {
    driver.as_deref().is_some_and(|driver| driver.contains("vfio"))
}

/// A driver's name, or that there is none.
fn named(driver: &Option<String>) -> &str {
    driver.as_deref().unwrap_or("none")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(driver: Option<&str>, driver_override: Option<&str>) -> BindState {
        BindState {
            present: true,
            driver: driver.map(str::to_owned),
            driver_override: driver_override.map(str::to_owned),
            group: Some(7),
            silent: false,
        }
    }

    fn bind() -> Bind {
        Bind { address: "0000:3b:00.0".parse().unwrap(), driver: "vfio-pci".to_owned() }
    }

    fn told(actions: &[Action]) -> Vec<String> {
        actions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn there_and_back() {
        let original = state(Some("igb"), None);
        let wanted = bind().wanted(&original).unwrap();
        assert_eq!(wanted, state(Some("vfio-pci"), Some("vfio-pci")));
        let folder = "/sys/bus/pci/devices/0000:3b:00.0";
        assert_eq!(
            told(&bind().moves(&original, &wanted, 0)),
            [
                format!("write \"vfio-pci\" to {folder}/driver_override"),
                format!("write \"0000:3b:00.0\" to {folder}/driver/unbind"),
                "write \"0000:3b:00.0\" to /sys/bus/pci/drivers_probe".to_owned(),
                "wait until /dev/vfio/7 is there".to_owned(),
            ]
        );
        assert_eq!(
            told(&bind().moves(&wanted, &original, 0)),
            [
                format!("write \"\\n\" to {folder}/driver_override"),
                format!("write \"0000:3b:00.0\" to {folder}/driver/unbind"),
                "write \"0000:3b:00.0\" to /sys/bus/pci/drivers_probe".to_owned(),
            ]
        );
    }

    #[test]
    fn somebody_else_s_override_is_told_of() {
        let remark = |driver, own| {
            let original = state(driver, own);
            bind().remark(&original, &bind().wanted(&original).unwrap())
        };
        assert_eq!(remark(Some("igb"), None), None);
        assert_eq!(remark(Some("vfio-pci"), Some("vfio-pci")), None);
        assert_eq!(
            remark(Some("igb"), Some("igb")).unwrap(),
            "0000:3b:00.0 has driver_override igb, set by somebody else (driverctl, a udev rule): it is put back afterwards"
        );
    }

    #[test]
    fn what_had_no_driver_is_left_without() {
        let original = state(None, None);
        let wanted = bind().wanted(&original).unwrap();
        assert_eq!(bind().moves(&wanted, &original, 0).len(), 2);
    }

    #[test]
    fn what_is_bound_already_is_left_alone() {
        for original in [state(Some("vfio-pci"), None), state(Some("vfio-pci"), Some("vfio-pci"))] {
            let wanted = bind().wanted(&original).unwrap();
            assert_eq!(wanted, original);
            assert_eq!(bind().moves(&original, &wanted, 0), []);
        }
    }

    #[test]
    fn a_foreign_override_comes_back() {
        let original = state(Some("uio_pci_generic"), Some("uio_pci_generic"));
        let wanted = bind().wanted(&original).unwrap();
        let back = told(&bind().moves(&wanted, &original, 0));
        assert!(back[0].starts_with("write \"uio_pci_generic\""), "{back:?}");
    }

    #[test]
    fn what_somebody_gave_to_yet_another_driver_stays_there() {
        let original = state(Some("igb"), None);
        let wanted = bind().wanted(&original).unwrap();
        let taken = state(Some("nvme"), Some("vfio-pci"));
        assert_eq!(bind().undone(&original, &wanted, &taken), state(Some("nvme"), None));
        let theirs = state(Some("uio_pci_generic"), Some("uio_pci_generic"));
        assert_eq!(bind().undone(&original, &wanted, &theirs), theirs);
        // Without a driver, or on another of VFIO's, it is as good as ours.
        for driver in [None, Some("mlx5_vfio_pci")] {
            assert_eq!(bind().undone(&original, &wanted, &state(driver, None)), original);
        }
    }

    #[test]
    fn the_fallback_names_the_driver_and_ends() {
        let (original, stranded) = (state(Some("igb"), None), state(None, None));
        let tries: Vec<usize> = (1..=RETRIES + 1).map(|n| bind().moves(&stranded, &original, n).len()).collect();
        assert_eq!(tries, [1, 2, 2, 2, 0]);
    }

    #[test]
    fn what_has_gone_silent_is_not_handed_over_and_may_go_back() {
        let (original, silent) =
            (state(Some("igb"), None), BindState { silent: true, ..state(Some("vfio-pci"), Some("vfio-pci")) });
        let wanted = bind().wanted(&original).unwrap();
        assert_eq!(
            bind().reached(&wanted, &silent),
            Reached::No("0000:3b:00.0 no longer answers (its config space reads ffff): it fell off the bus".to_owned())
        );
        let back = BindState { silent: true, ..original.clone() };
        assert_eq!(bind().reached(&original, &back), Reached::Yes);
        // Nor does it keep its owner for ever if VFIO had it before.
        let original = state(Some("vfio-pci"), None);
        let now = BindState { silent: true, ..original.clone() };
        assert_eq!(bind().reached(&bind().undone(&original, &original, &now), &now), Reached::Yes);
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let absent = BindState { present: false, driver: None, driver_override: None, group: None, silent: false };
        assert_eq!(bind().wanted(&absent).unwrap_err().message, "there is no PCI function 0000:3b:00.0 on this node");
        // Unless the plan makes it.
        let new = bind().foreseen(&absent).unwrap();
        let writes = told(&bind().moves(&new, &bind().wanted(&new).unwrap(), 0));
        let folder = "/sys/bus/pci/devices/0000:3b:00.0";
        assert_eq!(
            writes,
            [
                format!("write \"vfio-pci\" to {folder}/driver_override"),
                "write \"0000:3b:00.0\" to /sys/bus/pci/drivers_probe".to_owned(),
            ]
        );
        assert_eq!(bind().foreseen(&state(None, None)), None);
    }
}
