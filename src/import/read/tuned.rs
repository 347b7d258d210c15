//! TuneD profiles: files, and objects of kind Tuned that hold them. Where a profile's variables come from, is told in `variables`.

use crate::config::tree::Node;
use crate::import::action::{Action, ServiceVerb};
use crate::import::place::Place;
use crate::import::verdict::Verdict;

use super::documents::{at, items, map, text};
use super::ignition::rest;
use super::ini::{Entry, entries};
use super::variables::{self, Profile, expanded};
use super::{Part, Reading, arguments, file_name};

/// Profiles that come with TuneD and with OpenShift's operator, and add no kernel argument (redhat-performance/tuned: profiles/*/tuned.conf;
/// openshift/cluster-node-tuning-operator: assets/tuned).
const SHIPPED: [&str; 9] = [
    "balanced",
    "powersave",
    "throughput-performance",
    "latency-performance",
    "virtual-host",
    "virtual-guest",
    "openshift",
    "openshift-node",
    "openshift-control-plane",
];

/// An object to its profiles, which may include each other.
pub(super) fn object(node: &Node, place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    let Some(spec) = map(node, "spec", place, reading) else {
        reading.malformed(&at(node, place), "a Tuned without spec: it has profile[] and recommend[] there");
        return Vec::new();
    };
    let mut parts = Vec::new();
    for one in items(spec, "profile", place, reading) {
        let name = text(one, "name").unwrap_or_default();
        let Some(data) = text(one, "data") else {
            reading.malformed(&at(one, place), "a profile without data: the text of its tuned.conf");
            continue;
        };
        let here = at(one, place).inside(&format!("profile {name}"));
        parts.extend(profile(here, &name, &data, reading));
        parts.extend(rest(Some(one), place, &format!("profile {name} "), &["name", "data"]));
    }
    reading.idle += items(spec, "recommend", place, reading).len();
    parts.extend(rest(Some(spec), place, "spec.", &["profile", "recommend", "managementState"]));
    parts
}

/// A file of TuneD's: `NAME/tuned.conf`, or variables that a profile includes.
pub(super) fn file(place: Place, path: &str, data: &str, reading: &mut Reading<'_>) -> Option<Part> {
    let has_section = super::lines(data).any(|(_, line)| line.starts_with('['));
    if has_section || file_name(path) == "tuned.conf" {
        let name = path.rsplit('/').nth(1).unwrap_or_default().to_owned();
        return profile(place, &name, data, reading);
    }
    if file_name(path) == "tuned-main.conf" {
        let why = "how TuneD itself runs: left as it is";
        let said = file_name(path).to_owned();
        return Some(Part::Found(super::Found { place, said, action: Action::Told(Verdict::aside(why)) }));
    }
    match entries(&format!("[variables] \n{data}")) {
        Ok(entries) => {
            reading.idle += entries.len();
            reading.tuned.push(Profile { name: file_name(path).to_owned(), place, entries, is_file: true });
        }
        Err((line, why)) => reading.malformed(&place.line(line.saturating_sub(1)), &why),
    }
    None
}

/// A profile's text: known to the others from here on, read when all are.
fn profile(place: Place, name: &str, data: &str, reading: &mut Reading<'_>) -> Option<Part> {
    match entries(data) {
        Ok(entries) => {
            reading.tuned.push(Profile { name: name.to_owned(), place, entries, is_file: false });
            Some(Part::Tuned(reading.tuned.len() - 1))
        }
        Err((line, why)) => {
            reading.malformed(&place.line(line), &format!("{why}: a TuneD profile has only these"));
            None
        }
    }
}

/// Reads one of the profiles that are known.
pub(super) fn read(index: usize, reading: &mut Reading<'_>) {
    let Some(profile) = reading.tuned.get(index).cloned() else { return };
    for entry in &profile.entries {
        let place = profile.place.line(entry.line);
        let said = format!("[{}] {}={}", entry.section, entry.key, entry.value);
        match (entry.section.as_str(), entry.key.as_str()) {
            ("main" | "variables", "include") => included(&place, &said, entry, reading),
            ("main" | "variables", _) => reading.idle += 1,
            ("bootloader", key) if key.starts_with("cmdline") => command_line(&place, &said, entry, index, reading),
            _ => match expanded(&entry.value, index, &reading.tuned) {
                Ok(value) => section(&place, &said, &Entry { value, ..entry.clone() }, reading),
                Err(why) => reading.unclear(&place, &said, &why),
            },
        }
    }
}

/// What a profile builds on: another profile, or a file with variables.
fn included(place: &Place, said: &str, entry: &Entry, reading: &mut Reading<'_>) {
    for name in variables::names(&entry.value) {
        if reading.tuned.iter().any(|known| known.is(name)) {
            reading.idle += 1;
        } else if SHIPPED.contains(&name) {
            let why = "a profile that comes with the system and adds no kernel argument: left as it is";
            reading.found(place, said, Action::Told(Verdict::aside(why)));
        } else {
            let why = format!("{name} is not among the files given, so what it does is not told here: import it, too");
            reading.unclear(place, said, &why);
        }
    }
}

/// Kernel arguments, word by word: what is not known of one says nothing of the others. `+`, `-` and variables are TuneD's own.
fn command_line(place: &Place, said: &str, entry: &Entry, index: usize, reading: &mut Reading<'_>) {
    let value = entry.value.trim().trim_matches('"');
    if let Some(removed) = value.strip_prefix('-') {
        let why = format!("it takes {removed} away again");
        return reading.found(place, said, Action::Told(Verdict::aside(why)));
    }
    reading.begin_arguments();
    for word in variables::split(value.trim_start_matches('+')) {
        match expanded(&word, index, &reading.tuned) {
            Ok(text) => arguments::words(place, &text, reading),
            Err(why) => reading.unclear(place, &word, &why),
        }
    }
}

fn section(place: &Place, said: &str, entry: &Entry, reading: &mut Reading<'_>) {
    let value = entry.value.as_str();
    match entry.section.as_str() {
        "sysctl" => {
            let path = format!("/proc/sys/{}", entry.key.replace('.', "/"));
            reading.found(place, said, Action::Write { path, value: value.trim_matches('"').to_owned() });
        }
        "sysfs" => reading.found(place, said, Action::Write { path: entry.key.clone(), value: value.to_owned() }),
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
            reading.found(place, said, Action::Service { unit, verb });
        }
        "modules" => {
            let parameters: Vec<(&str, &str)> =
                value.trim_start_matches("+r").split_whitespace().filter_map(|word| word.split_once('=')).collect();
            if parameters.is_empty() {
                let load = Action::Load { module: entry.key.clone(), folder: None, parameters: Vec::new() };
                reading.found(place, said, load);
            }
            for (name, value) in parameters {
                arguments::module_parameter(place, said, (&entry.key, name, value), reading);
            }
        }
        "irqbalance" => reading.found(place, said, Action::IrqsAway),
        "scheduler" if entry.key == "isolated_cores" => {
            reading.found(place, said, Action::Isolate(value.to_owned()));
        }
        "cpu" | "vm" | "disk" | "net" | "scheduler" | "audio" | "video" | "usb" | "acpi" | "uncore" | "selinux" => {
            let why = "TuneD's own settings of the node: they go on as before";
            reading.found(place, said, Action::Told(Verdict::aside(why)));
        }
        "script" => reading.unclear(place, said, "import the script, too: what it does is not in the profile"),
        "bootloader" => reading.unclear(place, said, "this key of [bootloader] is not read here"),
        _ => reading.unclear(place, said, "this section of TuneD is not read here"),
    }
}
