//! What a hook usually does to a domain, through the document alone: a vIOMMU, ioapic, and every assigned device's ROM off.

use virt_tailor::xml::{Document, Limits};

/// Parses, edits, renders.
pub(crate) fn edited(bytes: &[u8]) -> Vec<u8> {
    let mut document = Document::parse(bytes, &Limits::default()).unwrap();
    let root = document.root();
    let devices = document.child(root, "devices").unwrap();
    let hostdevs: Vec<_> = document.children_named(devices, "hostdev").collect();
    for hostdev in hostdevs {
        let rom = document.append(hostdev, "rom");
        document.set_attribute(rom, "bar", "off");
    }
    let iommu = document.append(devices, "iommu");
    document.set_attribute(iommu, "model", "intel");
    let driver = document.append(iommu, "driver");
    document.set_attribute(driver, "intremap", "on");
    document.set_attribute(driver, "caching_mode", "on");
    let features = document.child(root, "features").unwrap();
    let ioapic = document.append(features, "ioapic");
    document.set_attribute(ioapic, "driver", "qemu");
    if let Some(balloon) = document.child(devices, "memballoon") {
        document.set_attribute(balloon, "model", "none");
    }
    document.to_bytes()
}
