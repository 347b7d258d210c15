//! PCI addresses and controllers (libvirt docs/pci-addresses.rst).

use std::collections::{HashMap, HashSet};

use crate::base::PciAddress;
use crate::xml::{Document, Element};

use super::super::hostdev::kind;
use super::super::pci::{address_element, devices, guest_address, pci_controller_index, read_address};
use super::super::units::Machine;
use super::{Findings, doubles};

pub(super) fn check(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    let machine = Machine::of(doc);
    let models = controllers(findings, machine);
    let mut placed = Vec::new();
    for device in devices(doc) {
        let Some(address) = address_element(doc, device) else { continue };
        if doc.attribute(address, "type").as_deref() != Some("pci") {
            continue;
        }
        if read_address(doc, address).is_none_or(|at| at.domain != 0) {
            let place = findings.place(device);
            findings.add("pci-range", format!(
                "{place}: the guest address is out of range: domain must be 0, bus at most 0xff, slot at most 0x1f, function at most 7"
            ));
            continue;
        }
        if let Some(at) = guest_address(doc, device) {
            placed.push((at, device));
        }
    }
    for (at, first, second) in doubles(placed.iter().copied()) {
        let (first, second) = (findings.place(first), findings.place(second));
        findings.add(
            "pci-collision",
            format!("{first} and {second} are both at guest address {at}; give one of them another"),
        );
    }
    if matches!(machine, Machine::Q35 | Machine::Virt) {
        room(findings, &models, &placed);
    }
    let by_address: HashMap<PciAddress, Element> = placed.iter().copied().collect();
    for (at, device) in &placed {
        slot(findings, machine, &models, *at, *device);
        function(findings, &by_address, *at, *device);
    }
}

/// Rules of controllers; the model of each bus.
fn controllers(findings: &mut Findings<'_>, machine: Machine) -> HashMap<u32, String> {
    let doc = findings.doc;
    let pci: Vec<(u32, Element)> = devices(doc).filter_map(|d| Some((pci_controller_index(doc, d)?, d))).collect();
    for (index, ..) in doubles(pci.iter().copied()) {
        findings.add(
            "controller-index",
            format!("two PCI controllers have the index {index}; every bus has one controller"),
        );
    }
    let mut models = HashMap::new();
    for (index, controller) in pci {
        let model = doc.attribute(controller, "model").map(|model| model.into_owned()).unwrap_or_default();
        let root = matches!(model.as_str(), "pcie-root" | "pci-root");
        if root && index != 0 {
            findings.add(
                "controller-root",
                format!("the PCI controller {index} is a {model}, which only the controller 0 can be"),
            );
        }
        if index == 0 && machine == Machine::Q35 && !model.is_empty() && model != "pcie-root" {
            findings
                .add("controller-root", format!("the PCI controller 0 is a {model}; on q35 it must be a pcie-root"));
        }
        if !root && doc.child(controller, "pcihole64").is_some() {
            findings.add("hole64-controller", format!(
                "the PCI controller {index} has a <pcihole64>, which libvirt ignores there; it belongs to the root controller (index 0)"
            ));
        }
        target(findings, index, &model, controller);
        models.insert(index, model);
    }
    models
}

/// Options that only expanders have, and the NUMA node of one.
fn target(findings: &mut Findings<'_>, index: u32, model: &str, controller: Element) {
    let doc = findings.doc;
    let Some(target) = doc.child(controller, "target") else { return };
    let expander = model.ends_with("-expander-bus");
    let node = doc.child(target, "node");
    if !expander && (doc.attribute(target, "busNr").is_some() || node.is_some()) {
        findings.add(
            "controller-target",
            format!(
                "the PCI controller {index} is a {model} and cannot have busNr or node; those are for expander buses"
            ),
        );
    }
    let Some(node) = node.map(|node| doc.text(node).into_owned()) else { return };
    let cells = doc.descend(doc.root(), &["cpu", "numa"]);
    let known = cells.is_some_and(|cells| {
        doc.children_named(cells, "cell").enumerate().any(|(position, cell)| {
            doc.attribute(cell, "id").map_or_else(|| position.to_string(), |id| id.into_owned()) == node
        })
    });
    if expander && !known {
        findings.add(
            "expander-node",
            format!("the PCI controller {index} is on NUMA node {node}, which <cpu><numa> does not have"),
        );
    }
}

/// Buses that nobody declares get root ports from libvirt, eight to a slot of bus 0: whether those find room.
fn room(findings: &mut Findings<'_>, models: &HashMap<u32, String>, placed: &[(PciAddress, Element)]) {
    let highest = placed.iter().map(|(at, _)| u32::from(at.bus)).chain(models.keys().copied()).max().unwrap_or(0);
    let missing = (1..=highest).filter(|bus| !models.contains_key(bus)).count();
    // Slot 0 is the host bridge, slot 1f the machine's own devices.
    let used: HashSet<u8> =
        placed.iter().filter(|(at, _)| at.bus == 0).map(|(at, _)| at.slot()).chain([0, 0x1f]).collect();
    let free = (32 - used.len()) * 8;
    if missing > free {
        findings.add(
            "pci-room",
            format!(
                "bus {highest:#04x} is named, and libvirt adds a root port for each of the {missing} buses before it that is not \
                 declared; bus 0 has room for {free}; use a lower bus"
            ),
        );
    }
}

/// Which slots a bus has.
fn slot(findings: &mut Findings<'_>, machine: Machine, models: &HashMap<u32, String>, at: PciAddress, device: Element) {
    let bus = u32::from(at.bus);
    let default = match (machine, bus) {
        (Machine::Q35 | Machine::Virt, 0) => "pcie-root",
        // A bus without a controller: libvirt adds root ports up to it, or bridges where there is no PCI Express.
        (Machine::Q35 | Machine::Virt, _) => "pcie-root-port",
        (Machine::I440fx, 1..) => "pci-bridge",
        _ => "pci-root",
    };
    let model = models.get(&bus).map_or(default, String::as_str);
    match model {
        "pcie-root-port" | "pcie-switch-downstream-port" if at.slot() != 0 => {
            let place = findings.place(device);
            findings
                .add("pci-slot", format!("{place} is at {at}, but bus {bus:#04x} is a {model}, which has slot 0 only"));
        }
        "pcie-root" | "pci-root" | "pci-bridge" | "pcie-to-pci-bridge" if at.slot() == 0 => {
            let place = findings.place(device);
            findings.add(
                "pci-slot",
                format!("{place} is at {at}, but slot 0 of bus {bus:#04x} ({model}) is reserved; use 1 to 1f"),
            );
        }
        "pcie-expander-bus" | "pci-expander-bus" if pci_controller_index(findings.doc, device).is_none() => {
            let place = findings.place(device);
            findings.add(
                "pci-expander",
                format!(
                    "{place} is at {at}, directly on a {model}, which takes root ports only; put a root port between"
                ),
            );
        }
        _ => {}
    }
    let fixed = machine == Machine::Q35 && bus == 0 && at.slot() == 0x1f;
    let sata = findings.doc.attribute(device, "type").as_deref() == Some("sata");
    if fixed && (matches!(at.function(), 0 | 3) || (at.function() == 2 && !sata)) {
        let place = findings.place(device);
        findings.add(
            "pci-reserved",
            format!("{place} is at {at}, which q35 itself occupies (ISA bridge, SATA, SMBus); use another slot"),
        );
    }
}

/// Which functions of a slot the guest sees.
fn function(findings: &mut Findings<'_>, placed: &HashMap<PciAddress, Element>, at: PciAddress, device: Element) {
    if at.function() == 0 {
        return;
    }
    let doc = findings.doc;
    match at.with_function(0).and_then(|first| placed.get(&first)) {
        Some(first) if is_single(doc, *first) => {
            let (place, first) = (findings.place(device), findings.place(*first));
            findings.add(
                "multifunction",
                format!(
                    "{place} is function {} of the slot of {first}, which says multifunction='off'; QEMU refuses that",
                    at.function()
                ),
            );
        }
        Some(_) => {}
        // Bus 0 has places that are refused for their own reason.
        None if kind(doc, device).is_some() && !(at.bus == 0 && matches!(at.slot(), 0 | 0x1f)) => {
            let place = findings.place(device);
            findings.add("function-zero", format!(
                "{place} is at {at}, but no device is function 0 of that slot, so the guest does not look for it; start at function 0"
            ));
        }
        None => {}
    }
}

fn is_single(doc: &Document, device: Element) -> bool {
    let address = address_element(doc, device);
    address.and_then(|address| doc.attribute(address, "multifunction")).is_some_and(|value| value == "off")
}
