//! More vCPUs than a plain interrupt controller can address (libvirt 11.3, qemu_validate.c).

use crate::xml::Element;

use super::super::super::features::feature;
use super::super::super::iommu::{iommus, smuggled};
use super::super::super::units::{Machine, vcpus};
use super::super::Findings;
use super::driver;

/// More vCPUs than this need an IOMMU with extended interrupts. If there is none, libvirt adds an Intel one.
const EIM_ABOVE: u32 = 255;

pub(super) fn check(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    let count = vcpus(doc);
    if count <= EIM_ABOVE || Machine::of(doc) != Machine::Q35 {
        return;
    }
    let mut there = iommus(doc);
    let Some(iommu) = there.next() else {
        none(findings, count);
        return;
    };
    if there.next().is_none() {
        one(findings, iommu, count);
    }
}

fn none(findings: &mut Findings<'_>, count: u32) {
    if let Some(name) = smuggled(findings.doc).first() {
        findings.add(
            "iommu-vcpus",
            format!(
                "for {count} vCPUs libvirt adds an IOMMU beside the one in qemu:commandline ({name}), and a VM can have one; \
                 write <iommu model='intel'> instead of that argument"
            ),
        );
    } else if ioapic_is_kvm(findings) {
        findings.add(
            "iommu-vcpus",
            format!("{count} vCPUs need interrupt remapping and with it <ioapic driver='qemu'/>, but the domain says driver='kvm'"),
        );
    }
}

fn one(findings: &mut Findings<'_>, iommu: Element, count: u32) {
    let says = |name: &str| driver(findings, iommu, name);
    let off = |name: &str| says(name).as_deref() == Some("off");
    let model = findings.doc.attribute(iommu, "model").unwrap_or_default();
    let why = match model.as_ref() {
        "intel" if off("eim") => format!("{count} vCPUs need eim='on' on the IOMMU, which says off"),
        // What eim='on' needs is another rule.
        "intel" if off("intremap") && says("eim").is_none() => {
            format!("{count} vCPUs need intremap='on' and eim='on' on the IOMMU, which says intremap='off'")
        }
        "intel" if says("intremap").is_none() && ioapic_is_kvm(findings) => {
            format!(
                "{count} vCPUs need interrupt remapping and with it <ioapic driver='qemu'/>, but the domain says driver='kvm'"
            )
        }
        "amd" if says("xtsup").as_deref() != Some("on") => {
            format!(
                "{count} vCPUs need xtsup='on' on an IOMMU of model amd (libvirt 12.2 or later); write it, or use the model intel"
            )
        }
        "virtio" => format!(
            "{count} vCPUs need an IOMMU with extended interrupts (eim), which the model virtio does not have; use the model intel"
        ),
        _ => return,
    };
    findings.add("iommu-vcpus", why);
}

fn ioapic_is_kvm(findings: &Findings<'_>) -> bool {
    let doc = findings.doc;
    feature(doc, "ioapic").and_then(|ioapic| doc.attribute(ioapic, "driver")).as_deref() == Some("kvm")
}
