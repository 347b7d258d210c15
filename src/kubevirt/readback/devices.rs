//! Which devices are on PCI, what they need of a bus, and the order in which libvirt gives them places.

use std::borrow::Cow;

use super::buses::{AUTO, INTEGRATED, Model, PCI, PCIE, Traits};
use crate::base::PciAddress;
use crate::kubevirt::reduce::{disk_index, grouped};
use crate::xml::{Document, Element};

/// A device with its place, or in need of one.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) element: Element,
    pub(super) kind: Kind,
    pub(super) needs: Traits,
    pub(super) address: Option<PciAddress>,
    pub(super) usual: Option<Usual>,
}

/// Devices that have a usual place on a q35 board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usual {
    /// The SATA controller that every q35 machine has.
    Sata,
    /// Where QEMU puts the first display.
    Display,
    /// The chipset's sound.
    Sound,
}

/// Devices in the order in which libvirt gives places away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    PciController,
    Filesystem,
    Nic,
    Sound,
    Controller,
    Disk,
    Hostdev,
    Balloon,
    Rng,
    Watchdog,
    Video,
    SharedMemory,
    Input,
    Serial,
    Iommu,
    Vsock,
    Memory,
    Crypto,
    Panic,
}

impl Kind {
    fn of(document: &Document, element: Element) -> Option<Self> {
        Some(match document.local_name(element) {
            "controller" if document.attribute(element, "type").as_deref() == Some("pci") => Self::PciController,
            "controller" => Self::Controller,
            "filesystem" => Self::Filesystem,
            // A NIC of this type is a host device in disguise.
            "interface" if document.attribute(element, "type").as_deref() == Some("hostdev") => Self::Hostdev,
            "interface" => Self::Nic,
            "sound" => Self::Sound,
            "disk" => Self::Disk,
            "hostdev" => Self::Hostdev,
            "memballoon" => Self::Balloon,
            "rng" => Self::Rng,
            "watchdog" => Self::Watchdog,
            "video" => Self::Video,
            "shmem" => Self::SharedMemory,
            "input" => Self::Input,
            "serial" => Self::Serial,
            "iommu" => Self::Iommu,
            "vsock" => Self::Vsock,
            "memory" => Self::Memory,
            "crypto" => Self::Crypto,
            "panic" => Self::Panic,
            _ => return None,
        })
    }

    /// The order in which libvirt looks at addresses that are written down: it decides what kind of bus is added for them.
    pub(super) fn collected(self) -> u8 {
        match self {
            Self::Disk => 0,
            Self::Nic => 1,
            Self::Sound => 2,
            Self::Hostdev => 3,
            Self::Video => 4,
            Self::PciController | Self::Controller => 5,
            Self::Serial => 6,
            Self::Input => 7,
            Self::Filesystem => 8,
            Self::Watchdog => 9,
            Self::Balloon => 10,
            Self::Rng => 11,
            Self::SharedMemory => 12,
            Self::Memory => 13,
            Self::Panic => 14,
            Self::Iommu => 15,
            Self::Vsock => 16,
            Self::Crypto => 17,
        }
    }
}

/// All devices with a PCI address, or in need of one, in libvirt's order.
pub(super) fn devices(document: &Document, parent: Element) -> Vec<Device> {
    let attribute = |element, name| document.attribute(element, name).unwrap_or_default().into_owned();
    let mut controllers: Vec<Element> = document.children_named(parent, "controller").collect();
    grouped(&mut controllers, |it| (attribute(*it, "type"), attribute(*it, "index").parse().unwrap_or(0)));
    let mut disks: Vec<Element> = document.children_named(parent, "disk").collect();
    grouped(&mut disks, |disk| {
        let of = |name| document.child(*disk, "target").map(|target| attribute(target, name)).unwrap_or_default();
        (of("bus"), disk_index(&of("dev")).unwrap_or(0))
    });
    // NICs that are host devices come before the other host devices.
    let mut elements: Vec<Element> = document.children_named(parent, "interface").collect();
    let of_their_own = ["interface", "controller", "disk"];
    elements.extend(document.children(parent).filter(|it| !of_their_own.contains(&document.local_name(*it))));
    elements.append(&mut controllers);
    elements.append(&mut disks);
    let mut devices: Vec<Device> = elements
        .into_iter()
        .filter_map(|element| {
            let kind = Kind::of(document, element)?;
            let address = address(document, element);
            let needs = needs(document, element, kind);
            // libvirt keeps an address that means nothing to it.
            let needs = if needs == 0 && address.is_some() { PCI } else { needs };
            let elsewhere = document
                .child(element, "address")
                .and_then(|it| document.attribute(it, "type"))
                .is_some_and(|kind| kind != "pci");
            let usual = usual(document, element, kind);
            (needs != 0 && !elsewhere).then_some(Device { element, kind, needs, address, usual })
        })
        .collect();
    devices.sort_by_key(|device| device.kind);
    devices
}

fn usual(document: &Document, element: Element, kind: Kind) -> Option<Usual> {
    let is = |name, value| document.attribute(element, name).as_deref() == Some(value);
    match kind {
        Kind::Controller if is("type", "sata") && is("index", "0") => Some(Usual::Sata),
        Kind::Video => Some(Usual::Display),
        Kind::Sound if is("model", "ich9") => Some(Usual::Sound),
        _ => None,
    }
}

/// The guest address of a device. All zeros is libvirt's way to say "any".
pub(super) fn address(document: &Document, device: Element) -> Option<PciAddress> {
    let address = document.child(device, "address")?;
    (document.attribute(address, "type")? == "pci").then_some(())?;
    pci(document, address).filter(|address| !is_zero(*address))
}

fn is_zero(address: PciAddress) -> bool {
    address.domain == 0 && address.bus == 0 && address.slot() == 0 && address.function() == 0
}

/// The PCI address that an `<address>` element writes; what is missing is 0.
pub(super) fn pci(document: &Document, address: Element) -> Option<PciAddress> {
    let number = |name| document.attribute(address, name).map_or(Some(0), |text| number(&text));
    let small = |name| number(name).and_then(|n| u8::try_from(n).ok());
    PciAddress::new(number("domain")?, small("bus")?, small("slot")?, small("function")?)
}

/// A number as libvirt reads it: hexadecimal, octal or decimal.
fn number(text: &str) -> Option<u32> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u32::from_str_radix(hex, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => u32::from_str_radix(octal, 8).ok(),
        _ => text.parse().ok(),
    }
}

fn needs(document: &Document, element: Element, kind: Kind) -> Traits {
    let attribute = |name| document.attribute(element, name).unwrap_or(Cow::Borrowed(""));
    let model = attribute("model");
    let pci = PCI | AUTO;
    let pcie = PCIE | AUTO;
    let virtio = if model == "virtio-transitional" { pci } else { pcie };
    let only = |applies: bool, needs: Traits| if applies { needs } else { 0 };
    match kind {
        Kind::PciController => Model::named(&model).map_or(0, Model::needs),
        Kind::Controller => match attribute("type").as_ref() {
            "sata" | "ide" => pci,
            "usb" => match model.as_ref() {
                "none" => 0,
                "nec-xhci" | "qemu-xhci" | "" => pcie,
                _ => pci,
            },
            "scsi" if model.is_empty() => 0,
            "scsi" if model.starts_with("virtio") => virtio,
            "scsi" => pci,
            "virtio-serial" => virtio,
            _ => 0,
        },
        Kind::Filesystem | Kind::Rng | Kind::Vsock => virtio,
        Kind::Nic => {
            let model = document.child(element, "model").and_then(|model| document.attribute(model, "type"));
            match model.as_deref() {
                Some("virtio" | "virtio-non-transitional" | "e1000e" | "igb") | None => pcie,
                Some("usb-net") => 0,
                Some(_) => pci,
            }
        }
        Kind::Sound => only(matches!(model.as_ref(), "es1370" | "ac97" | "ich6" | "ich9"), pci),
        Kind::Disk => {
            let target = document.child(element, "target");
            let bus = target.and_then(|target| document.attribute(target, "bus"));
            only(bus.as_deref() == Some("virtio"), virtio)
        }
        // Whether a host device is PCI Express is in the host's sysfs; all but very old ones are.
        Kind::Hostdev => match (document.local_name(element), attribute("type").as_ref()) {
            ("interface", _) | (_, "pci") => pcie,
            (_, "mdev") => only(model == "vfio-pci", pcie),
            (_, "scsi_host") => virtio,
            _ => 0,
        },
        Kind::Balloon => only(model.starts_with("virtio"), virtio),
        Kind::Watchdog => only(model == "i6300esb", pci),
        Kind::Video => {
            let model = document.child(element, "model").and_then(|model| document.attribute(model, "type"));
            match model.as_deref() {
                Some("virtio" | "bochs") => pcie,
                Some("vga" | "cirrus" | "vmvga" | "qxl") => pci,
                _ => 0,
            }
        }
        Kind::SharedMemory | Kind::Crypto => pci,
        Kind::Input => only(attribute("bus") == "virtio", virtio),
        Kind::Serial => {
            let target = document.child(element, "target");
            let kind = target.and_then(|target| document.attribute(target, "type"));
            only(kind.as_deref() == Some("pci-serial"), pci)
        }
        Kind::Iommu => only(model == "virtio", pcie | INTEGRATED),
        Kind::Memory => only(model.starts_with("virtio-"), pcie),
        Kind::Panic => only(model == "pvpanic", pci | INTEGRATED),
    }
}
