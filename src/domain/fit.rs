//! What concerns several devices at once: the 64-bit window, quirks, multifunction slots.

use std::collections::BTreeMap;

use crate::base::PciAddress;
use crate::config::{AutoSize, DomainProfile};
use crate::quirks::{Fitting, QUIRKS, Situation};
use crate::xml::{Document, Element};

use super::editor::Editor;
use super::features::feature;
use super::firmware::is_efi;
use super::hostdev::{Assigned, Kind, kind};
use super::pci::{address_element, devices, guest_address};
use super::request::Request;
use super::units::Machine;

/// The 64-bit window that OVMF and q35 have by themselves.
const DEFAULT_WINDOW: u64 = 32 << 30;

/// How large a 64-bit window the BARs of the assigned devices need, if more than there is anyway; `None` also without facts.
pub(super) fn window(
    editor: &mut Editor<'_>,
    assigned: &[Assigned],
    request: &Request<'_>,
    profile: &DomainProfile,
) -> Option<u64> {
    let asked: Vec<&str> = [
        ("firmware.mmio64", profile.firmware.mmio64 == Some(AutoSize::Auto)),
        ("pci.hole64", profile.pci.hole64 == Some(AutoSize::Auto)),
    ]
    .into_iter()
    .filter_map(|(field, auto)| auto.then_some(field))
    .collect();
    let Some(host) = request.host else {
        if !asked.is_empty() {
            let fields = asked.join(" and ");
            editor.note(format!(
                "{fields}: auto needs facts about the host (--host-root) for the sizes of BARs; nothing is set"
            ));
        }
        return None;
    };
    let bars: Vec<u64> = assigned
        .iter()
        .filter_map(|device| host.pci.get(&device.source?))
        .flat_map(|facts| facts.bars.iter().filter(|bar| bar.wide).map(|bar| bar.size))
        .collect();
    // BARs are aligned to their own size: in the worst order the largest costs its size once more.
    let need =
        bars.iter().try_fold(*bars.iter().max()?, |sum, bar| sum.checked_add(*bar))?.checked_next_power_of_two()?;
    if need <= DEFAULT_WINDOW {
        if !asked.is_empty() {
            editor.note(format!(
                "{}: the default window of 32 GiB holds the BARs of the assigned devices",
                asked.join(" and ")
            ));
        }
        return None;
    }
    Some(need)
}

/// Lets every quirk that concerns an assigned device fill the fields nobody set.
pub(super) fn quirks(
    editor: &mut Editor<'_>,
    profile: &mut DomainProfile,
    assigned: &mut [Assigned],
    request: &Request<'_>,
    window: Option<u64>,
) {
    let pci: Vec<usize> = (0..assigned.len()).filter(|i| assigned[*i].kind == Kind::Pci).collect();
    if pci.is_empty() {
        return;
    }
    let Some(host) = request.host else {
        editor.note("quirks: without facts about the host (--host-root) the assigned devices are not known; no quirk is applied");
        return;
    };
    for index in pci {
        let device = &mut assigned[index];
        let Some(facts) = device.source.and_then(|source| host.pci.get(&source)) else {
            editor.note(format!("quirks: the host has no device for {}", device.name));
            continue;
        };
        let situation = situation(&editor.doc, device.element, window);
        for quirk in QUIRKS.iter().filter(|quirk| (quirk.matches)(facts)) {
            let before = (profile.clone(), device.settings.clone());
            let mut fitting = Fitting { facts, domain: &situation, profile, device: &mut device.settings };
            let outcome = (quirk.apply)(&mut fitting);
            let origin = format!("quirk {} ({}; {})", quirk.name, quirk.reason, quirk.source);
            for field in newly_set(&before.0, profile) {
                editor.attribute_to(field, &origin);
            }
            if before.1.address != device.settings.address {
                editor.attribute_to(&format!("{}.address", device.path), &origin);
            }
            if before.1.properties != device.settings.properties {
                editor.attribute_to(&format!("{}.properties", device.path), &origin);
            }
            if let Err(note) = outcome {
                editor.note(format!("quirk {}: {}: {note}", quirk.name, device.name));
            }
        }
    }
}

/// The fields that quirks may set, as far as they were empty before.
fn newly_set(before: &DomainProfile, after: &DomainProfile) -> Vec<&'static str> {
    [
        ("firmware.mmio64", before.firmware.mmio64 != after.firmware.mmio64),
        ("pci.hole64", before.pci.hole64 != after.pci.hole64),
        ("cpu.maxPhysAddr", before.cpu.max_phys_addr != after.cpu.max_phys_addr),
        ("features.hideKvm", before.features.hide_kvm != after.features.hide_kvm),
        ("features.hypervVendorId", before.features.hyperv_vendor_id != after.features.hyperv_vendor_id),
        ("devices.video", before.devices.video != after.devices.video),
    ]
    .into_iter()
    .filter_map(|(field, set)| set.then_some(field))
    .collect()
}

fn situation(doc: &Document, device: Element, window: Option<u64>) -> Situation {
    let root = doc.root();
    let hyperv = feature(doc, "hyperv");
    let cpu = doc.child(root, "cpu").and_then(|cpu| doc.attribute(cpu, "mode"));
    let shows = |hostdev: Element| doc.attribute(hostdev, "display").as_deref() == Some("on");
    Situation {
        graphics: devices(doc).any(|device| doc.is(device, "", "graphics")),
        mdev_display: devices(doc).any(|device| kind(doc, device) == Some(Kind::Mdev) && shows(device)),
        hyperv: hyperv.is_some(),
        hyperv_passthrough: hyperv.and_then(|h| doc.attribute(h, "mode")).as_deref() == Some("passthrough"),
        efi: is_efi(doc),
        q35: Machine::of(doc) == Machine::Q35,
        host_cpu: matches!(cpu.as_deref(), Some("host-passthrough" | "maximum")),
        window,
        occupied: devices(doc).filter(|other| *other != device).filter_map(|other| guest_address(doc, other)).collect(),
    }
}

/// Function 0 of a slot whose other functions are in use must say so. libvirt does it by itself only where the attribute is absent,
/// and KubeVirt drops the attribute between its passes (KubeVirt 1.9, pkg/virt-launcher/virtwrap/manager.go). Slots that nobody touched are left alone.
pub(super) fn multifunction(editor: &mut Editor<'_>, assigned: &[Assigned]) {
    let mut slots: BTreeMap<(u32, u8, u8), Vec<(PciAddress, Element)>> = BTreeMap::new();
    for device in devices(&editor.doc) {
        if kind(&editor.doc, device).is_none() {
            continue;
        }
        if let Some(at) = guest_address(&editor.doc, device) {
            slots.entry((at.domain, at.bus, at.slot())).or_default().push((at, device));
        }
    }
    let why = editor.why("hostDevices", "other functions of this slot are in use, so function 0 says so");
    for functions in slots.values().filter(|functions| functions.len() > 1) {
        let placed = |element| assigned.iter().any(|device| device.element == element && device.is_placed());
        if !functions.iter().any(|(_, element)| placed(*element)) {
            continue;
        }
        let primary = functions.iter().find(|(at, _)| at.function() == 0);
        if let Some(element) = primary.and_then(|(_, device)| address_element(&editor.doc, *device)) {
            editor.set(element, "multifunction", "on", &why);
        }
    }
}
