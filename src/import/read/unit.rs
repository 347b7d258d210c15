//! Units of systemd: what they run, and the limits they set.

use crate::import::action::{Action, ServiceVerb};
use crate::import::place::Place;
use crate::import::shell;
use crate::import::verdict::Verdict;

use super::Reading;
use super::ini::{Entry, entries};

/// A unit, or a drop-in of one.
#[derive(Debug)]
pub(super) struct Unit {
    name: String,
    entries: Vec<Entry>,
}

/// Keys of which systemd takes the last one (systemd.service(5)).
const ONCE: [&str; 6] = ["TimeoutSec", "TimeoutStartSec", "TimeoutStopSec", "Type", "RemainAfterExit", "User"];

impl Unit {
    /// `Err`: the line and what is wrong.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, (u64, String)> {
        let entries = entries(text).map_err(|(line, why)| (line, format!("{why}: a unit has only these")))?;
        Ok(Self { name: name.to_owned(), entries })
    }
}

/// Reads what a unit does.
pub(super) fn read(place: &Place, unit: &Unit, reading: &mut Reading<'_>) {
    for (index, entry) in unit.entries.iter().enumerate() {
        let place = place.line(entry.line);
        match entry.key.as_str() {
            "ExecStartPre" | "ExecStart" | "ExecStartPost" | "ExecReload" | "ExecCondition" => {
                shell::exec_line(&place, &entry.value, false, reading);
            }
            "ExecStop" | "ExecStopPost" => shell::exec_line(&place, &entry.value, true, reading),
            "LimitMEMLOCK" => {
                reading.found(&place, &format!("{} LimitMEMLOCK={}", unit.name, entry.value), Action::Memlock)
            }
            "CPUAffinity" => {
                let why = "which CPUs the node's services run on stays with them; VMs are kept apart by a cpus step";
                reading.found(&place, &format!("CPUAffinity={}", entry.value), Action::Told(Verdict::stays(why)));
            }
            "Conflicts" => {
                for name in entry.value.split_whitespace().filter(|name| *name != "shutdown.target") {
                    let action = Action::Service { unit: name.to_owned(), verb: ServiceVerb::Stop };
                    reading.found(&place, &format!("Conflicts={name}"), action);
                }
            }
            key if ONCE.contains(&key) => {
                let last = unit
                    .entries
                    .iter()
                    .skip(index + 1)
                    .find(|other| other.key == entry.key && other.section == entry.section);
                match last {
                    Some(last) => {
                        let why = format!("{key} stands here twice, and the last one holds: {}", last.value);
                        reading.found(&place, &format!("{key}={}", entry.value), Action::Told(Verdict::never(why)));
                    }
                    None => reading.idle += 1,
                }
            }
            _ => reading.idle += 1,
        }
    }
}
