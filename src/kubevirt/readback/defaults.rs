//! What libvirt adds to a q35 domain that does not have it, and how it writes what is there.

use super::assign::write_numbers;
use super::devices::pci;
use crate::kubevirt::reduce::disk_index;
use crate::xml::{Document, Element};

/// Where distributions have QEMU.
const EMULATOR: &str = "/usr/bin/qemu-system-x86_64";
/// Elements of KubeVirt's own that libvirt does not know.
const NOT_OF_LIBVIRT: [&str; 3] = ["filesystemOverhead", "capacity", "expandDisksEnabled"];

/// Adds what is missing, in libvirt's order.
pub(super) fn add(document: &mut Document) {
    let root = document.root();
    let devices = document.child(root, "devices").unwrap_or_else(|| document.append(root, "devices"));
    if document.child(devices, "emulator").is_none() {
        let emulator = document.append(devices, "emulator");
        document.set_text(emulator, EMULATOR);
    }
    controller(document, devices, "usb", "qemu-xhci");
    controller(document, devices, "sata", "");
    controller(document, devices, "pci", "pcie-root");
    let has_channel = document.children_named(devices, "channel").any(|channel| is_virtio(document, channel));
    if has_channel {
        controller(document, devices, "virtio-serial", "");
    }
    inputs(document, devices);
    if !document.children_named(devices, "watchdog").any(|it| is(document, it, "model", "itco")) {
        let watchdog = document.append(devices, "watchdog");
        document.set_attribute(watchdog, "model", "itco");
        document.set_attribute(watchdog, "action", "reset");
    }
    if document.child(devices, "memballoon").is_none() {
        let balloon = document.append(devices, "memballoon");
        document.set_attribute(balloon, "model", "virtio");
    }
    if document.child(devices, "graphics").is_some() && document.child(devices, "video").is_none() {
        let video = document.append(devices, "video");
        let model = document.append(video, "model");
        for (name, value) in [("type", "cirrus"), ("heads", "1"), ("vram", "16384")] {
            document.set_attribute(model, name, value);
        }
    }
}

fn is(document: &Document, element: Element, name: &str, value: &str) -> bool {
    document.attribute(element, name).as_deref() == Some(value)
}

fn is_virtio(document: &Document, channel: Element) -> bool {
    document.child(channel, "target").is_some_and(|target| is(document, target, "type", "virtio"))
}

fn controller(document: &mut Document, devices: Element, kind: &str, model: &str) {
    let is_there = document
        .children_named(devices, "controller")
        .any(|it| is(document, it, "type", kind) && (kind == "usb" || is(document, it, "index", "0")));
    if is_there {
        return;
    }
    let controller = document.append(devices, "controller");
    document.set_attribute(controller, "type", kind);
    document.set_attribute(controller, "index", "0");
    if !model.is_empty() {
        document.set_attribute(controller, "model", model);
    }
}

/// PS/2 mouse and keyboard, unless the board has no such port.
fn inputs(document: &mut Document, devices: Element) {
    let ps2 = document.descend(document.root(), &["features", "ps2"]);
    if ps2.is_some_and(|ps2| is(document, ps2, "state", "off")) {
        return;
    }
    for kind in ["mouse", "keyboard"] {
        let is_there = document
            .children_named(devices, "input")
            .any(|it| is(document, it, "type", kind) && is(document, it, "bus", "ps2"));
        if !is_there {
            let input = document.append(devices, "input");
            document.set_attribute(input, "type", kind);
            document.set_attribute(input, "bus", "ps2");
        }
    }
}

/// Writes what is there as libvirt would: defaults spelled out, what it does not know left out.
pub(super) fn spell_out(document: &mut Document) {
    let Some(devices) = document.child(document.root(), "devices") else {
        return;
    };
    let all: Vec<Element> = document.children(devices).collect();
    for device in &all {
        match document.local_name(*device) {
            "controller" => controller_target(document, *device),
            "hostdev" => hostdev(document, *device),
            "disk" => disk(document, *device),
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

/// libvirt numbers ports; KubeVirt keeps no number, but the element.
fn controller_target(document: &mut Document, controller: Element) {
    let model = document.attribute(controller, "model").unwrap_or_default().into_owned();
    let is_numbered = matches!(model.as_str(), "pcie-root-port" | "pcie-switch-downstream-port" | "pci-bridge");
    if is_numbered && document.child(controller, "target").is_none() {
        document.append(controller, "target");
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
