//! PCI buses with what is on them: libvirt's bookkeeping of guest addresses.

use crate::base::PciAddress;

/// A set of properties: what a device needs of a bus, or what a bus takes.
pub(super) type Traits = u16;

/// A conventional PCI device.
pub(super) const PCI: Traits = 1;
/// A PCI Express device.
pub(super) const PCIE: Traits = 1 << 1;
pub(super) const ROOT_PORT: Traits = 1 << 2;
pub(super) const PCI_BRIDGE: Traits = 1 << 3;
pub(super) const PCIE_TO_PCI: Traits = 1 << 4;
pub(super) const DMI_BRIDGE: Traits = 1 << 5;
pub(super) const EXPANDER: Traits = 1 << 6;
pub(super) const UPSTREAM: Traits = 1 << 7;
pub(super) const DOWNSTREAM: Traits = 1 << 8;
const TYPES: Traits = (1 << 9) - 1;
/// Goes only where places are given away (devices), or gives places away (buses).
pub(super) const AUTO: Traits = 1 << 9;
/// May share a slot with others of its kind.
pub(super) const SHARES_SLOT: Traits = 1 << 10;
/// Belongs on the root bus.
pub(super) const INTEGRATED: Traits = 1 << 11;

/// Models of `<controller type='pci'>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    PcieRoot,
    RootPort,
    PcieToPciBridge,
    PciBridge,
    DmiToPciBridge,
    Upstream,
    Downstream,
    Expander,
}

impl Model {
    const ALL: [(Self, &'static str); 8] = [
        (Self::PcieRoot, "pcie-root"),
        (Self::RootPort, "pcie-root-port"),
        (Self::PcieToPciBridge, "pcie-to-pci-bridge"),
        (Self::PciBridge, "pci-bridge"),
        (Self::DmiToPciBridge, "dmi-to-pci-bridge"),
        (Self::Upstream, "pcie-switch-upstream-port"),
        (Self::Downstream, "pcie-switch-downstream-port"),
        (Self::Expander, "pcie-expander-bus"),
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(model, _)| *model)
    }

    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(model, _)| *model == self).map_or("", |(_, name)| name)
    }

    /// What such a controller needs of the bus it sits on.
    pub(super) fn needs(self) -> Traits {
        match self {
            Self::PcieRoot => 0,
            Self::RootPort => ROOT_PORT | SHARES_SLOT,
            Self::PcieToPciBridge => PCIE_TO_PCI,
            Self::PciBridge => PCI_BRIDGE,
            Self::DmiToPciBridge => DMI_BRIDGE,
            Self::Upstream => UPSTREAM,
            Self::Downstream => DOWNSTREAM,
            Self::Expander => EXPANDER,
        }
    }

    /// What its own bus takes, and the slots it has.
    fn offers(self) -> (Traits, u8, u8) {
        match self {
            Self::PcieRoot => (PCIE | ROOT_PORT | DMI_BRIDGE | EXPANDER | INTEGRATED, 1, 31),
            Self::RootPort | Self::Downstream => (AUTO | PCIE | UPSTREAM | PCIE_TO_PCI, 0, 0),
            Self::PcieToPciBridge | Self::PciBridge => (AUTO | PCI | PCI_BRIDGE, 1, 31),
            Self::DmiToPciBridge => (PCI | PCI_BRIDGE, 0, 31),
            Self::Upstream => (DOWNSTREAM, 0, 31),
            Self::Expander => (ROOT_PORT | DMI_BRIDGE, 0, 31),
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    functions: u8,
    shared: bool,
}

#[derive(Debug, Clone)]
struct Bus {
    model: Model,
    takes: Traits,
    first: u8,
    last: u8,
    slots: [Slot; 32],
}

impl Bus {
    fn new(model: Model) -> Self {
        let (takes, first, last) = model.offers();
        Self { model, takes, first, last, slots: [Slot::default(); 32] }
    }

    /// Whether a device goes here. What a person wrote is taken more freely: PCI or PCI Express is all one then.
    fn takes(&self, needs: Traits, written: bool) -> bool {
        let either = PCI | PCIE;
        if written {
            let takes = if self.takes & either == 0 { self.takes } else { self.takes | either };
            return takes & needs & TYPES != 0;
        }
        if needs & INTEGRATED != 0 {
            return self.takes & INTEGRATED != 0;
        }
        (needs & AUTO == 0 || self.takes & AUTO != 0) && self.takes & needs & TYPES != 0
    }

    fn free(&self, needs: Traits) -> Option<(u8, u8)> {
        (self.first..=self.last).find_map(|number| {
            let slot = self.slots[usize::from(number)];
            if slot.functions == 0 {
                return Some((number, 0));
            }
            let shares = needs & SHARES_SLOT != 0 && slot.shared && slot.functions != u8::MAX;
            #[allow(clippy::cast_possible_truncation, reason = "there are eight functions")]
            shares.then(|| (number, slot.functions.trailing_ones() as u8))
        })
    }
}

/// All buses of a guest, by number.
#[derive(Debug)]
pub(super) struct Buses {
    buses: Vec<Bus>,
    /// Whether missing buses are added: only in the first of libvirt's two rounds.
    grows: bool,
}

impl Buses {
    /// Buses for the controllers there are; the gaps between them are root ports.
    pub(super) fn new(controllers: &[(usize, Model)], count: usize, grows: bool) -> Self {
        let mut buses = vec![Bus::new(Model::RootPort); count.max(1)];
        buses[0] = Bus::new(Model::PcieRoot);
        for (number, model) in controllers {
            if let Some(bus) = buses.get_mut(*number) {
                *bus = Bus::new(*model);
            }
        }
        Self { buses, grows }
    }

    pub(super) fn len(&self) -> usize {
        self.buses.len()
    }

    pub(super) fn model(&self, number: usize) -> Option<Model> {
        self.buses.get(number).map(|bus| bus.model)
    }

    pub(super) fn slot_in_use(&self, slot: u8) -> bool {
        self.buses[0].slots[usize::from(slot)].functions != 0
    }

    /// Takes an address that is written down, or says in libvirt's words why it cannot be had.
    pub(super) fn reserve(&mut self, wanted: PciAddress, needs: Traits) -> Result<(), String> {
        let mut number = usize::from(wanted.bus);
        if self.grows {
            number = self.grow(number, needs)?;
        }
        self.take(number, wanted.slot(), wanted.function(), needs, Some(wanted))
    }

    /// Takes the next free address.
    pub(super) fn next(&mut self, needs: Traits) -> Result<PciAddress, String> {
        let found = self.buses.iter().enumerate().find_map(|(number, bus)| {
            bus.takes(needs, false).then(|| bus.free(needs)).flatten().map(|(slot, function)| (number, slot, function))
        });
        let (number, slot, function) = match found {
            Some(found) => found,
            None if self.grows => {
                let number = self.grow(self.buses.len(), needs)?;
                (number, self.buses[number].first, 0)
            }
            None => return Err("internal error: No more available PCI slots".to_owned()),
        };
        self.take(number, slot, function, needs, None)?;
        u8::try_from(number)
            .ok()
            .and_then(|bus| PciAddress::new(0, bus, slot, function))
            .ok_or_else(|| format!("internal error: bus {number} is too many"))
    }

    /// Adds buses up to a number, of a kind that takes the device; gives the number of the bus the device is on then.
    fn grow(&mut self, wanted: usize, needs: Traits) -> Result<usize, String> {
        if wanted < self.buses.len() {
            return Ok(wanted);
        }
        let mut last = wanted;
        if needs & PCI != 0 {
            let needs_bridge = !self.buses.iter().any(|bus| bus.takes & PCI_BRIDGE != 0);
            if needs_bridge {
                // One more: a conventional bus hangs on a root port, which is kept free for it.
                if last == self.buses.len() {
                    last += 1;
                }
                let mut port = Bus::new(Model::RootPort);
                port.takes = PCIE_TO_PCI;
                self.buses.extend([port, Bus::new(Model::PcieToPciBridge)]);
            }
            self.fill(last, Model::PciBridge);
        } else if needs & (PCIE | UPSTREAM) != 0 {
            self.fill(last, Model::RootPort);
        } else {
            let model = Model::ALL.iter().find(|(model, _)| model.needs() & needs & TYPES != 0);
            let model = model.map_or("?", |(_, name)| name);
            return Err(format!(
                "internal error: a PCI slot is needed to connect a PCI controller model='{model}', but none is \
                 available, and it cannot be automatically added"
            ));
        }
        Ok(last)
    }

    fn fill(&mut self, last: usize, model: Model) {
        while self.buses.len() <= last {
            self.buses.push(Bus::new(model));
        }
    }

    fn take(
        &mut self,
        number: usize,
        slot: u8,
        function: u8,
        needs: Traits,
        written: Option<PciAddress>,
    ) -> Result<(), String> {
        let count = self.buses.len();
        let kind = if written.is_some() { "XML error" } else { "internal error" };
        let address = written.map_or_else(|| format!("0000:{number:02x}:{slot:02x}.{function}"), |a| a.to_string());
        let Some(bus) = self.buses.get_mut(number) else {
            let last = count - 1;
            return Err(format!("{kind}: Invalid PCI address {address}. Only PCI buses up to {last} are available"));
        };
        if !bus.takes(needs, written.is_some()) {
            return Err(format!(
                "{kind}: The device at PCI address {address} cannot be plugged into the PCI controller with \
                 index='{number}'. It requires a controller that accepts a {}.",
                what(needs)
            ));
        }
        if slot < bus.first {
            return Err(format!("{kind}: Invalid PCI address {address}. slot must be >= {}", bus.first));
        }
        if slot > bus.last {
            return Err(format!("{kind}: Invalid PCI address {address}. slot must be <= {}", bus.last));
        }
        let place = &mut bus.slots[usize::from(slot)];
        if place.functions & (1 << function) != 0 {
            return Err(format!("{kind}: Attempted double use of PCI Address {address}"));
        }
        place.shared |= place.functions == 0 && needs & SHARES_SLOT != 0;
        place.functions |= 1 << function;
        Ok(())
    }
}

fn what(needs: Traits) -> &'static str {
    match needs & TYPES {
        types if types & PCIE != 0 => "PCI Express device",
        types if types & PCI != 0 => "standard PCI device",
        ROOT_PORT => "pcie-root-port",
        PCI_BRIDGE => "pci-bridge",
        PCIE_TO_PCI => "pcie-to-pci-bridge",
        DMI_BRIDGE => "dmi-to-pci-bridge",
        EXPANDER => "pcie-expander-bus",
        UPSTREAM => "pcie-switch-upstream-port",
        _ => "pcie-switch-downstream-port",
    }
}
