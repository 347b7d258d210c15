//! What devices need of a bus, and what buses take.

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
pub(super) const TYPES: Traits = (1 << 9) - 1;
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
    pub(super) const ALL: [(Self, &'static str); 8] = [
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
    pub(super) fn offers(self) -> (Traits, u8, u8) {
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

/// What a device is, in libvirt's words.
pub(super) fn what(needs: Traits) -> &'static str {
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
