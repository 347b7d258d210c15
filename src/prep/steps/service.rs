//! Holding a unit of systemd back.
//!
//! It is stopped, then masked until the next boot so that nobody starts it again: in this order, for what is masked has forgotten how it
//! wants to be stopped (ExecStop). Whatever systemd stops along with it comes back with it. Sockets, paths and timers that would start it
//! are stopped first, for a mask does not reach a unit whose file lies in /etc, and a socket whose service is masked fails
//! (systemd.socket(5)). A timer of systemd's own starts it again after a time, should nobody be left to do it.

mod planned;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::live::units::{Unit, Units, close_to, timer};
use crate::prep::trouble::Trouble;

/// Endings of units' names (systemd.unit(5)).
const KINDS: [&str; 11] = [
    ".service",
    ".socket",
    ".device",
    ".mount",
    ".automount",
    ".swap",
    ".target",
    ".path",
    ".timer",
    ".slice",
    ".scope",
];
/// What may start another unit and can be stopped for it (systemd.unit(5), `TriggeredBy`).
const TRIGGERS: [&str; 3] = [".socket", ".path", ".timer"];
/// Units that need one another in long chains are rare; each is asked for.
const MOST: usize = 64;

/// Have this unit stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopService {
    /// Its name; without an ending it is a service.
    pub unit: String,
    /// In seconds: after so long systemd starts it again, should nobody be left to do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hold: Option<u64>,
}

/// What systemd says of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceState {
    /// Its own name, where the one given is an alias.
    pub name: String,
    /// `loaded`, `masked`, `not-found`.
    pub load: String,
    /// `active`, `inactive`, `failed`.
    pub active: String,
    /// `running`, `dead`.
    pub sub: String,
    /// `enabled`, `masked-runtime`.
    pub file: String,
    /// Units that run and stop when it stops.
    pub dependants: Vec<String>,
    /// Sockets, paths and timers that run and start it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<String>,
    /// Whether it will be started again by time.
    pub returning: bool,
    /// Of one that is not there: what may have been meant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub close: String,
}

impl ServiceState {
    fn runs(&self) -> bool {
        runs(&self.active)
    }

    fn masked(&self) -> bool {
        self.load == "masked" || self.file.starts_with("masked")
    }
}

/// Of a unit's `ActiveState`.
fn runs(active: &str) -> bool {
    matches!(active, "active" | "activating" | "reloading" | "refreshing")
}

impl StopService {
    fn full_name(&self) -> String {
        if KINDS.iter().any(|kind| self.unit.ends_with(kind)) {
            self.unit.clone()
        } else {
            format!("{}.service", self.unit)
        }
    }
}

/// What is stopped so that a unit does not run, beside itself.
struct Around {
    /// Sockets, paths and timers that run and start it, by name.
    triggers: Vec<String>,
    /// All that run and will stop when it or one of these stops, by name.
    dependants: Vec<String>,
}

impl Around {
    fn of(units: &mut Units, name: &str, unit: &Unit) -> Result<Self, Trouble> {
        let (mut triggers, mut next) = (Vec::new(), above(unit));
        let mut starting = unit.texts("TriggeredBy");
        starting.retain(|other| TRIGGERS.iter().any(|kind| other.ends_with(kind)));
        starting.sort();
        for other in starting {
            let there = units.unit(&other)?;
            if runs(&there.text("ActiveState")) {
                next.extend(above(&there));
                triggers.push(other);
            }
        }
        let mut dependants = BTreeSet::new();
        while let Some(other) = next.pop() {
            if other == name || triggers.contains(&other) || dependants.contains(&other) {
                continue;
            }
            let there = units.unit(&other)?;
            if runs(&there.text("ActiveState")) {
                if dependants.len() == MOST {
                    return Err(Trouble::new(format!("more than {MOST} units stop with {name}: it is not held")));
                }
                next.extend(above(&there));
                dependants.insert(other);
            }
        }
        Ok(Self { triggers, dependants: dependants.into_iter().collect() })
    }
}

/// What stops when a unit stops (systemd.unit(5): what systemd adds to the other side of `Requires`, `Requisite`, `BindsTo` and `PartOf`;
/// `PropagatesStopTo` since systemd 249).
fn above(unit: &Unit) -> Vec<String> {
    ["RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf", "PropagatesStopTo"].map(|kind| unit.texts(kind)).concat()
}

/// Which of these are not among those.
fn without<'a>(these: &'a [String], those: &'a [String]) -> impl Iterator<Item = &'a String> {
    these.iter().filter(|one| !those.contains(one))
}

impl Kind for StopService {
    type State = ServiceState;

    fn describe(&self) -> String {
        format!("hold {} back", self.full_name())
    }

    /// systemd answers nobody while it reads its units anew; the bus itself gives an answer up after 25 s (sd_bus_call(3)).
    fn observe_within(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn effect(&self) -> Effect {
        Effect::shared(format!("unit {}", self.full_name()))
    }

    fn observe(&self, root: &Root) -> Result<ServiceState, Trouble> {
        let given = self.full_name();
        let mut units = Units::open(root)?;
        let unit = units.unit(&given)?;
        let load = unit.text("LoadState");
        let close = if load == "not-found" { close_to(root, &given) } else { String::new() };
        let mut name = unit.text("Id");
        if name.is_empty() {
            name = given;
        }
        let Around { triggers, dependants } = Around::of(&mut units, &name, &unit)?;
        let text = |property: &str| unit.text(property);
        Ok(ServiceState {
            load,
            active: text("ActiveState"),
            sub: text("SubState"),
            file: text("UnitFileState"),
            dependants,
            triggers,
            returning: units.unit(&timer(&name))?.text("ActiveState") == "active",
            name,
            close,
        })
    }

    fn wanted(&self, now: &ServiceState) -> Result<ServiceState, Trouble> {
        if now.load == "not-found" && !now.runs() {
            return Err(Trouble::new(format!("there is no unit {} on this node{}", self.full_name(), now.close)));
        }
        if !now.runs() && now.masked() && now.triggers.is_empty() {
            return Ok(now.clone());
        }
        let held = ServiceState {
            load: "masked".to_owned(),
            file: if now.masked() { now.file.clone() } else { "masked-runtime".to_owned() },
            dependants: Vec::new(),
            triggers: Vec::new(),
            returning: self.max_hold.is_some() || now.returning,
            ..now.clone()
        };
        // One that rests is kept from being started while a VM runs.
        if !now.runs() {
            return Ok(held);
        }
        Ok(ServiceState { active: "inactive".to_owned(), sub: "dead".to_owned(), ..held })
    }

    fn undone(&self, original: &ServiceState, _wanted: &ServiceState, now: &ServiceState) -> ServiceState {
        // What somebody has started since is not ours to stop.
        let mut triggers = original.triggers.clone();
        triggers.extend(without(&now.triggers, &original.triggers).cloned());
        if !original.runs() && now.runs() {
            let (active, sub, dependants) = (now.active.clone(), now.sub.clone(), now.dependants.clone());
            return ServiceState { active, sub, dependants, triggers, ..original.clone() };
        }
        ServiceState { triggers, ..original.clone() }
    }

    fn moves(&self, from: &ServiceState, to: &ServiceState, attempt: u32) -> Vec<Action> {
        if attempt > 1 {
            return Vec::new();
        }
        let unit = || from.name.clone();
        let (start, stop) = (
            |unit: &String| Action::StartUnit { unit: unit.clone() },
            |unit: &String| Action::StopUnit { unit: unit.clone() },
        );
        let mut moves = Vec::new();
        if from.masked() && !to.masked() && attempt == 0 {
            moves.push(Action::UnmaskUnit { unit: unit() });
        }
        if let Some(seconds) = self.max_hold.filter(|_| to.returning && !from.returning) {
            let own = from.runs().then(unit);
            let start = from.triggers.iter().cloned().chain(own).chain(from.dependants.iter().cloned()).collect();
            moves.push(Action::ReturnAfter { unit: unit(), seconds, start });
        }
        moves.extend(without(&from.triggers, &to.triggers).map(stop));
        // A socket refuses to start while its service runs.
        let shut_out = attempt == 0
            && from.runs()
            && without(&to.triggers, &from.triggers).any(|other| other.ends_with(".socket"));
        if from.runs() && (!to.runs() || shut_out) {
            moves.push(stop(&unit()));
        }
        if to.masked() && !from.masked() && attempt == 0 {
            moves.push(Action::MaskUnit { unit: unit() });
        }
        moves.extend(without(&to.triggers, &from.triggers).map(start));
        if to.runs() && (!from.runs() || shut_out) {
            moves.push(start(&unit()));
        }
        let run: &[String] = if shut_out { &[] } else { &from.dependants };
        moves.extend(without(&to.dependants, run).map(start));
        if from.returning && !to.returning {
            moves.push(Action::CancelReturn { unit: unit() });
        }
        moves
    }

    fn reached(&self, goal: &ServiceState, now: &ServiceState) -> Reached {
        let name = &now.name;
        if !goal.runs() && now.runs() {
            return Reached::No(format!("{name} runs: it is {} ({})", now.active, now.sub));
        }
        if now.masked() && !goal.masked() {
            return Reached::No(format!("{name} is still masked"));
        }
        if goal.returning != now.returning {
            let word = if now.returning { "still a" } else { "no" };
            return Reached::No(format!("there is {word} timer that starts {name} again"));
        }
        if !goal.runs()
            && let Some(other) = without(&now.triggers, &goal.triggers).next()
        {
            return Reached::No(format!("{other}, which starts {name}, still runs"));
        }
        // What has been asked to start and does not is systemd's to tell of, and its admin's to mend: no device waits for it.
        let left = [without(&goal.triggers, &now.triggers), without(&goal.dependants, &now.dependants)];
        let own = Some(name).filter(|_| goal.runs() && !now.runs());
        let left: Vec<&str> = own.into_iter().chain(left.into_iter().flatten()).map(String::as_str).collect();
        if !left.is_empty() {
            let left = left.join(" ");
            return Reached::Enough(format!("{left} did not start again: systemctl status {left} tells why"));
        }
        // A unit of the admin's own, in /etc, is stronger than a mask in /run.
        if goal.masked() && !now.masked() {
            return Reached::Enough(format!(
                "{name} is stopped and cannot be masked: its file lies in /etc, so others may start it"
            ));
        }
        Reached::Yes
    }
}

#[cfg(test)]
mod tests;
