//! Assigned host devices: finding the one that is meant, its settings, its place in the guest, its companions.

mod companions;
mod placement;
mod select;
mod settings;
mod spaces;

use crate::base::PciAddress;
use crate::config::{AutoOff, DeviceSelector, HostDevice};
use crate::xml::{Document, Element};

use super::pci::{devices, read_address};

pub(super) use companions::add_companions;
pub(super) use placement::place_functions;
pub(super) use select::select;
pub(super) use settings::apply_settings;
pub(super) use spaces::one_space_each;

/// What kind of device is assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A PCI function: `<hostdev type='pci'>` or `<interface type='hostdev'>`.
    Pci,
    /// A mediated device.
    Mdev,
    /// A USB device.
    Usb,
    /// Anything else (scsi, …).
    Other,
}

/// An assigned device of the domain with the settings that apply to it.
#[derive(Debug, Clone)]
pub(super) struct Assigned {
    pub(super) element: Element,
    pub(super) kind: Kind,
    /// Its alias, else its host address.
    pub(super) name: String,
    /// Host PCI address.
    pub(super) source: Option<PciAddress>,
    /// Path of the item in the profile, e.g. `hostDevices[gpu0]`; quirks use it too.
    pub(super) path: String,
    /// What is asked for it. Empty where no item selects it.
    pub(super) settings: HostDevice,
    /// Whether an item of the profile selects it.
    pub(super) selected: bool,
}

impl Assigned {
    /// Whether an item says where in the guest the device is, or what shares its slot.
    pub(super) fn is_placed(&self) -> bool {
        let settings = &self.settings;
        let group = !settings.functions.is_empty() || settings.companions == Some(AutoOff::Auto);
        settings.address.is_some() || (self.selected && group)
    }
}

/// The kind of a device; `None` if it is not assigned from the host. A missing `mode` means subsystem (KubeVirt 1.9, pkg/virt-launcher/virtwrap/device/hostdevice).
pub(super) fn kind(doc: &Document, device: Element) -> Option<Kind> {
    let kind = doc.attribute(device, "type");
    match (doc.local_name(device), kind.as_deref()) {
        ("hostdev", _) if doc.attribute(device, "mode").is_some_and(|mode| mode != "subsystem") => None,
        ("hostdev", Some("pci")) | ("interface", Some("hostdev")) => Some(Kind::Pci),
        ("hostdev", Some("mdev")) => Some(Kind::Mdev),
        ("hostdev", Some("usb")) => Some(Kind::Usb),
        ("hostdev", _) => Some(Kind::Other),
        _ => None,
    }
}

/// Whether libvirt counts the device as VFIO for locked memory (libvirt 11.3, qemuDomainGetMemLockLimitBytes): PCI or mediated.
pub(super) fn is_vfio(doc: &Document, device: Element) -> bool {
    matches!(kind(doc, device), Some(Kind::Pci | Kind::Mdev))
}

/// How many VFIO devices the domain has.
pub(super) fn vfio_count(doc: &Document) -> u64 {
    devices(doc).filter(|device| is_vfio(doc, *device)).map(|_| 1).sum()
}

/// The host address of an assigned PCI function.
pub(super) fn source_address(doc: &Document, device: Element) -> Option<PciAddress> {
    if kind(doc, device)? != Kind::Pci {
        return None;
    }
    // A `<source/>` without address is 0000:00:00.0 to libvirt (libvirt 11.3, domain_conf.c): never a device anybody means.
    doc.descend(device, &["source", "address"]).and_then(|address| read_address(doc, address))
}

/// The alias of a device.
pub(super) fn alias(doc: &Document, device: Element) -> Option<String> {
    doc.child(device, "alias").and_then(|alias| doc.attribute(alias, "name")).map(|name| name.into_owned())
}

/// Every assigned device of the domain, in order, without settings yet.
pub(super) fn assigned(doc: &Document) -> Vec<Assigned> {
    devices(doc)
        .filter_map(|element| {
            let kind = kind(doc, element)?;
            let source = source_address(doc, element);
            let name = alias(doc, element)
                .or_else(|| source.map(|address| address.to_string()))
                .or_else(|| mdev_uuid(doc, element))
                .unwrap_or_else(|| doc.local_name(element).to_owned());
            let path = format!("hostDevices[{name}]");
            let settings = HostDevice::new(DeviceSelector::Alias(name.clone()));
            Some(Assigned { element, kind, name, source, path, settings, selected: false })
        })
        .collect()
}

/// The UUID of a mediated device.
pub(super) fn mdev_uuid(doc: &Document, device: Element) -> Option<String> {
    let address = doc.descend(device, &["source", "address"])?;
    doc.attribute(address, "uuid").map(|uuid| uuid.into_owned())
}
