//! What libvirt adds to a q35 domain that does not have it.

use crate::xml::{Document, Element};

/// Where distributions have QEMU.
const EMULATOR: &str = "/usr/bin/qemu-system-x86_64";

/// Adds what is missing, in libvirt's order.
pub(super) fn add(document: &mut Document) {
    let root = document.root();
    let devices = document.child(root, "devices").unwrap_or_else(|| document.append(root, "devices"));
    if document.child(devices, "emulator").is_none() {
        let emulator = document.append(devices, "emulator");
        document.set_text(emulator, EMULATOR);
    }
    if !document.children_named(devices, "controller").any(|it| is(document, it, "type", "usb")) {
        controller(document, devices, "usb", 0, "qemu-xhci");
    }
    controller(document, devices, "sata", 0, "");
    controller(document, devices, "pci", 0, "pcie-root");
    let has_channel = document.children_named(devices, "channel").any(|channel| is_virtio(document, channel));
    if has_channel {
        controller(document, devices, "virtio-serial", 0, "");
    }
    inputs(document, devices);
    watchdog(document, devices);
    if document.child(devices, "memballoon").is_none() {
        let balloon = document.append(devices, "memballoon");
        document.set_attribute(balloon, "model", "virtio");
    }
    if document.child(devices, "graphics").is_some() && document.child(devices, "video").is_none() {
        let video = document.append(devices, "video");
        let model = document.append(video, "model");
        document.set_attribute(model, "type", "cirrus");
    }
}

/// Whether an attribute has a value.
pub(super) fn is(document: &Document, element: Element, name: &str, value: &str) -> bool {
    document.attribute(element, name).as_deref() == Some(value)
}

fn is_virtio(document: &Document, channel: Element) -> bool {
    document.child(channel, "target").is_some_and(|target| is(document, target, "type", "virtio"))
}

/// Controllers for all drives: a disk's address may be on one that nobody wrote down.
pub(super) fn add_for_drives(document: &mut Document) {
    let Some(devices) = document.child(document.root(), "devices") else {
        return;
    };
    for kind in ["scsi", "sata"] {
        let last = document
            .children_named(devices, "disk")
            .filter(|disk| document.child(*disk, "target").is_some_and(|target| is(document, target, "bus", kind)))
            .filter_map(|disk| document.attribute(document.child(disk, "address")?, "controller")?.parse::<u32>().ok())
            .max();
        let model = document
            .children_named(devices, "controller")
            .find(|it| is(document, *it, "type", kind))
            .and_then(|it| document.attribute(it, "model").map(std::borrow::Cow::into_owned));
        for index in 0..=last.unwrap_or(0) {
            if last.is_some() {
                controller(document, devices, kind, index, model.as_deref().unwrap_or(""));
            }
        }
    }
}

/// Adds a controller unless there is one of its number.
fn controller(document: &mut Document, devices: Element, kind: &str, index: u32, model: &str) {
    let index = index.to_string();
    let is_there = document
        .children_named(devices, "controller")
        .any(|it| is(document, it, "type", kind) && is(document, it, "index", &index));
    if is_there {
        return;
    }
    let controller = document.append(devices, "controller");
    document.set_attribute(controller, "type", kind);
    document.set_attribute(controller, "index", &index);
    if !model.is_empty() {
        document.set_attribute(controller, "model", model);
    }
}

/// The chipset's own watchdog does what the others do.
fn watchdog(document: &mut Document, devices: Element) {
    let known: Vec<Element> = document.children_named(devices, "watchdog").collect();
    if known.iter().any(|it| is(document, *it, "model", "itco")) {
        return;
    }
    let action = known.first().and_then(|it| document.attribute(*it, "action"));
    let action = action.map_or_else(|| "reset".to_owned(), |action| action.into_owned());
    let watchdog = document.append(devices, "watchdog");
    document.set_attribute(watchdog, "model", "itco");
    document.set_attribute(watchdog, "action", &action);
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
