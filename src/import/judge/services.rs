//! Services of the node.

use crate::config::node::{HoldService, Limits, NEVER_STOPPED, PrepareStep, UnitName, keeps_time};
use crate::import::action::ServiceVerb;
use crate::import::verdict::Verdict;

use super::{Judge, Told, parsed};

/// How long a time service may rest unless the admin says otherwise.
const HOLD: &str = "12h";

/// What draws on a display.
const DISPLAY: [&str; 6] = ["display-manager", "gdm", "gdm3", "sddm", "lightdm", "xdm"];

impl Judge<'_> {
    pub(super) fn service(&mut self, unit: &str, verb: ServiceVerb) -> Told {
        if verb == ServiceVerb::Start {
            return Ok(Verdict::aside(
                "a service of the node is started; one that a VM holds is started again by itself",
            ));
        }
        if unit == "crio-wipe.service" {
            return Ok(Verdict::now("no image has to outlive a reboot any more: leave it as the system has it"));
        }
        if unit.ends_with(".target") {
            return Ok(Verdict::aside("the order of the boot: left as it is"));
        }
        let name: UnitName = parsed(unit)?;
        if let Some(pattern) = Limits::default().never_stopped(&name) {
            let why =
                NEVER_STOPPED.iter().find(|(one, _)| *one == pattern).map_or("the node needs it", |(_, why)| *why);
            return Ok(Verdict::stays(format!("virt-tailor never stops {unit}: {why}")));
        }
        let display = DISPLAY.contains(&name.stem());
        let max_hold = if keeps_time(&name) { Some(parsed(HOLD)?) } else { None };
        let limit = if max_hold.is_some() { format!(", {HOLD} at most (maxHold)") } else { String::new() };
        let step = PrepareStep::Service(HoldService { stop: name, max_hold });
        if display {
            self.draft.display.push(step);
        } else {
            self.draft.prepare.push(step);
        }
        let before = match verb {
            ServiceVerb::Disable => " (disabling it at boot did not stop one that ran)",
            _ => "",
        };
        Ok(Verdict::now(format!(
            "a service step stops {unit} while a VM has the device{limit}, and starts it again{before}"
        )))
    }
}
