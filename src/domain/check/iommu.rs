//! The vIOMMU (libvirt docs/formatdomain.rst, "IOMMU devices").

mod vcpus;

use crate::xml::Element;

use super::super::QEMU_NAMESPACE;
use super::super::features::feature;
use super::super::iommu::{iommus, smuggled};
use super::super::pci::{devices, guest_address, pci_controller_index};
use super::super::units::{Machine, number};
use super::Findings;

/// Which driver attribute belongs to which models (libvirt docs/formatdomain.rst, "IOMMU devices").
const ATTRIBUTES: [(&str, &[&str]); 14] = [
    ("intremap", &["intel", "amd"]),
    ("caching_mode", &["intel"]),
    ("eim", &["intel"]),
    ("iotlb", &["intel", "amd"]),
    ("aw_bits", &["intel", "virtio"]),
    ("dma_translation", &["intel"]),
    ("passthrough", &["amd"]),
    ("xtsup", &["amd"]),
    ("pciBus", &["smmuv3"]),
    ("accel", &["smmuv3"]),
    ("ats", &["smmuv3"]),
    ("ril", &["smmuv3"]),
    ("ssidsize", &["smmuv3"]),
    ("oas", &["smmuv3"]),
];

pub(super) fn check(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    let there: Vec<Element> = iommus(doc).collect();
    let raw = smuggled(doc);
    let model = |iommu: &Element| doc.attribute(*iommu, "model").map(|model| model.into_owned()).unwrap_or_default();
    // Several SMMUs are fine if each serves a bus of its own (libvirt 11.10).
    let several = there.len() > 1
        && !there.iter().all(|iommu| model(iommu) == "smmuv3" && driver(findings, *iommu, "pciBus").is_some());
    if several {
        let list: Vec<String> = there.iter().map(model).collect();
        findings.add(
            "iommu-count",
            format!("the domain has {} IOMMUs ({}); a VM can have one", there.len(), list.join(", ")),
        );
    }
    if let Some(name) = raw.first().filter(|_| raw.len() + there.len() > 1) {
        findings.add("iommu-smuggled", format!(
            "qemu:commandline brings an IOMMU ({name}) beside another one; a VM can have one, and libvirt sees only <iommu>"
        ));
    }
    for iommu in there {
        one(findings, iommu, &model(&iommu));
    }
    vcpus::check(findings);
}

fn driver(findings: &Findings<'_>, iommu: Element, name: &str) -> Option<String> {
    let driver = findings.doc.child(iommu, "driver")?;
    findings.doc.attribute(driver, name).map(|value| value.into_owned())
}

fn one(findings: &mut Findings<'_>, iommu: Element, model: &str) {
    let doc = findings.doc;
    let machine = Machine::of(doc);
    let named = Machine::text(doc);
    let fits = match model {
        "intel" | "amd" => (machine == Machine::Q35, "a q35 machine"),
        "virtio" => (matches!(machine, Machine::Q35 | Machine::Virt), "a q35 or Arm virt machine"),
        "smmuv3" => (machine == Machine::Virt, "an Arm virt machine"),
        _ => {
            findings.add(
                "iommu-model",
                format!("the IOMMU model {model:?} is unknown; there are intel, virtio, amd and smmuv3"),
            );
            return;
        }
    };
    if !fits.0 {
        findings
            .add("iommu-machine", format!("an IOMMU of model {model} needs {}; the machine type is {named}", fits.1));
    }
    let acpi = feature(doc, "acpi").is_some();
    if model == "virtio" && !acpi {
        findings.add(
            "iommu-acpi",
            "an IOMMU of model virtio needs <acpi/> in <features>: without it the guest does not find it",
        );
    }
    for (name, models) in ATTRIBUTES {
        if driver(findings, iommu, name).is_some() && !models.contains(&model) {
            findings.add(
                "iommu-attribute",
                format!("an IOMMU of model {model} has no {name}; that is for {}", models.join(" and ")),
            );
        }
    }
    let is_on = |name: &str| driver(findings, iommu, name).as_deref() == Some("on");
    if is_on("eim") && !is_on("intremap") {
        findings.add(
            "iommu-eim",
            "the IOMMU has eim='on' without intremap='on'; extended interrupt mode needs interrupt remapping",
        );
    }
    let ioapic = feature(doc, "ioapic").and_then(|ioapic| doc.attribute(ioapic, "driver"));
    if driver(findings, iommu, "intremap").as_deref() == Some("on") && ioapic.as_deref() == Some("kvm") {
        findings
            .add("iommu-ioapic", "interrupt remapping needs <ioapic driver='qemu'/>, but the domain says driver='kvm'");
    }
    width(findings, iommu, model);
    address(findings, iommu, model);
    if model == "smmuv3" {
        smmu(findings, iommu);
    }
}

fn width(findings: &mut Findings<'_>, iommu: Element, model: &str) {
    let Some(text) = driver(findings, iommu, "aw_bits") else { return };
    let bits = text.parse::<u32>().unwrap_or(0);
    let (ok, allowed) = match model {
        // 57 bits need scalable mode, which only an override can switch on.
        "intel" => {
            (matches!(bits, 39 | 48) || (bits == 57 && scalable(findings)), "39 or 48 (57 only in scalable mode)")
        }
        "virtio" => ((32..=64).contains(&bits), "32 to 64"),
        _ => return,
    };
    if !ok {
        findings.add(
            "iommu-width",
            format!("an IOMMU of model {model} cannot have aw_bits='{text}'; it must be {allowed}"),
        );
    }
}

fn scalable(findings: &Findings<'_>) -> bool {
    let doc = findings.doc;
    let qemu = |parent: Element, name: &'static str| {
        doc.children(parent).filter(move |child| doc.is(*child, QEMU_NAMESPACE, name))
    };
    let devices = qemu(doc.root(), "override").flat_map(|o| qemu(o, "device"));
    let mut properties = devices.flat_map(|device| qemu(device, "frontend")).flat_map(|f| qemu(f, "property"));
    properties.any(|property| doc.attribute(property, "name").as_deref() == Some("x-scalable-mode"))
}

fn address(findings: &mut Findings<'_>, iommu: Element, model: &str) {
    let doc = findings.doc;
    if doc.child(iommu, "address").is_none() {
        return;
    }
    match model {
        "intel" | "smmuv3" => {
            findings.add(
                "iommu-address",
                format!("an IOMMU of model {model} is no PCI device and cannot have an <address>"),
            );
        }
        _ if guest_address(doc, iommu).is_some_and(|at| at.bus != 0) => {
            findings.add("iommu-address", format!("an IOMMU of model {model} must be on bus 0"));
        }
        _ => {}
    }
}

fn smmu(findings: &mut Findings<'_>, iommu: Element) {
    let doc = findings.doc;
    let accel = driver(findings, iommu, "accel").as_deref() == Some("on");
    for name in ["ats", "ril", "ssidsize", "oas"] {
        if driver(findings, iommu, name).is_some() && !accel {
            findings.add("smmu-accel", format!("an IOMMU of model smmuv3 can have {name} only with accel='on'"));
        }
    }
    let bus = driver(findings, iommu, "pciBus");
    if accel && bus.is_none() {
        findings.add(
            "smmu-bus",
            "an IOMMU of model smmuv3 with accel='on' needs pciBus; libvirt silently drops accel without it",
        );
    }
    if let Some(bus) = bus.and_then(|bus| number(&bus))
        && !devices(doc).any(|device| pci_controller_index(doc, device) == Some(bus))
        && bus != 0
    {
        findings.add("smmu-bus", format!("the IOMMU's pciBus='{bus}' names no PCI controller of the domain"));
    }
}
