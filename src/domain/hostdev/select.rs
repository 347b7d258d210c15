//! Which device an item means, by the shape of its selector.

use crate::config::DeviceSelector;

use super::super::editor::Editor;
use super::super::request::Request;
use super::{Assigned, Kind, assigned};

/// KubeVirt's alias prefixes for host devices (KubeVirt 1.9, pkg/virt-launcher/virtwrap/device/hostdevice).
const PREFIXES: [&str; 6] =
    ["ua-gpu-", "ua-hostdevice-", "ua-sriov-", "ua-dra-gpu-", "ua-dra-hostdevice-", "ua-usb-host-"];

/// Every assigned device of the domain with the settings of the item that selects it.
pub(in crate::domain) fn select(editor: &mut Editor<'_>, request: &Request<'_>) -> Vec<Assigned> {
    let mut all = assigned(&editor.doc);
    for item in &request.profile.spec.host_devices {
        let path = format!("hostDevices[{}]", item.device);
        let found = match find(&all, &item.device, request) {
            Found::Here(found) => found,
            Found::Later(note) => {
                editor.note(format!("{path}: {note}"));
                continue;
            }
            Found::Refused(problem) => {
                editor.refuse(format!("{path}: {problem}"));
                continue;
            }
        };
        if found.len() > 1 {
            for (field, set) in [
                ("address", item.address.is_some()),
                ("functions", !item.functions.is_empty()),
                ("bootOrder", item.boot_order.is_some()),
                ("acpiIndex", item.acpi_index.is_some()),
            ] {
                if set {
                    let names: Vec<&str> = found.iter().map(|i| all[*i].name.as_str()).collect();
                    editor.refuse(format!(
                        "{path}.{field}: these ids are those of {} devices ({}), which cannot all have it; select one by alias",
                        names.len(),
                        names.join(", ")
                    ));
                }
            }
        }
        for index in found {
            let device = &mut all[index];
            if device.selected {
                editor.refuse(format!("{path}: {} selects {} too; put both items into one", device.path, device.name));
                continue;
            }
            device.selected = true;
            device.path.clone_from(&path);
            device.settings = item.clone();
        }
    }
    all
}

/// The outcome of looking for a device.
pub(super) enum Found {
    /// Indexes of the devices.
    Here(Vec<usize>),
    /// Not in this XML, but to be expected later.
    Later(String),
    /// Nowhere.
    Refused(String),
}

/// Looks for a device.
pub(super) fn find(all: &[Assigned], selector: &DeviceSelector, request: &Request<'_>) -> Found {
    let hits: Vec<usize> = match selector {
        DeviceSelector::Host(address) => positions(all, |device| device.source == Some(*address)),
        DeviceSelector::Alias(alias) => positions(all, |device| device.name == *alias),
        DeviceSelector::Name(name) => positions(all, |device| is_named(&device.name, name)),
        DeviceSelector::Ids { vendor, device } => {
            let Some(host) = request.host else {
                let hint = "ids need facts about the host: pass --host-root, or use the KubeVirt name, the alias or the host address";
                return Found::Refused(hint.to_owned());
            };
            positions(all, |candidate| {
                let facts = candidate.source.and_then(|source| host.pci.get(&source));
                facts.is_some_and(|facts| (facts.vendor, facts.device) == (*vendor, *device))
            })
        }
    };
    match (hits.as_slice(), selector) {
        ([], _) => nowhere(all, selector, request),
        ([_, _, ..], DeviceSelector::Name(_)) => {
            let names: Vec<&str> = hits.iter().map(|i| all[*i].name.as_str()).collect();
            Found::Refused(format!("the name means {} devices; give the alias: {}", hits.len(), names.join(" or ")))
        }
        ([first, second, ..], DeviceSelector::Host(_)) => Found::Refused(format!(
            "{} and {} are both this host device; it can be assigned once",
            all[*first].name, all[*second].name
        )),
        ([_, _, ..], DeviceSelector::Alias(_)) => {
            Found::Refused(format!("{} devices have this alias; each needs its own", hits.len()))
        }
        _ => Found::Here(hits),
    }
}

fn positions(all: &[Assigned], matches: impl Fn(&Assigned) -> bool) -> Vec<usize> {
    all.iter().enumerate().filter(|(_, device)| matches(device)).map(|(i, _)| i).collect()
}

fn is_named(alias: &str, name: &str) -> bool {
    PREFIXES.iter().any(|prefix| alias.strip_prefix(prefix) == Some(name))
}

/// A device that is not in the XML: expected later if the VMI names it, else a mistake.
fn nowhere(all: &[Assigned], selector: &DeviceSelector, request: &Request<'_>) -> Found {
    let requested = request.vm.map_or(&[][..], |vm| vm.devices.as_slice());
    let expected = requested.iter().any(|device| match selector {
        DeviceSelector::Name(name) => device.name == *name,
        DeviceSelector::Alias(alias) => device.aliases.contains(alias),
        DeviceSelector::Host(_) | DeviceSelector::Ids { .. } => false,
    });
    if expected {
        return Found::Later(
            "the VM requests this device, but the domain has none yet (hot-plug or migration); nothing is set"
                .to_owned(),
        );
    }
    let mut names: Vec<String> = all.iter().filter(|device| device.kind != Kind::Other).map(label).collect();
    names.extend(
        requested.iter().map(|device| device.name.clone()).filter(|name| !all.iter().any(|a| is_named(&a.name, name))),
    );
    names.dedup();
    let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let near = crate::base::did_you_mean(&selector.to_string(), names.iter().map(String::as_str));
    Found::Refused(format!("no such device in the domain{near} (host devices there are: {there})"))
}

/// A device as one may select it: its KubeVirt name, else its alias or address.
fn label(device: &Assigned) -> String {
    PREFIXES.iter().find_map(|prefix| device.name.strip_prefix(prefix)).unwrap_or(&device.name).to_owned()
}
