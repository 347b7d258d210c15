//! Raw QEMU arguments and overrides.

use std::collections::HashSet;

use crate::xml::Element;

use super::super::QEMU_NAMESPACE;
use super::super::hostdev::alias;
use super::super::pci::devices;
use super::super::qemu::{fw_cfg_name, groups};
use super::Findings;

pub(super) fn check(findings: &mut Findings<'_>) {
    arguments(findings);
    firmware_entries(findings);
    overrides(findings);
}

fn arguments(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    let qemu = |parent: Element, name: &'static str| {
        doc.children(parent).filter(move |child| doc.is(*child, QEMU_NAMESPACE, name))
    };
    let args = qemu(doc.root(), "commandline").flat_map(|commandline| qemu(commandline, "arg"));
    let empty = args.filter(|arg| doc.attribute(*arg, "value").is_none()).count();
    if empty > 0 {
        findings.add("argument-value", "qemu:commandline has an argument without a value; each needs value='...'");
    }
    let mut seen = HashSet::new();
    for group in groups(doc) {
        if let Some(name) = fw_cfg_name(&group.values)
            && !seen.insert(name.to_owned())
        {
            findings.add("fw-cfg-double", format!("qemu:commandline gives -fw_cfg {name} twice; QEMU takes it once"));
        }
    }
}

/// Firmware entries of libvirt's own element: names that belong to the firmware are reserved.
fn firmware_entries(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    for sysinfo in doc.children_named(doc.root(), "sysinfo") {
        if doc.attribute(sysinfo, "type").as_deref() != Some("fwcfg") {
            continue;
        }
        for entry in doc.children_named(sysinfo, "entry") {
            let name = doc.attribute(entry, "name").unwrap_or_default();
            if !name.starts_with("opt/") || name.starts_with("opt/ovmf/") || name.starts_with("opt/org.qemu/") {
                findings.add(
                    "fw-cfg-name",
                    format!(
                        "<sysinfo type='fwcfg'> cannot set {name:?}: names begin with opt/, and opt/ovmf/ and opt/org.qemu/ are \
                         reserved; OVMF's window is set by firmware.mmio64"
                    ),
                );
            }
        }
    }
}

fn overrides(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    let qemu =
        |parent: Element, name: &'static str| doc.children(parent).filter(move |c| doc.is(*c, QEMU_NAMESPACE, name));
    let known: HashSet<String> = devices(doc).filter_map(|device| alias(doc, device)).collect();
    for device in qemu(doc.root(), "override").flat_map(|o| qemu(o, "device")) {
        if findings.is_full() {
            return;
        }
        let name = doc.attribute(device, "alias").unwrap_or_default();
        let kept = name.starts_with("ua-") && known.contains(name.as_ref());
        if !kept && !is_auto_alias(&name) {
            if known.contains(name.as_ref()) {
                findings.add("override-alias", format!(
                    "qemu:override is for the device {name:?}, but libvirt replaces every alias that does not start with ua-, so it would silently ignore the override; change the alias"
                ));
                continue;
            }
            let near = crate::base::did_you_mean(&name, known.iter().map(String::as_str));
            findings.add("override-alias", format!(
                "qemu:override is for the device {name:?}, but no device has that alias{near}; libvirt would silently ignore it"
            ));
        }
        for property in qemu(device, "frontend").flat_map(|f| qemu(f, "property")) {
            let name = doc.attribute(property, "name").unwrap_or_default();
            let value = doc.attribute(property, "value");
            let ok = match (doc.attribute(property, "type").as_deref(), value.as_deref()) {
                (Some("remove"), None) | (Some("string"), Some(_)) => true,
                (Some("bool"), Some(value)) => matches!(value, "true" | "false"),
                (Some("unsigned"), Some(value)) => value.parse::<u64>().is_ok(),
                (Some("signed"), Some(value)) => value.parse::<i64>().is_ok(),
                _ => false,
            };
            if !ok || name.is_empty() || name == "id" {
                findings.add("override-value", format!(
                    "qemu:override: the property {name:?} is malformed: numbers are decimal, bool is true or false, remove has no value, and id cannot be set"
                ));
            }
        }
    }
}

/// Names that libvirt gives to devices without an alias of the user's.
const AUTO_ALIASES: [&str; 32] = [
    "hostdev",
    "net",
    "virtio-disk",
    "scsi",
    "sata",
    "ide",
    "fdc",
    "usb",
    "pci",
    "virtio-serial",
    "ccid",
    "video",
    "balloon",
    "rng",
    "iommu",
    "sound",
    "serial",
    "parallel",
    "channel",
    "console",
    "input",
    "watchdog",
    "vsock",
    "shmem",
    "tpm",
    "fs",
    "redir",
    "dimm",
    "nvdimm",
    "virtiomem",
    "panic",
    "crypto",
];

/// Whether a name has the form of libvirt's own aliases: `hostdev0`, `pci.3`, `virtio-disk2`, `scsi0-0-0-1`.
fn is_auto_alias(name: &str) -> bool {
    AUTO_ALIASES.iter().any(|prefix| {
        let number = name.strip_prefix(prefix).map(|rest| rest.strip_prefix('.').unwrap_or(rest));
        number.is_some_and(|rest| {
            rest.starts_with(|c: char| c.is_ascii_digit()) && rest.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        })
    })
}
