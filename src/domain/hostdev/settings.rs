//! What is set on one assigned device: ROM, boot order, ACPI index, driver, QEMU properties, guest address.

use crate::base::PciAddress;
use crate::config::{HostDevice, PropertyValue};
use crate::xml::Element;

use super::super::QEMU_NAMESPACE;
use super::super::editor::{Editor, Why};
use super::super::pci::{note_high_bus, set_guest_address};
use super::{Assigned, Kind, alias, mdev_uuid};

/// Applies the settings of one device, its guest address included.
pub(in crate::domain) fn apply_settings(editor: &mut Editor<'_>, device: &Assigned) {
    if !fits_kind(editor, device) {
        return;
    }
    let Assigned { element, settings, path, .. } = device;
    let element = *element;
    if let Some(address) = settings.address {
        let why = editor.why(&format!("{path}.address"), "the guest sees the device at this address");
        note_high_bus(editor, &device.name, address);
        set_guest_address(editor, element, address, &why);
    }
    rom(editor, element, settings, path);
    if let Some(order) = settings.boot_order {
        let why = editor.why(&format!("{path}.bootOrder"), "the boot order is asked for");
        let boot = editor.child_or_new(element, "boot", &why);
        editor.set(boot, "order", &order.to_string(), &why);
    }
    if let Some(index) = settings.acpi_index {
        let why = editor.why(&format!("{path}.acpiIndex"), "the guest names the interface after it");
        let acpi = editor.child_or_new(element, "acpi", &why);
        editor.set(acpi, "index", &index.to_string(), &why);
    }
    if let Some(iommufd) = settings.driver.iommufd {
        let why = editor.why(&format!("{path}.driver.iommufd"), "iommufd as asked for (libvirt 12.1 and later)");
        let driver = driver(editor, element, &why);
        editor.set(driver, "iommufd", iommufd.yes_no(), &why);
    }
    if let Some(model) = &settings.driver.model {
        let why = editor.why(&format!("{path}.driver.model"), "this host driver is asked for (libvirt 10.0 and later)");
        let driver = driver(editor, element, &why);
        editor.set(driver, "model", model, &why);
    }
    if !settings.properties.is_empty() {
        properties(editor, device);
    }
}

/// The `<driver>` of a host device. A new one stands beside `<source>`: libxml2's validator finds it nowhere else, though the order is
/// free by libvirt's schema.
fn driver(editor: &mut Editor<'_>, element: Element, why: &Why) -> Element {
    match (editor.doc.child(element, "driver"), editor.doc.child(element, "source")) {
        (Some(driver), _) => driver,
        (None, Some(source)) => editor.add_after(source, "driver", why),
        (None, None) => editor.add(element, "driver", why),
    }
}

/// Refuses settings that a kind of device cannot take. Whether anything can be applied.
fn fits_kind(editor: &mut Editor<'_>, device: &Assigned) -> bool {
    let HostDevice { address, functions, rom, boot_order, acpi_index, driver, properties, .. } = &device.settings;
    let pci_only = [
        ("address", address.is_some() && device.kind != Kind::Mdev),
        ("functions", !functions.is_empty()),
        ("rom", rom.bar.is_some() || rom.file.is_some()),
        ("bootOrder", boot_order.is_some() && device.kind != Kind::Usb),
        ("acpiIndex", acpi_index.is_some()),
        ("driver", driver.iommufd.is_some() || driver.model.is_some()),
        ("properties", !properties.is_empty() && device.kind != Kind::Mdev),
    ];
    let what = match device.kind {
        Kind::Pci => return true,
        Kind::Mdev => "a mediated device",
        Kind::Usb => "a USB device",
        Kind::Other => "neither a PCI, a mediated nor a USB device",
    };
    let mut fits = true;
    for (field, _) in pci_only.iter().filter(|(_, set)| *set) {
        editor.refuse(format!("{}.{field}: {} is {what}, which cannot have it", device.path, device.name));
        fits = false;
    }
    fits
}

fn rom(editor: &mut Editor<'_>, element: Element, settings: &HostDevice, path: &str) {
    if settings.rom.bar.is_none() && settings.rom.file.is_none() {
        return;
    }
    let why = editor.why(&format!("{path}.rom"), "how the guest sees the expansion ROM");
    let rom = editor.child_or_new(element, "rom", &why);
    if editor.doc.attribute(rom, "enabled").as_deref() == Some("no") {
        // libvirt: "ROM tuning is not supported when ROM is disabled".
        editor.unset(rom, "enabled", &why);
    }
    if let Some(bar) = settings.rom.bar {
        editor.set(rom, "bar", bar.as_str(), &why);
    }
    if let Some(file) = &settings.rom.file {
        editor.set(rom, "file", file, &why);
    }
}

/// Writes typed vfio-pci properties as `qemu:override`; an override needs an alias that libvirt keeps.
fn properties(editor: &mut Editor<'_>, device: &Assigned) {
    let why = editor
        .why(&format!("{}.properties", device.path), "a property of QEMU's device that libvirt has no element for");
    let name = match alias(&editor.doc, device.element) {
        Some(name) => name,
        None => {
            let name = match (device.source, mdev_uuid(&editor.doc, device.element)) {
                (Some(source), _) => alias_for(source),
                (None, Some(uuid)) => format!("ua-vt-{uuid}"),
                (None, None) => {
                    editor.refuse(format!(
                        "{}.properties: {} has no address to name it by; give it an alias",
                        device.path, device.name
                    ));
                    return;
                }
            };
            let element = editor.child_or_new(device.element, "alias", &why);
            editor.set(element, "name", &name, &why);
            name
        }
    };
    let overrides = qemu_child(editor, editor.root(), "override", None, &why);
    let target = qemu_child(editor, overrides, "device", Some(("alias", &name)), &why);
    let frontend = qemu_child(editor, target, "frontend", None, &why);
    for (property, value) in &device.settings.properties {
        let element = qemu_child(editor, frontend, "property", Some(("name", property)), &why);
        let (kind, text) = match value {
            PropertyValue::Bool(value) => ("bool", value.to_string()),
            PropertyValue::Unsigned(value) => ("unsigned", value.to_string()),
            PropertyValue::Signed(value) => ("signed", value.to_string()),
            PropertyValue::Text(value) => ("string", value.clone()),
        };
        editor.set(element, "type", kind, &why);
        editor.set(element, "value", &text, &why);
    }
}

/// The alias we give to a device that has none, by its host address (`ua-vt-0000-0a-00-1`).
pub(super) fn alias_for(source: PciAddress) -> String {
    let (bus, slot, function) = (source.bus, source.slot(), source.function());
    format!("ua-vt-{:04x}-{bus:02x}-{slot:02x}-{function:x}", source.domain)
}

/// The child in the QEMU namespace with this name (and this attribute), or a new one.
fn qemu_child(editor: &mut Editor<'_>, parent: Element, name: &str, key: Option<(&str, &str)>, why: &Why) -> Element {
    let doc = &editor.doc;
    let found = doc.children(parent).find(|child| {
        let keyed = key.is_none_or(|(key, value)| doc.attribute(*child, key).as_deref() == Some(value));
        doc.is(*child, QEMU_NAMESPACE, name) && keyed
    });
    found.unwrap_or_else(|| {
        let new = editor.add_qemu(parent, name, why);
        if let Some((key, value)) = key {
            editor.set(new, key, value, why);
        }
        new
    })
}
