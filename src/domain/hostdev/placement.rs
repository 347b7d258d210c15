//! Several functions in one guest slot: requested functions and companions around a primary.

use crate::base::PciAddress;
use crate::config::{AutoOff, DeviceSelector};

use super::super::editor::Editor;
use super::super::pci::{free_bus, guest_address, note_high_bus, set_guest_address};
use super::super::request::Request;
use super::super::units::Machine;
use super::select::{Found, find};
use super::spaces::{share_group, slot_behind_bridge};
use super::{Assigned, Kind};

/// Puts the functions of each group into the slot of its primary: those the profile names, then `mates` (requested devices of the
/// same IOMMU group and companions, already numbered), function 0 first. Those of one IOMMU group need more than a slot behind a vIOMMU.
pub(in crate::domain) fn place_functions(
    editor: &mut Editor<'_>,
    all: &[Assigned],
    request: &Request<'_>,
    mates: &[(usize, Vec<Mate>)],
    has_iommu: bool,
) {
    let mut taken: Vec<(usize, String)> = Vec::new();
    for (index, primary) in all.iter().enumerate().filter(|(_, device)| device.selected) {
        let named = named_functions(editor, all, index, request, &mut taken);
        let mates = mates.iter().find(|(of, _)| *of == index).map_or(&[][..], |(_, mates)| mates);
        if named.is_empty() && mates.is_empty() {
            continue;
        }
        let one_group =
            !mates.is_empty() || named.iter().any(|(element, ..)| of_its_group(all, primary, *element, request));
        let slot = match has_iommu && one_group {
            true => slot_behind_bridge(editor, primary),
            false => slot_of(editor, primary),
        };
        let Some(slot) = slot else { continue };
        let name = &primary.name;
        let why = editor
            .why(&primary.path, format!("function 0 of the guest slot that {name} shares with its other functions"));
        set_guest_address(editor, primary.element, slot, &why);
        for (element, function, path) in named {
            let Some(at) = slot.with_function(function) else { continue };
            let why = editor.why(&path, format!("function {function} of the guest slot of {name}"));
            set_guest_address(editor, element, at, &why);
        }
        for mate in mates {
            let Some(at) = slot.with_function(mate.function) else { continue };
            let path = format!("{}.companions", primary.path);
            let why = editor.why(&path, format!("of the IOMMU group of {name}, so a function of its guest slot"));
            set_guest_address(editor, mate.element, at, &why);
        }
        note_high_bus(editor, name, slot);
    }
}

/// A device that shares the guest slot of a primary without being named in `functions`.
#[derive(Debug, Clone)]
pub(in crate::domain) struct Mate {
    pub(in crate::domain) element: crate::xml::Element,
    pub(in crate::domain) function: u8,
}

/// The devices that `functions` names: element, function number, path. `taken` are those that were named before.
fn named_functions(
    editor: &mut Editor<'_>,
    all: &[Assigned],
    primary: usize,
    request: &Request<'_>,
    taken: &mut Vec<(usize, String)>,
) -> Vec<(crate::xml::Element, u8, String)> {
    let mut out = Vec::new();
    for (name, function) in &all[primary].settings.functions {
        let path = format!("{}.functions.{name}", all[primary].path);
        let Ok(selector) = name.parse::<DeviceSelector>() else {
            editor.refuse(format!("{path}: this is no device name"));
            continue;
        };
        match find(all, &selector, request) {
            Found::Here(found) => {
                for index in found {
                    let device = &all[index];
                    if index == primary {
                        editor.refuse(format!("{path}: {} cannot be a function of itself", device.name));
                    } else if device.settings.address.is_some() {
                        editor.refuse(format!(
                            "{path}: {} has an address of its own in {}; leave out one of the two",
                            device.name, device.path
                        ));
                    } else if !matches!(device.kind, Kind::Pci | Kind::Mdev) {
                        editor
                            .refuse(format!("{path}: {} is no PCI device, so it has no function number", device.name));
                    } else if let Some((_, other)) = taken.iter().find(|(known, _)| *known == index) {
                        editor.refuse(format!(
                            "{path}: {other} places {} already; leave out one of the two",
                            device.name
                        ));
                    } else {
                        taken.push((index, path.clone()));
                        out.push((device.element, *function, path.clone()));
                    }
                }
            }
            Found::Later(note) => editor.note(format!("{path}: {note}")),
            Found::Refused(problem) => editor.refuse(format!("{path}: {problem}")),
        }
    }
    out
}

/// Whether a device is of the primary's IOMMU group on the host.
fn of_its_group(all: &[Assigned], primary: &Assigned, element: crate::xml::Element, request: &Request<'_>) -> bool {
    let source = all.iter().find(|device| device.element == element).and_then(|device| device.source);
    primary.source.zip(source).is_some_and(|(one, other)| share_group(request, one, other))
}

/// Where the primary goes: where it is asked to be, else where it is, else on a bus that libvirt will not use.
fn slot_of(editor: &mut Editor<'_>, primary: &Assigned) -> Option<PciAddress> {
    if let Some(asked) = primary.settings.address.or_else(|| guest_address(&editor.doc, primary.element)) {
        if asked.function() != 0 {
            editor.refuse(format!(
                "{}: {} is at {asked}; the device that others share a slot with must be function 0",
                primary.path, primary.name
            ));
            return None;
        }
        return Some(asked);
    }
    let bus = free_bus(&editor.doc);
    if bus.is_none() {
        editor.refuse(format!("{}: there is no PCI bus left for {} and its functions", primary.path, primary.name));
    }
    // Without PCI Express libvirt puts a bridge there, whose slot 0 is taken.
    let slot = u8::from(Machine::of(&editor.doc) == Machine::I440fx);
    PciAddress::new(0, bus?, slot, 0)
}

/// Whether a device asks for its companions.
pub(super) fn wants_companions(device: &Assigned) -> bool {
    device.selected && device.settings.companions == Some(AutoOff::Auto)
}
