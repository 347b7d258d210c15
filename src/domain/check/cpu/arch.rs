//! What only some architectures have (libvirt 11.3, qemu_validate.c; tried with QEMU 10.0 for Arm and s390x).

use super::super::super::features::feature;
use super::super::super::firmware::is_efi;
use super::super::Findings;

pub(super) fn check(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    let kind = doc.descend(doc.root(), &["os", "type"]);
    // Without it libvirt takes the host's, which the domain does not tell.
    let Some(arch) = kind.and_then(|kind| doc.attribute(kind, "arch")) else { return };
    if matches!(arch.as_ref(), "x86_64" | "i686") {
        return;
    }
    let cpu = |name| doc.child(doc.root(), "cpu").and_then(|cpu| doc.child(cpu, name)).is_some();
    let known = matches!(arch.as_ref(), "aarch64" | "armv7l" | "s390x");
    for (there, what) in [
        (cpu("maxphysaddr"), "<cpu><maxphysaddr>"),
        (known && cpu("cache"), "<cpu><cache>"),
        (feature(doc, "ioapic").is_some(), "<features><ioapic>"),
        (arch == "s390x" && feature(doc, "hyperv").is_some(), "<features><hyperv>"),
        (arch == "s390x" && feature(doc, "acpi").is_some(), "<features><acpi>"),
    ] {
        if there {
            findings.add("arch", format!("{what} is not for the architecture {arch}; leave it out"));
        }
    }
    if arch == "aarch64" && feature(doc, "acpi").is_some() && !is_efi(doc) {
        findings
            .add("arch", format!("<acpi/> needs UEFI on the architecture {arch}; add a UEFI <loader> or leave it out"));
    }
}
