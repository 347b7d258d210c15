//! The vIOMMU: `<iommu>`, the I/O APIC it needs, and the virtio devices behind it (libvirt docs/formatdomain.rst, "IOMMU devices").

use crate::config::{Ioapic, OnOff, OnOffAuto, Viommu, ViommuModel, VirtioDevices};
use crate::xml::{Document, Element};

use super::editor::{Editor, Why};
use super::features::set_ioapic;
use super::hostdev::vfio_count;
use super::pci::devices;
use super::qemu;
use super::request::Request;
use super::units::vcpus;

/// More vCPUs than this need extended interrupt mode (libvirt 11.3, qemu_validate.c).
const EIM_ABOVE: u32 = 255;

/// Names of QEMU's IOMMU devices; libvirt does not see one that is given as a raw argument and locks too little memory (kubevirt#18915).
const QEMU_IOMMUS: [&str; 8] = [
    "intel-iommu",
    "amd-iommu",
    "AMDVI-PCI",
    "virtio-iommu",
    "virtio-iommu-pci",
    "virtio-iommu-pci-non-transitional",
    "virtio-iommu-device",
    "arm-smmuv3",
];

/// The `<iommu>` elements of a domain.
pub(super) fn iommus(doc: &Document) -> impl Iterator<Item = Element> + '_ {
    devices(doc).filter(|device| doc.is(*device, "", "iommu"))
}

/// The IOMMUs in the raw QEMU arguments, each as the argument names it.
pub(super) fn smuggled(doc: &Document) -> Vec<String> {
    let mut out = Vec::new();
    for group in qemu::groups(doc) {
        let [option, values @ ..] = group.values.as_slice() else { continue };
        let (option, inline) = option.split_once('=').map_or((option.as_str(), None), |(o, v)| (o, Some(v)));
        let values = inline.into_iter().chain(values.iter().map(String::as_str));
        for value in values {
            let named = match option.trim_start_matches('-') {
                "device" => qemu::device_driver(value),
                "set" => value.split_once(".driver=").map(|(_, driver)| driver.to_owned()),
                "machine" | "M" => value.split(',').find_map(|part| part.strip_prefix("iommu=")).map(str::to_owned),
                _ => None,
            };
            if let Some(name) = named.filter(|name| QEMU_IOMMUS.contains(&name.as_str()) || name == "smmuv3") {
                out.push(name);
            }
        }
    }
    out
}

/// Sets the vIOMMU that is asked for.
pub(super) fn apply(editor: &mut Editor<'_>, viommu: &Viommu, request: &Request<'_>) {
    let model = viommu.model.as_str();
    let there: Vec<Element> = iommus(&editor.doc).collect();
    if qemu::groups(&editor.doc).iter().any(|group| group.values[0].trim_start_matches('-') == "readconfig") {
        editor.note("viommu: qemu:commandline has -readconfig; whether that file brings an IOMMU of its own cannot be seen here");
    }
    if let Some(name) = smuggled(&editor.doc).first() {
        editor.refuse(format!(
            "viommu: qemu:commandline already brings an IOMMU ({name}), which libvirt cannot see; remove that argument"
        ));
        return;
    }
    let existing: Vec<String> =
        there.iter().map(|iommu| editor.doc.attribute(*iommu, "model").unwrap_or_default().into_owned()).collect();
    if existing.len() > 1 {
        let list = existing.join(", ");
        editor.refuse(format!("viommu: the domain has {} IOMMUs ({list}); a VM can have one", existing.len()));
        return;
    }
    if existing.first().is_some_and(String::is_empty) {
        editor
            .refuse("viommu.model: the domain already has an IOMMU, whose model is missing; give it one or remove it");
        return;
    }
    if let Some(other) = existing.first().filter(|existing| *existing != model) {
        editor.refuse(format!(
            "viommu.model: the domain already has an IOMMU of model {other}, not {model}; ask for {other} or remove it"
        ));
        return;
    }
    let why = editor.why("viommu.model", format!("the guest gets an IOMMU of model {model}"));
    let parent = editor.devices(&why);
    let iommu = there.first().copied().unwrap_or_else(|| {
        let iommu = editor.add(parent, "iommu", &why);
        editor.set(iommu, "model", model, &why);
        iommu
    });
    let attributes = driver_attributes(editor, viommu, request);
    if !attributes.is_empty() {
        let driver = editor.child_or_new(iommu, "driver", &why);
        for (name, value, why) in attributes {
            editor.set(driver, name, &value, &why);
        }
    }
    virtio_devices(editor, viommu);
}

/// The attributes of `<driver>` to be set, each with its reason; settles the I/O APIC on the way.
fn driver_attributes(
    editor: &mut Editor<'_>,
    viommu: &Viommu,
    request: &Request<'_>,
) -> Vec<(&'static str, String, Why)> {
    let mut out: Vec<(&'static str, String, Why)> = Vec::new();
    let profile = &request.profile.spec;
    let remaps = matches!(viommu.model, ViommuModel::Intel | ViommuModel::Amd);
    let kvm_ioapic = profile.features.ioapic == Some(Ioapic::Kvm);
    let mut remapping = None;
    if remaps {
        let (value, reason) = match viommu.interrupt_remapping.unwrap_or(OnOffAuto::Auto) {
            OnOffAuto::On => (OnOff::On, "interrupt remapping as asked for"),
            OnOffAuto::Off => (OnOff::Off, "interrupt remapping as asked for"),
            OnOffAuto::Auto if kvm_ioapic => {
                (OnOff::Off, "interrupt remapping auto: off because features.ioapic is kvm")
            }
            OnOffAuto::Auto => {
                (OnOff::On, "interrupt remapping auto: what the guest assigns further needs it to be safe")
            }
        };
        remapping = Some(value);
        out.push(("intremap", value.as_str().to_owned(), why(editor, "viommu.interruptRemapping", reason)));
        if value.is_on() {
            let why = why(
                editor,
                "viommu.interruptRemapping",
                "interrupt remapping needs the split I/O APIC (libvirt fills it in only since 10.10)",
            );
            set_ioapic(editor, Ioapic::Qemu, &why);
        }
    }
    if viommu.model == ViommuModel::Intel {
        let vfio = vfio_count(&editor.doc) > 0 || request.vm.is_some_and(|vm| !vm.devices.is_empty());
        let caching = match viommu.caching_mode.unwrap_or(OnOffAuto::Auto) {
            OnOffAuto::On => Some((OnOff::On, "caching mode as asked for")),
            OnOffAuto::Off => Some((OnOff::Off, "caching mode as asked for")),
            OnOffAuto::Auto => {
                vfio.then_some((OnOff::On, "caching mode auto: VFIO devices behind an Intel IOMMU need it"))
            }
        };
        if let Some((value, reason)) = caching {
            out.push(("caching_mode", value.as_str().to_owned(), why(editor, "viommu.cachingMode", reason)));
        }
        let count = vcpus(&editor.doc);
        let eim = match viommu.eim.unwrap_or(OnOffAuto::Auto) {
            OnOffAuto::On => Some((OnOff::On, "eim as asked for".to_owned())),
            OnOffAuto::Off => Some((OnOff::Off, "eim as asked for".to_owned())),
            OnOffAuto::Auto => {
                (count > EIM_ABOVE).then(|| (OnOff::On, format!("eim auto: {count} vCPUs are more than {EIM_ABOVE}")))
            }
        };
        if let Some((value, reason)) = eim {
            if value.is_on() && remapping != Some(OnOff::On) {
                editor.refuse(format!(
                    "viommu.eim: extended interrupt mode ({reason}) needs interrupt remapping; set viommu.interruptRemapping: on"
                ));
            }
            out.push(("eim", value.as_str().to_owned(), why(editor, "viommu.eim", &reason)));
        }
    }
    let on_off = |value: Option<OnOff>| value.map(|value| value.as_str().to_owned());
    let number = |value: Option<u8>| value.map(|value| value.to_string());
    for (name, field, value) in [
        ("iotlb", "viommu.iotlb", on_off(viommu.iotlb)),
        ("aw_bits", "viommu.awBits", number(viommu.aw_bits)),
        ("dma_translation", "viommu.dmaTranslation", on_off(viommu.dma_translation)),
        ("xtsup", "viommu.xtsup", on_off(viommu.xtsup)),
        ("pciBus", "viommu.pciBus", number(viommu.pci_bus)),
        ("accel", "viommu.accel", on_off(viommu.accel)),
        ("ats", "viommu.ats", on_off(viommu.ats)),
        ("ril", "viommu.ril", on_off(viommu.ril)),
        ("ssidsize", "viommu.ssidSize", number(viommu.ssid_size)),
        ("oas", "viommu.oas", number(viommu.oas)),
    ] {
        if let Some(value) = value {
            out.push((name, value, editor.why(field, format!("{name} as asked for"))));
        }
    }
    out
}

/// The reason for what a field asks for, or, where nobody set it, for what follows from asking for a vIOMMU.
fn why(editor: &Editor<'_>, field: &str, reason: &str) -> Why {
    editor.why(if editor.is_set(field) { field } else { "viommu.model" }, reason)
}

/// Puts the virtio devices behind the IOMMU.
fn virtio_devices(editor: &mut Editor<'_>, viommu: &Viommu) {
    let ats = match viommu.virtio_devices {
        None | Some(VirtioDevices::Off) => return,
        Some(VirtioDevices::On) => false,
        Some(VirtioDevices::Ats) => true,
    };
    let why = editor.why("viommu.virtioDevices", "virtio devices use the IOMMU only when they are told to");
    let targets: Vec<Element> = devices(&editor.doc).filter(|device| is_virtio(&editor.doc, *device)).collect();
    for device in targets {
        if is_transitional(&editor.doc, device) {
            let place = editor.place(device);
            editor.refuse(format!(
                "viommu.virtioDevices: {place} is virtio-transitional, and QEMU takes only non-transitional devices behind an IOMMU; \
                 leave useVirtioTransitional out of the VM"
            ));
            continue;
        }
        let driver = editor.child_or_new(device, "driver", &why);
        editor.set(driver, "iommu", "on", &why);
        if ats {
            editor.set(driver, "ats", "on", &why);
        }
    }
}

/// Whether a virtio device speaks the old protocol too.
fn is_transitional(doc: &Document, device: Element) -> bool {
    let model = doc.child(device, "model").and_then(|model| doc.attribute(model, "type"));
    [doc.attribute(device, "model"), model].into_iter().flatten().any(|model| model == "virtio-transitional")
}

/// Whether a device is a virtio one that knows `<driver iommu= ats=>`.
fn is_virtio(doc: &Document, device: Element) -> bool {
    let attribute = |name| doc.attribute(device, name).is_some_and(|value| value.starts_with("virtio"));
    let child = |child, name| {
        doc.child(device, child).and_then(|child| doc.attribute(child, name)).is_some_and(|v| v.starts_with("virtio"))
    };
    match doc.local_name(device) {
        "disk" => child("target", "bus"),
        "interface" => child("model", "type"),
        "controller" => attribute("model") || doc.attribute(device, "type").as_deref() == Some("virtio-serial"),
        "memballoon" | "rng" | "vsock" => attribute("model"),
        "input" => attribute("bus"),
        "video" => child("model", "type"),
        _ => false,
    }
}
