//! libvirt's two rounds: how many buses are needed, and then who gets which place.

use super::buses::{AUTO, Buses, Model, PCIE};
use super::devices::{Device, Usual, devices};
use crate::base::PciAddress;
use crate::xml::{Document, Element};

/// The slot of the chipset's own devices: its ISA bridge is function 0, SATA function 2, SMBus function 3.
const CHIPSET: u8 = 0x1f;

/// Gives every PCI device an address and adds the controllers that this takes.
pub(super) fn assign(document: &mut Document) -> Result<(), String> {
    let Some(parent) = document.child(document.root(), "devices") else {
        return Ok(());
    };
    let known = controllers(document, parent);
    let count = known.iter().map(|(number, _)| number + 1).max().unwrap_or(1);
    let mut round = Round::new(Buses::new(&known, count, true), devices(document, parent));
    round.collect()?;
    round.chipset()?;
    round.rest()?;
    if count == 1 && round.buses.len() > 1 {
        // Nobody has arranged buses: a place for one hot-plugged device is kept.
        round.buses.next(PCIE | AUTO)?;
    }
    let mut number = 1;
    while let Some(model) = round.buses.model(number) {
        if !known.iter().any(|(taken, _)| *taken == number) {
            add_controller(document, parent, number, model);
            round.buses.next(model.needs())?;
        }
        number += 1;
    }
    // Addresses that the chipset's rules gave stay; all others are given anew, now that all buses are there.
    round.write(document);
    let known = controllers(document, parent);
    let buses = Buses::new(&known, round.buses.len(), false);
    let mut round = Round::new(buses, devices(document, parent));
    round.collect()?;
    round.chipset()?;
    let given = round.rest()?;
    for (at, address) in given {
        round.devices[at].address = Some(address);
    }
    round.write(document);
    Ok(())
}

struct Round {
    buses: Buses,
    devices: Vec<Device>,
    /// Places given away before it was everybody's turn.
    early: Vec<(usize, PciAddress)>,
}

impl Round {
    fn new(buses: Buses, devices: Vec<Device>) -> Self {
        Self { buses, devices, early: Vec::new() }
    }

    /// Addresses that are written down are taken before any is given away.
    fn collect(&mut self) -> Result<(), String> {
        let mut written: Vec<&Device> = self.devices.iter().filter(|device| device.address.is_some()).collect();
        written.sort_by_key(|device| device.kind.collected());
        for device in written {
            if let Some(address) = device.address {
                self.buses.reserve(address, device.needs)?;
            }
        }
        Ok(())
    }

    /// q35's own devices, and those that have a usual place there.
    fn chipset(&mut self) -> Result<(), String> {
        for function in [0, 3] {
            self.buses.reserve(on_root(CHIPSET, function)?, PCIE)?;
        }
        for at in 0..self.devices.len() {
            let device = &self.devices[at];
            match device.usual {
                Some(Usual::Sata) => self.sata(at)?,
                Some(Usual::Display) if device.address.is_none() && self.is_first(at) => {
                    if self.buses.slot_in_use(1) {
                        // In the second round it keeps this; in the first only the place counts.
                        let address = self.buses.next(device.needs)?;
                        self.early.push((at, address));
                    } else {
                        self.place(at, on_root(1, 0)?)?;
                    }
                }
                Some(Usual::Sound) if device.address.is_none() && !self.buses.slot_in_use(0x1b) => {
                    self.place(at, on_root(0x1b, 0)?)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn sata(&mut self, at: usize) -> Result<(), String> {
        let place = on_root(CHIPSET, 2)?;
        if self.devices[at].address.is_some_and(|address| address != place) {
            return Err("internal error: Primary SATA controller must have PCI address 0:0:1f.2".to_owned());
        }
        self.devices[at].address = Some(place);
        Ok(())
    }

    fn is_first(&self, at: usize) -> bool {
        self.devices[..at].iter().all(|device| device.usual != self.devices[at].usual)
    }

    fn place(&mut self, at: usize, address: PciAddress) -> Result<(), String> {
        self.buses.reserve(address, PCIE)?;
        self.devices[at].address = Some(address);
        Ok(())
    }

    /// Places for all who have none yet. In the first round nobody keeps them.
    fn rest(&mut self) -> Result<Vec<(usize, PciAddress)>, String> {
        let mut given = std::mem::take(&mut self.early);
        for (at, device) in self.devices.iter().enumerate() {
            if device.address.is_none() && !given.iter().any(|(early, _)| *early == at) {
                given.push((at, self.buses.next(device.needs)?));
            }
        }
        Ok(given)
    }

    fn write(&self, document: &mut Document) {
        for device in &self.devices {
            if let Some(address) = device.address {
                write_address(document, device.element, address);
            }
        }
    }
}

fn on_root(slot: u8, function: u8) -> Result<PciAddress, String> {
    PciAddress::new(0, 0, slot, function).ok_or_else(|| format!("internal error: no slot {slot}"))
}

/// `<address>` as libvirt writes it.
pub(super) fn write_address(document: &mut Document, device: Element, address: PciAddress) {
    let element = document.child(device, "address").unwrap_or_else(|| document.append(device, "address"));
    document.set_attribute(element, "type", "pci");
    write_numbers(document, element, address);
}

pub(super) fn write_numbers(document: &mut Document, element: Element, address: PciAddress) {
    document.set_attribute(element, "domain", &format!("0x{:04x}", address.domain));
    document.set_attribute(element, "bus", &format!("0x{:02x}", address.bus));
    document.set_attribute(element, "slot", &format!("0x{:02x}", address.slot()));
    document.set_attribute(element, "function", &format!("0x{:x}", address.function()));
}

fn add_controller(document: &mut Document, parent: Element, number: usize, model: Model) {
    let controller = document.append(parent, "controller");
    document.set_attribute(controller, "type", "pci");
    document.set_attribute(controller, "index", &number.to_string());
    document.set_attribute(controller, "model", model.name());
}

/// PCI controllers by number.
fn controllers(document: &Document, parent: Element) -> Vec<(usize, Model)> {
    document
        .children_named(parent, "controller")
        .filter(|controller| document.attribute(*controller, "type").as_deref() == Some("pci"))
        .filter_map(|controller| {
            let number = document.attribute(controller, "index")?.parse().ok()?;
            Some((number, Model::named(&document.attribute(controller, "model")?)?))
        })
        .collect()
}
