//! From what a document asks for to the step: systemd may know the unit by other names, and stop others along with it.

use super::{Around, StopService};
use crate::config::node::{HoldService, Limits, UnitName, keeps_time};
use crate::host::Root;
use crate::prep::live::units::Units;
use crate::prep::trouble::Trouble;

/// Units that may stop along with another and hold nothing themselves.
const HARMLESS: [&str; 2] = [".target", ".slice"];

impl StopService {
    /// The step for a unit, by its own name, so that two who know it by different names meet. What may not be stopped is asked again for
    /// each of its names and for all that would stop with it.
    ///
    /// # Errors
    ///
    /// [`Trouble`]: it is never stopped, needs a `maxHold`, or systemd cannot be reached.
    pub fn planned(root: &Root, hold: &HoldService, limits: &Limits) -> Result<Self, Trouble> {
        let asked = hold.stop.to_string();
        let mut units = Units::open(root)?;
        let unit = units.unit(&asked)?;
        let id = Some(unit.text("Id")).filter(|id| !id.is_empty()).unwrap_or_else(|| asked.clone());
        let Around { triggers, dependants } = Around::of(&mut units, &id, &unit)?;
        let along = [dependants, triggers].concat();
        let names = [vec![id.clone()], unit.texts("Names")].concat();
        allowed(&asked, &names, &along, hold.max_hold.is_some(), limits).map_err(Trouble::new)?;
        Ok(Self { unit: id, max_hold: hold.max_hold.map(|period| period.as_duration().as_secs()) })
    }
}

/// Why a unit with these names, and those that stop along with it, cannot be held; as `Err`.
fn allowed(asked: &str, names: &[String], along: &[String], timed: bool, limits: &Limits) -> Result<(), String> {
    for (name, own) in names.iter().map(|name| (name, true)).chain(along.iter().map(|name| (name, false))) {
        let what = match own {
            true if name == asked => asked.to_owned(),
            true => format!("{asked}, which is {name}"),
            false => format!("{asked}, which stops {name} too"),
        };
        let Ok(unit) = name.parse::<UnitName>() else {
            if HARMLESS.iter().any(|kind| name.ends_with(kind)) {
                continue;
            }
            return Err(format!("{what}, is not held: only services, sockets, timers and paths are"));
        };
        if let Some(pattern) = limits.never_stopped(&unit) {
            return Err(format!("{what}, is never stopped: {pattern} is not"));
        }
        if !timed && keeps_time(&unit) {
            return Err(format!("{what}, keeps the node's time: say with maxHold how long it may rest"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(names: &[&str], along: &[&str], timed: bool) -> Result<(), String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        allowed("display-manager.service", &owned(names), &owned(along), timed, &Limits::default())
    }

    #[test]
    fn whatever_it_is_called_and_whoever_goes_along() {
        assert_eq!(asked(&["gdm.service", "display-manager.service"], &["graphical.target"], false), Ok(()));
        assert_eq!(
            asked(&["kubelet.service"], &[], false).unwrap_err(),
            "display-manager.service, which is kubelet.service, is never stopped: kubelet is not"
        );
        assert_eq!(
            asked(&["gdm.service"], &["sshd.service"], false).unwrap_err(),
            "display-manager.service, which stops sshd.service too, is never stopped: sshd* is not"
        );
        assert!(
            asked(&["gdm.service"], &["var-lib.mount"], false).unwrap_err().contains("var-lib.mount too, is not held")
        );
        assert!(asked(&["chronyd.service"], &[], false).unwrap_err().contains("say with maxHold"));
        assert_eq!(asked(&["chronyd.service"], &[], true), Ok(()));
    }
}
