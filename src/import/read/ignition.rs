//! Ignition 2.x and 3.x, bare, in a MachineConfig, or as Butane: files, units, kernel arguments.
//!
//! Sources: coreos.github.io/ignition configuration-v2_2 to v3_5, coreos.github.io/butane config-openshift and config-fcos.

use crate::config::tree::{Node, Value};
use crate::import::action::{Action, Found};
use crate::import::place::Place;
use crate::import::verdict::Verdict;

use super::documents::{at, fields, items, text, texts, yes};
use super::unit::Unit;
use super::{Part, Reading, contents, kind, text_part};

/// A MachineConfig.
pub(super) fn machine_config(node: &Node, place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    let Some(spec) = node.get("spec") else {
        reading.malformed(&at(node, place), "a MachineConfig without spec: it has config and kernelArguments there");
        return Vec::new();
    };
    let mut parts = vec![Part::Arguments(texts(spec, "kernelArguments", place))];
    for (field, place, node) in fields(Some(spec), place) {
        let why = match field.as_str() {
            "config" | "kernelArguments" | "osImageURL" | "baseOSExtensionsContainerImage" => continue,
            "kernelType" => "another kernel is booted: no device or VM needs it, hard real time may",
            "extensions" => {
                "packages of the node's system: what VMs need of them is said by their modules and services"
            }
            "fips" => "it is about the node's cryptography",
            _ => {
                parts.push(told(place, &field, Verdict::unclear("this field of a MachineConfig is not read here")));
                continue;
            }
        };
        let said = format!("{field}: {}", super::documents::told(node));
        let verdict = if field == "kernelType" { Verdict::stays(why) } else { Verdict::aside(why) };
        parts.push(told(place, &said, verdict));
    }
    if let Some(config) = spec.get("config").filter(|config| config.value != Value::Null) {
        parts.extend(self::config(config, place, reading));
    }
    parts
}

fn told(place: Place, said: &str, verdict: Verdict) -> Part {
    Part::Found(Found { place, said: said.to_owned(), action: Action::Told(verdict) })
}

/// Butane: the same with sugar.
pub(super) fn butane(node: &Node, place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    let mut parts = Vec::new();
    if let Some(openshift) = node.get("openshift") {
        parts.push(Part::Arguments(texts(openshift, "kernel_arguments", place)));
        if let Some(kernel) = text(openshift, "kernel_type").filter(|kernel| kernel != "default") {
            let why = "another kernel is booted: no device or VM needs it, hard real time may";
            parts.push(told(at(openshift, place), &format!("kernel_type: {kernel}"), Verdict::stays(why)));
        }
    }
    if let Some(kernel) = node.get("kernel_arguments") {
        parts.push(Part::Arguments(texts(kernel, "should_exist", place)));
    }
    parts.extend(body(node, place, reading));
    parts
}

/// Ignition.
pub(super) fn config(node: &Node, place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    let version = node.get("ignition").and_then(|ignition| text(ignition, "version"));
    match version.as_deref() {
        Some(version) if version.starts_with("2.") || version.starts_with("3.") => {}
        Some(other) => {
            let what = format!("Ignition {other:?} is not known here: versions 2 and 3 are read");
            reading.malformed(&at(node, place), &what);
            return Vec::new();
        }
        // A MachineConfig that only adds units has sometimes none.
        None => {}
    }
    let mut parts = Vec::new();
    if let Some(kernel) = node.get("kernelArguments") {
        parts.push(Part::Arguments(texts(kernel, "shouldExist", place)));
    }
    parts.extend(body(node, place, reading));
    parts
}

fn body(node: &Node, place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    let mut parts = Vec::new();
    let storage = node.get("storage");
    for file in storage.map(|storage| items(storage, "files")).unwrap_or_default() {
        parts.extend(self::file(file, place, reading));
    }
    for (field, place, node) in fields(storage, place) {
        if field != "files" && !super::documents::told(node).is_empty() {
            let said = format!("storage.{field}");
            parts.push(told(
                place,
                &said,
                Verdict::aside("disks, folders and links are the node's own: left as they are"),
            ));
        }
    }
    for unit in node.get("systemd").map(|systemd| items(systemd, "units")).unwrap_or_default() {
        parts.extend(self::unit(unit, place, reading));
    }
    parts
}

fn file(node: &Node, place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    let here = at(node, place);
    let Some(path) = text(node, "path") else {
        reading.malformed(&here, "a file without path: say where the node has it");
        return Vec::new();
    };
    let place = here.inside(&path);
    let mut all: Vec<&Node> = node.get("contents").into_iter().collect();
    all.extend(items(node, "append"));
    let mut out = Vec::new();
    for contents in all {
        let compression = text(contents, "compression");
        let content = match (text(contents, "inline"), text(contents, "source"), text(contents, "local")) {
            (Some(inline), ..) => Ok(inline),
            (_, Some(source), _) => contents::text(&source, compression.as_deref()),
            (.., Some(local)) => {
                let why = format!("it is in the file {local}: import that file, too");
                out.push(told(place.clone(), &path, Verdict::unclear(why)));
                continue;
            }
            _ => continue,
        };
        match content {
            Ok(content) => out.push(embedded(&place, &path, content, reading)),
            Err(why) => reading.malformed(&place, &why),
        }
    }
    out
}

/// A file that is embedded; one whose folder says nothing prepares nothing.
fn embedded(place: &Place, path: &str, content: String, reading: &mut Reading<'_>) -> Part {
    if kind::of(path, &content) == kind::Kind::Unknown {
        return told(place.clone(), path, Verdict::unclear("this is no kind of file that is known here"));
    }
    text_part(place.clone(), path.to_owned(), content, reading)
}

fn unit(node: &Node, place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    let here = at(node, place);
    let Some(name) = text(node, "name") else {
        reading.malformed(&here, "a unit without name: write its name with its kind, e.g. x.service");
        return Vec::new();
    };
    let mut parts = Vec::new();
    let mut add = |place: Place, content: &str, reading: &mut Reading<'_>| match Unit::parse(&name, content) {
        Ok(unit) => parts.push(Part::Unit { place, unit }),
        Err((line, why)) => reading.malformed(&place.line(line), &why),
    };
    let content = text(node, "contents");
    if let Some(content) = content.as_deref().filter(|content| !content.trim().is_empty()) {
        let mut place = here.inside(&name);
        if node.get("enabled").is_some() && !yes(node, "enabled") {
            place = here.inside(&format!("{name} (not enabled)"));
        }
        add(place, content, reading);
    }
    for dropin in items(node, "dropins") {
        let file = text(dropin, "name").unwrap_or_default();
        let content = text(dropin, "contents").unwrap_or_default();
        add(at(dropin, place).inside(&format!("{name}.d/{file}")), &content, reading);
    }
    let verb = if yes(node, "mask") {
        Some(("mask: true", crate::import::action::ServiceVerb::Mask))
    } else if node.get("enabled").is_some() && !yes(node, "enabled") && content.is_none() {
        Some(("enabled: false", crate::import::action::ServiceVerb::Disable))
    } else {
        None
    };
    if let Some((how, verb)) = verb {
        let action = Action::Service { unit: name.clone(), verb };
        parts.push(Part::Found(Found { place: here, said: format!("{name} {how}"), action }));
    } else if content.is_none() && yes(node, "enabled") {
        let why = "the service starts at boot, as before";
        parts.push(told(here, &format!("{name} enabled: true"), Verdict::aside(why)));
    }
    parts
}
