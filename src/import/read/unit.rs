//! Units of systemd: what they run, and the limits they set.

use std::collections::HashMap;

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

/// What starts VMs or their pods, so that these have its limits.
const RUNTIMES: [&str; 9] =
    ["crio", "cri-o", "containerd", "docker", "kubelet", "k3s", "rke2", "libvirtd", "virtqemud"];

/// Whether the unit itself runs a VM.
fn runs_qemu(unit: &Unit) -> bool {
    unit.entries.iter().any(|entry| entry.key == "ExecStart" && entry.value.contains("qemu"))
}

impl Unit {
    /// `Err`: the line and what is wrong.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, (u64, String)> {
        let entries = entries(text).map_err(|(line, why)| (line, format!("{why}: a unit has only these")))?;
        Ok(Self { name: name.to_owned(), entries })
    }
}

/// Reads what a unit does.
pub(super) fn read(place: &Place, unit: &Unit, reading: &mut Reading<'_>) {
    reading.environment = environment(unit);
    for (index, entry) in unit.entries.iter().enumerate() {
        let place = place.line(entry.line);
        match entry.key.as_str() {
            "ExecStartPre" | "ExecStart" | "ExecStartPost" | "ExecReload" | "ExecCondition" => {
                shell::exec_line(&place, &entry.value, false, reading);
            }
            "ExecStop" | "ExecStopPost" => shell::exec_line(&place, &entry.value, true, reading),
            "Environment" => reading.idle += 1,
            "EnvironmentFile" => {
                let why = "variables that its commands are run with stand in a file: what depends on them is told as not known";
                reading.unclear(&place, &format!("EnvironmentFile={}", entry.value), why);
            }
            "LimitMEMLOCK" if !RUNTIMES.iter().any(|name| unit.name.starts_with(name)) && !runs_qemu(unit) => {
                let why = "the limit of that service alone, which starts no VM: left as it is";
                let said = format!("{} LimitMEMLOCK={}", unit.name, entry.value);
                reading.found(&place, &said, Action::Told(Verdict::aside(why)));
            }
            "LimitMEMLOCK" => {
                reading.found(&place, &format!("{} LimitMEMLOCK={}", unit.name, entry.value), Action::Memlock)
            }
            "AllowedCPUs" | "CPUAffinity" => {
                let why = "which CPUs the node's services run on stays with them; VMs are kept apart by a cpus step";
                reading.found(&place, &format!("{}={}", entry.key, entry.value), Action::Told(Verdict::stays(why)));
            }
            "Type" if entry.section == "Mount" && entry.value == "hugetlbfs" => {
                let why = "kubelet gives a pod its huge pages by itself: no mount of the node's is needed";
                reading.found(&place, &format!("{} Type=hugetlbfs", unit.name), Action::Told(Verdict::now(why)));
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
    reading.environment.clear();
}

/// What `Environment=` sets: `A=b "C=d e"`.
fn environment(unit: &Unit) -> HashMap<String, String> {
    let lines = unit.entries.iter().filter(|entry| entry.key == "Environment");
    let words = lines.flat_map(|entry| {
        let mut words = vec![String::new()];
        let mut quote = None;
        for c in entry.value.chars() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (None, c) if c.is_whitespace() => words.push(String::new()),
                (_, c) => words.last_mut().into_iter().for_each(|word| word.push(c)),
            }
        }
        words
    });
    words.filter_map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
}
