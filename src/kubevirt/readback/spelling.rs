//! How libvirt writes what is there: defaults spelled out, what it does not know left out.

use super::assign::write_numbers;
use super::defaults::is;
use super::devices::pci;
use crate::kubevirt::reduce::disk_index;
use crate::xml::{Document, Element};

/// Elements of KubeVirt's own that libvirt does not know.
const NOT_OF_LIBVIRT: [&str; 3] = ["filesystemOverhead", "capacity", "expandDisksEnabled"];

/// Writes devices as libvirt would.
pub(super) fn spell_out(document: &mut Document) {
    let Some(devices) = document.child(document.root(), "devices") else {
        return;
    };
    let all: Vec<Element> = document.children(devices).collect();
    for device in &all {
        match document.local_name(*device) {
            "hostdev" => hostdev(document, *device),
            "disk" => disk(document, *device),
            "video" => video(document, *device),
            "iommu" => iommu(document, *device),
            "filesystem" => drop(document.remove_attribute(*device, "accessMode")),
            "input" if is(document, *device, "bus", "usb") => on_usb(document, *device),
            _ => {}
        }
        let foreign = document.child(*device, "alias").filter(|alias| {
            let name = document.attribute(*alias, "name").unwrap_or_default();
            let is_kept = name.starts_with("ua-")
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            !is_kept && document.local_name(*device) != "interface"
        });
        if let Some(alias) = foreign {
            document.remove(alias);
        }
    }
    console(document, devices);
}

fn video(document: &mut Document, video: Element) {
    let Some(model) = document.child(video, "model") else {
        return;
    };
    let memory: &[(&str, &str)] = match document.attribute(model, "type").as_deref() {
        Some("none") | None => return,
        Some("vga" | "cirrus" | "vmvga" | "bochs") => &[("vram", "16384")],
        Some("qxl") => &[("ram", "65536"), ("vram", "65536"), ("vgamem", "16384")],
        Some(_) => &[],
    };
    default(document, model, "heads", "1");
    for (name, value) in memory {
        default(document, model, name, value);
    }
}

/// A driver without settings is nothing to libvirt.
fn iommu(document: &mut Document, iommu: Element) {
    if let Some(driver) = document.child(iommu, "driver")
        && document.attributes(driver).is_empty()
    {
        document.remove(driver);
    }
}

/// libvirt numbers ports; KubeVirt keeps no number, but the element.
pub(super) fn ports(document: &mut Document) {
    let Some(devices) = document.child(document.root(), "devices") else {
        return;
    };
    let controllers: Vec<Element> = document.children_named(devices, "controller").collect();
    for controller in controllers {
        let model = document.attribute(controller, "model").unwrap_or_default().into_owned();
        let is_numbered = matches!(model.as_str(), "pcie-root-port" | "pcie-switch-downstream-port" | "pci-bridge");
        if is_numbered && document.child(controller, "target").is_none() {
            document.append(controller, "target");
        }
    }
}

fn default(document: &mut Document, element: Element, name: &str, value: &str) {
    if document.attribute(element, name).is_none() {
        document.set_attribute(element, name, value);
    }
}

fn hostdev(document: &mut Document, device: Element) {
    default(document, device, "managed", "no");
    default(document, device, "mode", "subsystem");
    if is(document, device, "type", "mdev") && is(document, device, "model", "vfio-pci") {
        default(document, device, "display", "off");
    }
    if is(document, device, "type", "usb") {
        on_usb(document, device);
    }
    if let Some(source) = document.descend(device, &["source", "address"])
        && is(document, device, "type", "pci")
    {
        document.remove_attribute(source, "type");
        if let Some(address) = pci(document, source) {
            write_numbers(document, source, address);
        }
    }
}

/// The port is not in KubeVirt's structs, so any will do.
fn on_usb(document: &mut Document, device: Element) {
    if document.child(device, "address").is_none() {
        let address = document.append(device, "address");
        document.set_attribute(address, "type", "usb");
        document.set_attribute(address, "bus", "0");
    }
}

fn disk(document: &mut Document, disk: Element) {
    let of_kubevirt: Vec<Element> = NOT_OF_LIBVIRT.iter().filter_map(|name| document.child(disk, name)).collect();
    for element in of_kubevirt {
        document.remove(element);
    }
    if is(document, disk, "device", "cdrom") && document.child(disk, "readonly").is_none() {
        document.append(disk, "readonly");
    }
    let driver = document.child(disk, "driver").unwrap_or_else(|| document.append(disk, "driver"));
    default(document, driver, "name", "qemu");
    default(document, driver, "type", "raw");
    let Some(target) = document.child(disk, "target") else {
        return;
    };
    let index = document.attribute(target, "dev").and_then(|name| disk_index(&name));
    let per_controller = match document.attribute(target, "bus").as_deref() {
        Some("sata") => 6,
        Some("scsi") => 7,
        _ => return,
    };
    if let Some(index) = index
        && document.child(disk, "address").is_none()
    {
        let address = document.append(disk, "address");
        let (controller, unit) = (index / per_controller, index % per_controller);
        let numbers = [("controller", controller), ("bus", 0), ("target", 0), ("unit", unit)];
        document.set_attribute(address, "type", "drive");
        for (name, number) in numbers {
            document.set_attribute(address, name, &number.to_string());
        }
    }
}

/// The first console is the first serial port under another name.
fn console(document: &mut Document, devices: Element) {
    let (Some(console), Some(serial)) = (document.child(devices, "console"), document.child(devices, "serial")) else {
        return;
    };
    let target = document.child(console, "target");
    if !target.is_some_and(|target| is(document, target, "type", "serial")) {
        return;
    }
    let kind = document.attribute(serial, "type").unwrap_or_default().into_owned();
    document.set_attribute(console, "type", &kind);
    if let Some(source) = document.child(console, "source") {
        document.remove(source);
    }
    if let Some(source) = document.child(serial, "source") {
        let attributes: Vec<(String, String)> = document
            .attributes(source)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into_owned()))
            .collect();
        let copy = document.append(console, "source");
        for (name, value) in attributes {
            document.set_attribute(copy, &name, &value);
        }
    }
}
