//! Behind a vIOMMU: one address space for the devices of one IOMMU group of the host.
//!
//! QEMU gives every function behind a vIOMMU an address space of its own, and a group of the host only one: "group N used in multiple
//! address spaces" (QEMU 10, hw/vfio/container.c). What is behind a conventional bridge has one requester id, and so one address space
//! (QEMU 10, hw/pci/pci.c, pci_device_get_iommu_bus_devfn). So a group goes behind a bridge of its own.

use std::collections::BTreeMap;

use crate::base::PciAddress;
use crate::xml::{Document, Element};

use super::super::editor::{Editor, Why};
use super::super::pci::{address_element, devices, free_bus, guest_address, pci_controller_index, set_guest_address};
use super::super::request::Request;
use super::{Assigned, source_address};

/// Controllers whose bus is conventional PCI.
const CONVENTIONAL: [&str; 2] = ["pcie-to-pci-bridge", "pci-bridge"];

/// Whether two functions are in one IOMMU group of the host; without facts they are not known to be.
pub(super) fn share_group(request: &Request<'_>, one: PciAddress, other: PciAddress) -> bool {
    request.host.is_some_and(|host| host.group_mates(one).iter().any(|mate| mate.address == other))
}

/// Where a primary and the others of its group go, with the bridge that they need there: where it is asked to be, else where it is, else
/// on buses that libvirt will not use. None if that is refused.
pub(super) fn slot_behind_bridge(editor: &mut Editor<'_>, primary: &Assigned) -> Option<PciAddress> {
    let name = &primary.name;
    let there = guest_address(&editor.doc, primary.element).filter(|at| at.function() == 0 && at.slot() > 0);
    let slot = match (primary.settings.address, there) {
        (Some(asked), _) => {
            if let Err(problem) = fits(&editor.doc, primary, asked) {
                let instead = PciAddress::new(0, asked.bus, 1, 0).filter(|at| fits(&editor.doc, primary, *at).is_ok());
                let instead = instead.map_or_else(
                    || "ask for no address, or for slot 1 of a bus with nothing on it nor on the one before".to_owned(),
                    |instead| format!("ask for {instead}, or for no address"),
                );
                editor.refuse(format!(
                    "{}.address: behind a vIOMMU {name} and the others of its IOMMU group need a conventional bridge, and {problem}; {instead}",
                    primary.path
                ));
                return None;
            }
            asked
        }
        (None, Some(at)) if is_conventional(&editor.doc, at.bus) => at,
        // One bus for the root port, one for the bridge behind it.
        _ => match free_bus(&editor.doc).and_then(|bus| PciAddress::new(0, bus.checked_add(1)?, 1, 0)) {
            Some(slot) => slot,
            None => {
                editor.refuse(format!("{}: there are no two PCI buses left for {name} and its bridge", primary.path));
                return None;
            }
        },
    };
    let why = editor.why(
        &primary.path,
        format!("behind a vIOMMU {name} and the others of its IOMMU group need one address space, which a conventional bridge gives them"),
    );
    bridge(editor, slot.bus, &why);
    editor.note(format!(
        "{name} is behind a conventional bridge, for the vIOMMU's sake: the guest sees no extended config space of it (resizable BARs, error reporting)"
    ));
    Some(slot)
}

/// Whether a primary can be at an address on a conventional bus that is there or can be made; else why not.
fn fits(doc: &Document, primary: &Assigned, at: PciAddress) -> Result<(), String> {
    if at.function() != 0 {
        return Err(format!("{at} is not function 0"));
    }
    let model = model_of(doc, at.bus);
    match &model {
        Some(model) if !CONVENTIONAL.contains(&model.as_str()) => {
            return Err(format!("bus {:#04x} is that of a {model}", at.bus));
        }
        None if at.bus < 2 => return Err(format!("bus {:#04x} cannot be that of one", at.bus)),
        None if !is_free_port(doc, at.bus - 1, primary.element) => {
            return Err(format!(
                "bus {:#04x}, where that of bus {:#04x} would be plugged in, is taken",
                at.bus - 1,
                at.bus
            ));
        }
        _ => {}
    }
    if at.slot() == 0 {
        return Err(format!("{at} is slot 0, which no such bridge has"));
    }
    Ok(())
}

/// The model of the controller of a bus, if the domain names it.
fn model_of(doc: &Document, bus: u8) -> Option<String> {
    let controller = devices(doc).find(|device| pci_controller_index(doc, *device) == Some(u32::from(bus)))?;
    doc.attribute(controller, "model").map(|model| model.into_owned())
}

fn is_conventional(doc: &Document, bus: u8) -> bool {
    model_of(doc, bus).is_some_and(|model| CONVENTIONAL.contains(&model.as_str()))
}

/// Whether a bus is, or will be, a root port on which nothing sits but what is about to leave it.
fn is_free_port(doc: &Document, bus: u8, leaving: Element) -> bool {
    let port = model_of(doc, bus).is_none_or(|model| model == "pcie-root-port");
    port && !devices(doc)
        .filter(|device| *device != leaving)
        .filter_map(|device| guest_address(doc, device))
        .any(|at| at.bus == bus)
}

/// The bridge of a bus. It sits on the bus before, so that the guest, which numbers buses in depth, finds the same numbers.
fn bridge(editor: &mut Editor<'_>, bus: u8, why: &Why) {
    let doc = &editor.doc;
    let controllers: Vec<Element> =
        devices(doc).filter(|device| pci_controller_index(doc, *device).is_some()).collect();
    let there = controllers.iter().find(|device| pci_controller_index(doc, **device) == Some(u32::from(bus)));
    let controller = match there {
        Some(there) if address_element(doc, *there).is_some() => return,
        Some(there) => *there,
        None => {
            let parent = editor.devices(why);
            let controller = match controllers.last() {
                Some(last) => editor.add_after(*last, "controller", why),
                None => editor.add(parent, "controller", why),
            };
            editor.set(controller, "type", "pci", why);
            editor.set(controller, "index", &bus.to_string(), why);
            editor.set(controller, "model", "pcie-to-pci-bridge", why);
            controller
        }
    };
    let port = bus.checked_sub(1).filter(|port| *port > 0 && is_free_port(&editor.doc, *port, controller));
    if let Some(at) = port.and_then(|port| PciAddress::new(0, port, 0, 0)) {
        set_guest_address(editor, controller, at, why);
    }
}

/// Refuses what QEMU would refuse when the VM starts: devices of one group of the host in several address spaces.
pub(in crate::domain) fn one_space_each(editor: &mut Editor<'_>, request: &Request<'_>) {
    // A refused place is the reason already.
    let Some(host) = request.host.filter(|_| editor.problems.is_empty()) else { return };
    let mut groups: BTreeMap<u32, Vec<Element>> = BTreeMap::new();
    for device in devices(&editor.doc) {
        let facts = source_address(&editor.doc, device).and_then(|source| host.pci.get(&source));
        if let Some(group) = facts.and_then(|facts| facts.iommu_group) {
            groups.entry(group).or_default().push(device);
        }
    }
    for (group, members) in groups {
        let bus = |device: &Element| guest_address(&editor.doc, *device).map(|at| at.bus);
        let [first, rest @ ..] = members.as_slice() else { continue };
        let shared = bus(first).filter(|bus| is_conventional(&editor.doc, *bus));
        let Some(other) = rest.iter().find(|other| shared.is_none() || bus(other) != shared) else { continue };
        let (first, other) = (editor.place(*first), editor.place(*other));
        editor.refuse(format!(
            "{first} and {other} are of IOMMU group {group} of the host, and QEMU starts no VM in which these have an address space each behind a \
             vIOMMU; ask for companions: auto on one of them and no address on the other, or for no vIOMMU"
        ));
    }
}
