//! CPU, Hyper-V and firmware (libvirt 11.3, qemu_validate.c).

mod arch;

use crate::xml::Element;

use super::super::features::feature;
use super::super::firmware::{is_efi, loader};
use super::super::units::{Machine, number};
use super::{Findings, doubles};

/// Longest Hyper-V vendor id.
const VENDOR_ID: usize = 12;
/// Address widths that QEMU 10 takes.
const WIDTHS: std::ops::RangeInclusive<u32> = 32..=52;
/// libvirt's policies for a CPU feature.
const POLICIES: [&str; 5] = ["force", "require", "optional", "disable", "forbid"];

pub(super) fn check(findings: &mut Findings<'_>) {
    hyperv(findings);
    hidden(findings);
    if let Some(cpu) = findings.doc.child(findings.doc.root(), "cpu") {
        cpu_rules(findings, cpu);
    }
    firmware(findings);
    arch::check(findings);
}

fn hyperv(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    let Some(hyperv) = feature(doc, "hyperv") else { return };
    let Some(vendor) = doc.child(hyperv, "vendor_id") else { return };
    if doc.attribute(vendor, "state").as_deref() != Some("on") {
        return;
    }
    let Some(value) = doc.attribute(vendor, "value") else {
        findings.add("hyperv-vendor", "the Hyper-V vendor id has no value='...'");
        return;
    };
    if value.len() > VENDOR_ID || value.contains(',') {
        findings.add(
            "hyperv-vendor",
            format!("the Hyper-V vendor id {value:?} must have at most {VENDOR_ID} characters and no comma"),
        );
    }
    if doc.attribute(hyperv, "mode").as_deref() == Some("passthrough") {
        findings.add(
            "hyperv-passthrough",
            "the Hyper-V vendor id is dropped under <hyperv mode='passthrough'>; list the enlightenments instead",
        );
    }
}

fn hidden(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    let hidden = doc.descend(doc.root(), &["features", "kvm", "hidden"]);
    if hidden.is_some_and(|hidden| doc.attribute(hidden, "state").is_none()) {
        findings.add("kvm-hidden", "<kvm><hidden> has no state; write state='on' or state='off'");
    }
}

fn cpu_rules(findings: &mut Findings<'_>, cpu: Element) {
    let doc = findings.doc;
    let mode = doc.attribute(cpu, "mode").unwrap_or_default().into_owned();
    if let Some(cache) = doc.child(cpu, "cache") {
        let wanted = doc.attribute(cache, "mode").unwrap_or_default();
        let level = doc.attribute(cache, "level");
        if wanted == "passthrough" && !matches!(mode.as_str(), "host-passthrough" | "maximum") {
            let mode = if mode.is_empty() { "custom" } else { &mode };
            findings.add("cpu-cache", format!(
                "the CPU cache can only be passed through with the CPU model host-passthrough or maximum; the domain has {mode}"
            ));
        }
        if wanted == "emulate" && level.is_none_or(|level| level != "3") {
            findings.add("cpu-cache", "only a level-3 CPU cache can be emulated; write level='3'");
        }
    }
    if let Some(width) = doc.child(cpu, "maxphysaddr") {
        let has = |name| doc.attribute(width, name).is_some();
        let bits = doc.attribute(width, "bits").and_then(|bits| number(&bits));
        match doc.attribute(width, "mode").as_deref() {
            Some("emulate") if bits.is_some_and(|bits| !WIDTHS.contains(&bits)) => {
                findings.add(
                    "cpu-width",
                    format!(
                        "a CPU cannot have {} address bits; QEMU takes {} to {}",
                        bits.unwrap_or(0),
                        WIDTHS.start(),
                        WIDTHS.end()
                    ),
                );
            }
            Some("passthrough") if has("bits") => {
                findings.add(
                    "cpu-width",
                    "<maxphysaddr mode='passthrough'> cannot have bits; use limit, or mode='emulate'",
                );
            }
            Some("emulate") if has("limit") => {
                findings.add(
                    "cpu-width",
                    "<maxphysaddr mode='emulate'> cannot have a limit; use bits, or mode='passthrough'",
                );
            }
            _ => {}
        }
    }
    for feature in doc.children_named(cpu, "feature") {
        let Some(policy) = doc.attribute(feature, "policy").filter(|policy| !POLICIES.contains(&policy.as_ref()))
        else {
            continue;
        };
        let name = doc.attribute(feature, "name").unwrap_or_default();
        findings.add(
            "cpu-policy",
            format!("the CPU feature {name} has the policy {policy:?}; there are {}", POLICIES.join(", ")),
        );
    }
    let features = doc.children_named(cpu, "feature");
    let named = features.filter_map(|feature| Some((doc.attribute(feature, "name")?.into_owned(), feature)));
    for (name, ..) in doubles(named) {
        findings.add("cpu-feature", format!("the CPU feature {name} is named twice; libvirt takes it once"));
    }
}

fn firmware(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    if is_efi(doc) && feature(doc, "acpi").is_none() {
        findings.add("efi-acpi", "UEFI needs <acpi/> in <features>");
    }
    let nvram = doc.descend(doc.root(), &["os", "nvram"]);
    let Some(loader) = loader(doc) else {
        let auto = doc.child(doc.root(), "os").is_some_and(|os| doc.attribute(os, "firmware").is_some());
        if nvram.is_some() && !auto {
            findings.add("nvram-loader", "<nvram> is for UEFI, but the domain has no <loader>; add one or remove it");
        }
        return;
    };
    let attribute = |name| doc.attribute(loader, name);
    if attribute("secure").as_deref() == Some("yes") {
        if Machine::of(doc) != Machine::Q35 {
            let machine = Machine::text(doc);
            findings.add("secure-machine", format!("secure boot needs a q35 machine; the machine type is {machine}"));
        }
        let smm = feature(doc, "smm");
        if smm.and_then(|smm| doc.attribute(smm, "state")).as_deref() == Some("off") {
            findings.add("secure-smm", "secure boot needs <smm state='on'/>, but the domain turns SMM off");
        }
    }
    if attribute("stateless").as_deref() == Some("yes") && nvram.is_some() {
        findings.add("stateless-nvram", "a stateless loader has no variable store; remove <nvram>");
    }
}
