//! What is known about devices: a table, one row per quirk. A quirk never refuses and never overrides an explicit field: it fills
//! fields that nobody set, or notes why it did not.

mod table;

use crate::base::PciAddress;
use crate::config::{DomainProfile, HostDevice};
use crate::host::PciFunction;

pub use table::QUIRKS;

/// One row: what it is for, where that is written, whom it concerns, what it does.
#[derive(Debug, Clone, Copy)]
pub struct Quirk {
    /// Name, as it stands in the list of changes.
    pub name: &'static str,
    /// What goes wrong without it.
    pub reason: &'static str,
    /// Where this is known from.
    pub source: &'static str,
    /// Whether it concerns a device.
    pub matches: fn(&PciFunction) -> bool,
    /// What it sets; says so in words if it sets nothing.
    pub apply: fn(&mut Fitting<'_>) -> Result<(), String>,
}

/// What a quirk may look at and set for one device.
#[derive(Debug)]
pub struct Fitting<'a> {
    /// Facts about the device.
    pub facts: &'a PciFunction,
    /// The domain as far as quirks care.
    pub domain: &'a Situation,
    /// The profile; only empty fields may be set.
    pub profile: &'a mut DomainProfile,
    /// The settings of the device; only empty fields may be set.
    pub device: &'a mut HostDevice,
}

/// What quirks need to know of the domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Situation {
    /// `<graphics>` is there.
    pub graphics: bool,
    /// A mediated device shows its picture through QEMU (`display='on'`).
    pub mdev_display: bool,
    /// `<hyperv>` is there.
    pub hyperv: bool,
    /// `<hyperv mode='passthrough'>`: single features are dropped.
    pub hyperv_passthrough: bool,
    /// Boots by UEFI.
    pub efi: bool,
    /// The machine has PCI Express (q35).
    pub q35: bool,
    /// The CPU model passes the host's address width on.
    pub host_cpu: bool,
    /// Bytes of 64-bit window that the assigned devices need, if that is more than every firmware gives by itself.
    pub window: Option<u64>,
    /// Guest addresses in use, without those of the device itself.
    pub occupied: Vec<PciAddress>,
}
