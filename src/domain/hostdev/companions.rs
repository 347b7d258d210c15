//! Companions: the other endpoints of an assigned device's IOMMU group.
//!
//! One device-plugin id stands for a whole group; its group node is in the container already. So the endpoints that nobody
//! requested are added as host devices, and those that were requested separately are arranged around the primary.

use crate::base::PciAddress;
use crate::host::{HostFacts, PciFunction};
use crate::xml::Element;

use super::super::editor::Editor;
use super::super::pci::write_address;
use super::super::request::Request;
use super::Assigned;
use super::placement::{Mate, wants_companions};
use super::settings::alias_for;

/// Adds and numbers the companions of every device that asks for them: (index of the primary, its mates).
pub(in crate::domain) fn add_companions(
    editor: &mut Editor<'_>,
    all: &[Assigned],
    request: &Request<'_>,
    has_iommu: bool,
) -> Vec<(usize, Vec<Mate>)> {
    let mut out = Vec::new();
    let mut claimed = Vec::new();
    for (index, primary) in all.iter().enumerate().filter(|(_, device)| wants_companions(device)) {
        let (Some(host), Some(source)) = (request.host, primary.source) else {
            if primary.source.is_some() {
                editor.note(format!(
                    "{}.companions: without facts about the host (--host-root) the IOMMU group is not known; none is added",
                    primary.path
                ));
            } else {
                editor.note(format!("{}.companions: {} is no PCI device, so it has none", primary.path, primary.name));
            }
            continue;
        };
        if !host.pci.contains_key(&source) {
            editor.note(format!("{}.companions: the host has no device {source}; none is added", primary.path));
            continue;
        }
        let mates = mates(
            editor,
            all,
            &Unit { primary, source, host, lock: !has_iommu || !request.session() || request.lock_confirmed },
            &mut claimed,
        );
        if !mates.is_empty() {
            out.push((index, mates));
        }
    }
    out
}

/// A device whose companions are looked for.
struct Unit<'a> {
    primary: &'a Assigned,
    source: PciAddress,
    host: &'a HostFacts,
    /// Whether the guest's memory may be locked for devices that nobody requested.
    lock: bool,
}

fn mates(editor: &mut Editor<'_>, all: &[Assigned], unit: &Unit<'_>, claimed: &mut Vec<PciAddress>) -> Vec<Mate> {
    let Unit { primary, source, host, lock } = *unit;
    let mut taken: Vec<u8> = vec![0];
    taken.extend(primary.settings.functions.values());
    let mut found = Vec::new();
    for facts in host.group_mates(source).into_iter().filter(|facts| !facts.is_bridge()) {
        // Another device of the group that asks for companions came first.
        if claimed.contains(&facts.address) {
            continue;
        }
        match all.iter().find(|device| device.source == Some(facts.address)) {
            Some(device) if wants_companions(device) => {
                editor.note(format!(
                    "{}.companions: {} of the same IOMMU group asks for companions too, so it stays in a slot of its own",
                    primary.path, device.name
                ));
            }
            Some(device) => {
                let placed = device.settings.address.is_some() || named_somewhere(all, device);
                // One that we added in an earlier pass is in the XML like a requested one.
                if !placed {
                    found.push((facts, Some(device.element)));
                }
            }
            None if !facts.vfio => {
                let driver =
                    facts.driver.as_deref().map_or("no driver".to_owned(), |driver| format!("the driver {driver}"));
                editor.note(format!(
                    "{}.companions: {} of the same IOMMU group has {driver}, not a VFIO driver; it is left out",
                    primary.path, facts.address
                ));
            }
            None if !lock => {
                editor.note(format!(
                    "{}.companions: {} is left out: behind a vIOMMU libvirt locks the guest's memory once more for it, KubeVirt \
                     grants that only for requested devices, and no agent has confirmed more",
                    primary.path, facts.address
                ));
            }
            None => found.push((facts, None)),
        }
    }
    // Those that keep their number come first; beyond that the order is that of the host addresses, whoever is in the XML
    // already, so that every pass gives the same numbers.
    found.sort_by_key(|(facts, _)| (!facts.address.same_slot(source), facts.address));
    let mut out = Vec::new();
    let mut last = primary.element;
    for (facts, element) in found {
        let Some(function) = function_for(facts, source, &taken) else {
            editor.refuse(format!(
                "{}.companions: the IOMMU group of {source} has more endpoints than the 8 functions of a slot; request them one by one",
                primary.path
            ));
            break;
        };
        taken.push(function);
        claimed.push(facts.address);
        let element = element.unwrap_or_else(|| {
            last = add(editor, primary, last, facts.address);
            last
        });
        out.push(Mate { element, function });
    }
    out
}

/// Whether some item's `functions` places this device already.
fn named_somewhere(all: &[Assigned], device: &Assigned) -> bool {
    let is_it = |name: &String| device.name == *name || device.name.ends_with(&format!("-{name}"));
    all.iter().any(|other| other.settings.functions.keys().any(is_it))
}

/// The function number of a companion: its own if it comes from the slot of the primary on the host, else the lowest free one.
fn function_for(facts: &PciFunction, source: PciAddress, taken: &[u8]) -> Option<u8> {
    let own = facts.address.function();
    if facts.address.same_slot(source) && !taken.contains(&own) {
        return Some(own);
    }
    (1..8).find(|function| !taken.contains(function))
}

fn add(editor: &mut Editor<'_>, primary: &Assigned, after: Element, source: PciAddress) -> Element {
    let why = editor.why(
        &format!("{}.companions", primary.path),
        format!("{source} is in the IOMMU group of {}, whose device node the container already has", primary.name),
    );
    let element = editor.add_after(after, "hostdev", &why);
    editor.set(element, "mode", "subsystem", &why);
    editor.set(element, "type", "pci", &why);
    editor.set(element, "managed", "no", &why);
    let source_element = editor.add(element, "source", &why);
    let address = editor.add(source_element, "address", &why);
    write_address(editor, address, source, &why);
    let tag = editor.add(element, "alias", &why);
    editor.set(tag, "name", &alias_for(source), &why);
    element
}
