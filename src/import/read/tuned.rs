//! TuneD profiles: files, and objects of kind Tuned that hold them.

use crate::config::tree::Node;
use crate::import::action::{Action, ServiceVerb};
use crate::import::place::Place;
use crate::import::verdict::Verdict;

use super::documents::{at, items, map, text};
use super::ini::entries;
use super::{Reading, arguments};

/// An object: its profiles.
pub(super) fn object(node: &Node, place: &Place, reading: &mut Reading<'_>) {
    let Some(spec) = map(node, "spec", place, reading) else {
        reading.malformed(&at(node, place), "a Tuned without spec: it has profile[] and recommend[] there");
        return;
    };
    for one in items(spec, "profile", place, reading) {
        let name = text(one, "name").unwrap_or_default();
        let Some(data) = text(one, "data") else {
            reading.malformed(&at(one, place), "a profile without data: the text of its tuned.conf");
            continue;
        };
        profile(&at(one, place).inside(&format!("profile {name}")), &data, reading);
    }
    reading.idle += items(spec, "recommend", place, reading).len();
}

/// A profile.
pub(super) fn profile(place: &Place, data: &str, reading: &mut Reading<'_>) {
    let entries = match entries(data) {
        Ok(entries) => entries,
        Err((line, why)) => {
            reading.malformed(&place.line(line), &format!("{why}: a TuneD profile has only these"));
            return;
        }
    };
    for entry in entries {
        let place = place.line(entry.line);
        let said = format!("[{}] {}={}", entry.section, entry.key, entry.value);
        let value = entry.value.as_str();
        match entry.section.as_str() {
            "main" | "variables" => reading.idle += 1,
            "bootloader" if entry.key.starts_with("cmdline") => {
                // `+`, `-` and variables are TuneD's own.
                if let Some(removed) = value.strip_prefix('-') {
                    reading.found(
                        &place,
                        &said,
                        Action::Told(Verdict::aside(format!("it takes {removed} away again"))),
                    );
                } else {
                    arguments::words(&place, value.trim_start_matches('+').trim().trim_matches('"'), reading);
                }
            }
            "sysctl" => {
                let path = format!("/proc/sys/{}", entry.key.replace('.', "/"));
                reading.found(&place, &said, Action::Write { path, value: value.trim_matches('"').to_owned() });
            }
            "sysfs" => reading.found(&place, &said, Action::Write { path: entry.key.clone(), value: value.to_owned() }),
            "service" => {
                let unit = entry.key.strip_prefix("service.").unwrap_or(&entry.key);
                let unit = if unit.contains('.') { unit.to_owned() } else { format!("{unit}.service") };
                let words: Vec<&str> = value.split(',').map(str::trim).collect();
                let verb = if words.contains(&"stop") {
                    ServiceVerb::Stop
                } else if words.contains(&"disable") {
                    ServiceVerb::Disable
                } else {
                    ServiceVerb::Start
                };
                reading.found(&place, &said, Action::Service { unit, verb });
            }
            "modules" => {
                let parameters: Vec<(&str, &str)> =
                    value.trim_start_matches("+r").split_whitespace().filter_map(|word| word.split_once('=')).collect();
                if parameters.is_empty() {
                    let load = Action::Load { module: entry.key.clone(), folder: None, parameters: Vec::new() };
                    reading.found(&place, &said, load);
                }
                for (name, value) in parameters {
                    arguments::module_parameter(&place, &said, (&entry.key, name, value), reading);
                }
            }
            "irqbalance" => reading.found(&place, &said, Action::IrqsAway),
            "cpu" | "vm" | "disk" | "net" | "scheduler" | "audio" | "video" | "usb" | "acpi" | "uncore" => {
                let why = "TuneD's own settings of the node: they go on as before";
                reading.found(&place, &said, Action::Told(Verdict::aside(why)));
            }
            "script" => reading.unclear(&place, &said, "import the script, too: what it does is not in the profile"),
            _ => reading.unclear(&place, &said, "this section of TuneD is not read here"),
        }
    }
}
