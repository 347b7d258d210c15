//! Ignition 2.x and 3.x, bare, in a MachineConfig, or as Butane: files, units, kernel arguments.
//!
//! Sources: coreos.github.io/ignition configuration-v2_2 to v3_5, coreos.github.io/butane config-openshift and config-fcos.

use crate::config::tree::Node;
use crate::import::action::{Action, Found, ServiceVerb};
use crate::import::place::Place;
use crate::import::verdict::Verdict;

use super::documents::{at, fields, is_empty, items, map, text, texts};
use super::{Part, Reading, embedded};

const KERNEL: &str = "another kernel is booted: no device or VM needs it, hard real time may";
const PACKAGES: &str = "packages of the node's system: what VMs need of them is said by their modules and services";
const FIPS: &str = "it is about the node's cryptography";

/// A MachineConfig.
pub(super) fn machine_config(node: &Node, place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    let Some(spec) = map(node, "spec", place, reading) else {
        reading.malformed(&at(node, place), "a MachineConfig without spec: it has config and kernelArguments there");
        return Vec::new();
    };
    let mut parts = vec![Part::Arguments(texts(spec, "kernelArguments", place, reading))];
    for (field, place, node) in fields(Some(spec), place) {
        let why = match field.as_str() {
            "config" | "kernelArguments" | "osImageURL" | "baseOSExtensionsContainerImage" => continue,
            "kernelType" => KERNEL,
            "extensions" => PACKAGES,
            "fips" => FIPS,
            _ => {
                parts.push(told(place, &field, Verdict::unclear("this field of a MachineConfig is not read here")));
                continue;
            }
        };
        let said = format!("{field}: {}", super::documents::told(node));
        let verdict = if field == "kernelType" { Verdict::stays(why) } else { Verdict::aside(why) };
        parts.push(told(place, &said, verdict));
    }
    if let Some(config) = map(spec, "config", place, reading) {
        parts.extend(self::config(config, place, reading));
    }
    parts
}

/// Something that is told and not followed any further.
pub(super) fn told(place: Place, said: &str, verdict: Verdict) -> Part {
    Part::Found(Found { place, said: said.to_owned(), action: Action::Told(verdict) })
}

/// The fields that nobody reads: told by their names, so that none is dropped.
pub(super) fn rest(node: Option<&Node>, place: &Place, within: &str, known: &[&str]) -> Vec<Part> {
    fields(node, place)
        .into_iter()
        .filter(|(field, _, node)| !known.contains(&field.as_str()) && !is_empty(node))
        .map(|(field, place, _)| {
            told(place, &format!("{within}{field}"), Verdict::unclear("this field is not read here"))
        })
        .collect()
}

/// The same where there are no parts to be read later.
pub(super) fn tell_rest(node: Option<&Node>, place: &Place, within: &str, known: &[&str], reading: &mut Reading<'_>) {
    for part in rest(node, place, within, known) {
        if let Part::Found(found) = part {
            reading.found(&found.place, &found.said, found.action);
        }
    }
}

/// Butane: the same with sugar.
pub(super) fn butane(node: &Node, place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    let mut parts = Vec::new();
    if let Some(openshift) = map(node, "openshift", place, reading) {
        parts.push(Part::Arguments(texts(openshift, "kernel_arguments", place, reading)));
        for (field, place, node) in fields(Some(openshift), place) {
            let verdict = match field.as_str() {
                "kernel_type" if super::documents::told(node) != "default" => Verdict::stays(KERNEL),
                "extensions" if !is_empty(node) => Verdict::aside(PACKAGES),
                "fips" => Verdict::aside(FIPS),
                _ => continue,
            };
            parts.push(told(place, &format!("{field}: {}", super::documents::told(node)), verdict));
        }
        let known = ["kernel_arguments", "kernel_type", "extensions", "fips"];
        parts.extend(rest(Some(openshift), place, "openshift.", &known));
    }
    let kernel = map(node, "kernel_arguments", place, reading);
    parts.extend(arguments(kernel, ["should_exist", "should_not_exist"], place, reading));
    parts.extend(body(node, &["variant", "version", "metadata", "openshift", "kernel_arguments"], place, reading));
    parts
}

/// Kernel arguments that are to be there, and such that are not.
fn arguments(node: Option<&Node>, names: [&str; 2], place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    let Some(node) = node else { return Vec::new() };
    let [there, away] = names;
    let mut parts = vec![Part::Arguments(texts(node, there, place, reading))];
    for (place, argument) in texts(node, away, place, reading) {
        let why = format!("it takes {argument} away again");
        parts.push(told(place, &format!("{away}: {argument}"), Verdict::aside(why)));
    }
    parts.extend(rest(Some(node), place, "kernel arguments: ", &names));
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
    let kernel = map(node, "kernelArguments", place, reading);
    let mut parts = arguments(kernel, ["shouldExist", "shouldNotExist"], place, reading);
    parts.extend(body(node, &["kernelArguments"], place, reading));
    parts
}

/// What Ignition and Butane have alike. `read`: the fields that the caller has seen to.
fn body(node: &Node, read: &[&str], place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    let mut parts = Vec::new();
    if let Some(ignition) = map(node, "ignition", place, reading) {
        parts.extend(self::ignition(ignition, place));
    }
    if let Some(storage) = map(node, "storage", place, reading) {
        parts.extend(self::storage(storage, place, reading));
    }
    if let Some(systemd) = map(node, "systemd", place, reading) {
        for unit in items(systemd, "units", place, reading) {
            parts.extend(embedded::unit(unit, place, reading));
        }
        parts.extend(rest(Some(systemd), place, "systemd.", &["units"]));
    }
    for (field, place, node) in fields(Some(node), place) {
        let verdict = match field.as_str() {
            "ignition" | "storage" | "systemd" => continue,
            field if read.contains(&field) || is_empty(node) => continue,
            "passwd" => Verdict::aside("users of the node: left as they are"),
            "boot_device" | "grub" => Verdict::aside("how the node boots: left as it is"),
            // systemd.link(5), systemd.network(5).
            "networkd" => Verdict::unclear(
                "units of systemd-networkd are not read here: where one has a section [SR-IOV], it is about virtual functions",
            ),
            _ => Verdict::unclear("this field is not read here"),
        };
        parts.push(told(place, &field, verdict));
    }
    parts
}

/// What Ignition is told of itself; the configs it takes in are files of their own.
fn ignition(node: &Node, place: &Place) -> Vec<Part> {
    let mut parts = Vec::new();
    for (field, place, node) in fields(Some(node), place).into_iter().filter(|(_, _, node)| !is_empty(node)) {
        match field.as_str() {
            "version" => {}
            "config" => {
                for (field, place, _) in fields(Some(node), &place).into_iter().filter(|(_, _, node)| !is_empty(node)) {
                    let why = "it takes in another config: import that one, too";
                    parts.push(told(place, &format!("ignition.config.{field}"), Verdict::unclear(why)));
                }
            }
            "timeouts" | "security" | "proxy" => {
                let why = "how the node fetches its files: left as it is";
                parts.push(told(place, &format!("ignition.{field}"), Verdict::aside(why)));
            }
            _ => {
                parts.push(told(place, &format!("ignition.{field}"), Verdict::unclear("this field is not read here")));
            }
        }
    }
    parts
}

fn storage(node: &Node, place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    const OWN: [&str; 6] = ["disks", "raid", "filesystems", "directories", "links", "luks"];
    let mut parts = Vec::new();
    for file in items(node, "files", place, reading) {
        parts.extend(embedded::file(file, place, reading));
    }
    for tree in items(node, "trees", place, reading) {
        let folder = super::documents::told(tree.get("local").unwrap_or(tree));
        if let Some(files) = embedded::tree(tree, &folder, place, reading) {
            parts.extend(files);
            continue;
        }
        let why = format!("it is in the folder {folder}: import that folder, too");
        parts.push(told(at(tree, place), &format!("storage.trees: {folder}"), Verdict::unclear(why)));
    }
    for link in items(node, "links", place, reading) {
        let (path, target) = (text(link, "path").unwrap_or_default(), text(link, "target").unwrap_or_default());
        // systemd.unit(5): a unit that is a link to /dev/null is masked.
        let unit =
            path.strip_prefix("/etc/systemd/system/").filter(|unit| target == "/dev/null" && !unit.contains('/'));
        if let Some(unit) = unit {
            let action = Action::Service { unit: unit.to_owned(), verb: ServiceVerb::Mask };
            parts.push(Part::Found(Found { place: at(link, place), said: format!("{path} -> {target}"), action }));
        }
    }
    for (field, place, node) in fields(Some(node), place) {
        if OWN.contains(&field.as_str()) && !is_empty(node) {
            let why = "disks, folders and links are the node's own: left as they are";
            parts.push(told(place, &format!("storage.{field}"), Verdict::aside(why)));
        }
    }
    let known: Vec<&str> = OWN.into_iter().chain(["files", "trees"]).collect();
    parts.extend(rest(Some(node), place, "storage.", &known));
    parts
}
