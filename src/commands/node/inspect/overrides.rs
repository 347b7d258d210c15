//! `driver_override` of every endpoint.
//!
//! Reading it takes the device's lock on most kernels, and so may never return while an unbind hangs. It is read by the hand, with its
//! deadline, and what is in one lock domain with a function that hangs is not asked for.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::base::PciAddress;
use crate::host::{Machine, lock_domains};
use crate::prep::hand::{Hand, HandError, Hands};
use crate::prep::journal::Ledger;
use crate::prep::steps::Bind;
use crate::prep::{Step, StepState};

/// What is known of a function's `driver_override`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Override {
    /// Only this driver may have it.
    Set(String),
    /// Nothing, and why.
    Unknown(String),
}

/// Reads all of them. A function without an override is left out.
pub(super) fn read<H: Hands>(hands: &H, machine: &Machine, ledger: &Ledger) -> BTreeMap<PciAddress, Override> {
    let mut found = BTreeMap::new();
    let mut hand = None;
    for domain in lock_domains(&machine.pci, &machine.groups) {
        let mut stuck = left_alone(&domain, ledger);
        for address in &domain {
            if let Some(why) = &stuck {
                found.insert(*address, Override::Unknown(why.clone()));
                continue;
            }
            match ask(hands, &mut hand, *address) {
                Ok(None) => (),
                Ok(Some(driver)) => drop(found.insert(*address, Override::Set(driver))),
                Err(error) => {
                    // Who is stuck or gone is not asked again, but for who refused.
                    if !matches!(error, HandError::Refused(_)) {
                        hand = None;
                    }
                    if matches!(error, HandError::Stuck { .. }) {
                        stuck = Some(format!("the lock of {address} is held (does a write to it hang?)"));
                    }
                    let why = stuck.clone().unwrap_or_else(|| error.to_string());
                    found.insert(*address, Override::Unknown(why));
                }
            }
        }
    }
    found
}

/// Who is known to hang in this lock domain.
fn left_alone(domain: &BTreeSet<PciAddress>, ledger: &Ledger) -> Option<String> {
    let keys: Vec<String> = domain.iter().map(|address| format!("function {address}")).collect();
    let held = ledger.quarantines.iter().find(|held| keys.iter().any(|key| held.domain.contains(key)))?;
    Some(format!("process {} hangs: {}", held.process, held.what))
}

/// Asks a hand, a fresh one if there is none.
fn ask<H: Hands>(hands: &H, hand: &mut Option<H::Hand>, address: PciAddress) -> Result<Option<String>, HandError> {
    let asked = match hand {
        Some(hand) => hand,
        None => hand.insert(hands.hire()?),
    };
    // Observed is what a bind would find; to which driver makes no difference.
    match asked.observe(&Step::Bind(Bind { address, driver: "vfio-pci".to_owned() }))? {
        StepState::Bind(state) => Ok(state.driver_override),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Mutex;

    use super::*;
    use crate::host::Root;
    use crate::prep::hand::ProcessId;
    use crate::prep::steps::BindState;
    use crate::prep::{Action, Trouble};

    /// Hands that get stuck at one function, and write down whom they were asked about.
    struct Fake {
        hangs: &'static str,
        asked: Mutex<Vec<String>>,
    }

    struct FakeHand<'a>(&'a Fake);

    impl<'a> Hands for &'a Fake {
        type Hand = FakeHand<'a>;

        fn hire(&self) -> Result<FakeHand<'a>, Trouble> {
            self.asked.lock().unwrap().push("hired".to_owned());
            Ok(FakeHand(self))
        }
    }

    impl Hand for FakeHand<'_> {
        fn observe(&mut self, step: &Step) -> Result<StepState, HandError> {
            let Step::Bind(bind) = step else { panic!("{step:?}") };
            let address = bind.address.to_string();
            self.0.asked.lock().unwrap().push(address.clone());
            if address == self.0.hangs {
                let process = ProcessId { pid: 7, started: 1 };
                return Err(HandError::Stuck { what: "look".to_owned(), seconds: 5, process });
            }
            let driver_override = address.ends_with(".2").then(|| "vfio-pci".to_owned());
            Ok(StepState::Bind(BindState { present: true, driver: None, driver_override, group: None, silent: false }))
        }

        fn act(&mut self, action: &Action) -> Result<(), HandError> {
            panic!("{action:?}")
        }
    }

    #[test]
    fn one_stuck_hand_for_each_lock_domain() {
        let tree = tempfile::tempdir().unwrap();
        for address in ["0000:00:03.0", "0000:00:03.1", "0000:00:03.2", "0000:00:04.0", "0000:00:05.2"] {
            let device = tree.path().join("sys/devices/pci0000:00").join(address);
            fs::create_dir_all(&device).unwrap();
            for (file, text) in [
                ("vendor", "0x8086"),
                ("device", "0x1234"),
                ("class", "0x020000"),
                (
                    "resource",
                    "0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n0x0 0x0 0x0\n",
                ),
            ] {
                fs::write(device.join(file), text).unwrap();
            }
            let devices = tree.path().join("sys/bus/pci/devices");
            fs::create_dir_all(&devices).unwrap();
            symlink(format!("../../../devices/pci0000:00/{address}"), devices.join(address)).unwrap();
        }
        let machine = Machine::read(&Root::new(tree.path())).unwrap();
        let fake = Fake { hangs: "0000:00:03.0", asked: Mutex::default() };
        let found = read(&&fake, &machine, &Ledger::default());
        assert_eq!(
            *fake.asked.lock().unwrap(),
            ["hired", "0000:00:03.0", "hired", "0000:00:04.0", "0000:00:05.2"],
            "the other functions of the slot are left alone"
        );
        let known: Vec<(String, bool)> =
            found.iter().map(|(address, is)| (address.to_string(), matches!(is, Override::Set(_)))).collect();
        let unknown = ["0000:00:03.0", "0000:00:03.1", "0000:00:03.2"].map(|address| (address.to_owned(), false));
        assert_eq!(known, [&unknown[..], &[("0000:00:05.2".to_owned(), true)]].concat());
    }
}
