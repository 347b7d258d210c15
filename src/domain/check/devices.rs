//! Host devices and what every device has: boot order, alias, ACPI index, ROM (libvirt 11.3, domain_conf.c), overrides and video (libvirt 11.3, qemu_validate.c).

use crate::config::is_alias_text;
use crate::xml::Element;

use super::super::hostdev::{Kind, alias, kind, mdev_uuid, source_address};
use super::super::pci::devices;
use super::super::units::{bytes, number};
use super::{Findings, doubles};

/// QEMU's highest ACPI index.
const MAX_ACPI_INDEX: u32 = 16383;

pub(super) fn check(findings: &mut Findings<'_>) {
    boot(findings);
    aliases(findings);
    acpi_indexes(findings);
    sources(findings);
    for device in devices(findings.doc) {
        rom(findings, device);
    }
    emulated(findings);
}

fn boot(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    let mut orders = Vec::new();
    for device in devices(doc) {
        let Some(order) = doc.child(device, "boot").and_then(|boot| doc.attribute(boot, "order")) else { continue };
        let place = findings.place(device);
        if kind(doc, device) == Some(Kind::Mdev) {
            findings.add(
                "boot-mdev",
                format!("{place} is a mediated device; a VM cannot boot from it, so it may have no boot order"),
            );
        }
        let Some(order) = number(&order).filter(|order| *order > 0) else {
            findings.add("boot-zero", format!("{place}: the boot order is {order:?}; it counts from 1"));
            continue;
        };
        orders.push((order, device));
    }
    let os = doc.child(doc.root(), "os");
    if let Some((_, device)) = orders.first()
        && os.is_some_and(|os| doc.child(os, "boot").is_some())
    {
        let place = findings.place(*device);
        findings.add(
            "boot-os",
            format!("{place} has a boot order, but <os> names boot devices too; libvirt takes one of the two"),
        );
    }
    for (order, first, second) in doubles(orders.into_iter()) {
        let (first, second) = (findings.place(first), findings.place(second));
        findings.add("boot-order", format!("{first} and {second} both have boot order {order}; each needs its own"));
    }
}

fn aliases(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    let named: Vec<(String, Element)> = devices(doc).filter_map(|device| Some((alias(doc, device)?, device))).collect();
    for (name, device) in &named {
        // libvirt replaces other aliases by its own. KubeVirt's placeholder NICs have such ones, and there it does no harm; a host
        // device is named by its alias elsewhere.
        let foreign = kind(doc, *device).is_some() && !name.starts_with("ua-") && !is_own_name(name);
        if foreign {
            let what = doc.local_name(*device);
            findings.add(
                "alias-prefix",
                format!("the {what} alias {name:?} does not begin with ua-, so libvirt silently replaces it; write \"ua-{name}\""),
            );
        }
        if name.starts_with("ua-") && !is_alias_text(name) {
            let what = doc.local_name(*device);
            findings.add("alias-form", format!(
                "the {what} alias {name:?} has characters that make libvirt replace it silently; only letters, digits, '-' and '_' are kept"
            ));
        }
    }
    let kept = named.into_iter().filter(|(name, _)| name.starts_with("ua-") && is_alias_text(name));
    for (name, ..) in doubles(kept) {
        findings.add("alias-double", format!("two devices have the alias {name}; each needs its own"));
    }
}

/// Whether this is a name that libvirt itself gives to host devices.
fn is_own_name(alias: &str) -> bool {
    alias.strip_prefix("hostdev").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn acpi_indexes(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    let mut indexes = Vec::new();
    for device in devices(doc) {
        let Some(text) = doc.child(device, "acpi").and_then(|acpi| doc.attribute(acpi, "index")) else { continue };
        match number(&text) {
            Some(index) if (1..=MAX_ACPI_INDEX).contains(&index) => indexes.push((index, device)),
            _ => {
                let place = findings.place(device);
                findings.add(
                    "acpi-range",
                    format!("{place}: the ACPI index is {text:?}; it must be 1 to {MAX_ACPI_INDEX}"),
                );
            }
        }
    }
    for (index, first, second) in doubles(indexes.into_iter()) {
        let (first, second) = (findings.place(first), findings.place(second));
        findings.add(
            "acpi-double",
            format!("{first} and {second} both have ACPI index {index}; QEMU takes each only once"),
        );
    }
}

fn sources(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    let mut sources = Vec::new();
    for device in devices(doc) {
        let key = match kind(doc, device) {
            Some(Kind::Pci) => source_address(doc, device).map(|address| address.to_string()),
            Some(Kind::Mdev) => mdev_uuid(doc, device),
            _ => continue,
        };
        let empty = key.as_deref().is_none_or(|key| key == "0000:00:00.0");
        match key {
            Some(key) if !empty => sources.push((key, device)),
            _ => {
                let place = findings.place(device);
                findings.add(
                    "hostdev-source",
                    format!(
                        "{place}: <source> names no host device (libvirt would read 0000:00:00.0); give it an <address>"
                    ),
                );
            }
        }
    }
    for (key, first, second) in doubles(sources.into_iter()) {
        let (first, second) = (findings.place(first), findings.place(second));
        findings.add(
            "hostdev-double",
            format!("{first} and {second} are both the host device {key}; it can be assigned once"),
        );
    }
}

fn rom(findings: &mut Findings<'_>, device: Element) {
    let doc = findings.doc;
    let Some(rom) = doc.child(device, "rom") else { return };
    let disabled = doc.attribute(rom, "enabled").as_deref() == Some("no");
    if disabled && (doc.attribute(rom, "bar").is_some() || doc.attribute(rom, "file").is_some()) {
        let place = findings.place(device);
        findings.add(
            "rom-disabled",
            format!("{place}: the ROM is disabled (enabled='no') and has a bar or file as well; leave out one"),
        );
    }
    if let Some(file) = doc.attribute(rom, "file").filter(|file| !file.starts_with('/')) {
        let place = findings.place(device);
        findings.add("rom-path", format!("{place}: the ROM file {file:?} must be an absolute path"));
    }
}

fn emulated(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    let videos: Vec<Element> = devices(doc).filter(|device| doc.is(*device, "", "video")).collect();
    let none = |video: &Element| {
        doc.child(*video, "model").and_then(|model| doc.attribute(model, "type")).as_deref() == Some("none")
    };
    if videos.len() > 1 && videos.iter().any(none) {
        findings.add("video-none", "a video device of model none must be the only one; remove the others");
    }
    let balloons: Vec<Element> = devices(doc).filter(|device| doc.is(*device, "", "memballoon")).collect();
    if balloons.len() > 1 {
        findings.add("balloon-count", format!("the domain has {} memory balloons; it can have one", balloons.len()));
    }
    let no_usb = devices(doc).any(|device| {
        let attribute = |name| doc.attribute(device, name);
        doc.local_name(device) == "controller"
            && attribute("type").as_deref() == Some("usb")
            && attribute("model").as_deref() == Some("none")
    });
    for device in devices(doc) {
        if no_usb && kind(doc, device) == Some(Kind::Usb) {
            let place = findings.place(device);
            findings
                .add("usb-none", format!("{place} is a USB device, but the domain's USB controller is of model none"));
        }
        displays(findings, device);
        let shmem = doc.local_name(device) == "shmem";
        if shmem && doc.attribute(device, "name").is_none_or(|name| name.is_empty() || name.contains('/')) {
            findings.add("shmem-name", "a shared memory needs a name, without '/'");
        }
        let Some(size) = doc.child(device, "size").filter(|_| shmem) else { continue };
        if bytes(doc, size).is_none_or(|size| size < 1 << 20 || !size.is_power_of_two()) {
            let name = doc.attribute(device, "name").unwrap_or_default();
            findings.add("shmem-size", format!("the shared memory {name} must be at least 1 MiB and a power of two"));
        }
    }
}

/// A mediated device can show its picture only where there is something to show it on.
fn displays(findings: &mut Findings<'_>, device: Element) {
    let doc = findings.doc;
    let shows = kind(doc, device).is_some() && doc.attribute(device, "display").as_deref() == Some("on");
    if shows && !devices(doc).any(|device| doc.is(device, "", "graphics")) {
        let place = findings.place(device);
        findings.add(
            "display-graphics",
            format!("{place} has display='on', but the domain has no <graphics> to show it on"),
        );
    }
}
