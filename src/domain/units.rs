//! libvirt's scaled integers (libvirt docs/formatdomain.rst, "Memory Tuning"), machine types and numbers.

use crate::xml::{Document, Element};

/// Bytes of an element such as `<memory unit='KiB'>`: a whole number and a unit, default KiB.
pub(super) fn bytes(doc: &Document, element: Element) -> Option<u64> {
    let number: u64 = doc.text(element).trim().parse().ok()?;
    let unit = doc.attribute(element, "unit");
    number.checked_mul(unit_factor(unit.as_deref().unwrap_or("KiB"))?)
}

/// How many bytes a unit is: `b`, `bytes`, or K, M, G, T, P, E alone or with `iB` (1024) or `B` (1000).
pub(super) fn unit_factor(unit: &str) -> Option<u64> {
    let lower = unit.to_ascii_lowercase();
    if matches!(lower.as_str(), "b" | "byte" | "bytes") {
        return Some(1);
    }
    let power = "kmgtpe".find(lower.chars().next()?)?;
    let power = u32::try_from(power).ok()? + 1;
    match &lower[1..] {
        "" | "ib" => 1024u64.checked_pow(power),
        "b" => 1000u64.checked_pow(power),
        _ => None,
    }
}

/// A number as libvirt reads attributes: decimal, or hexadecimal with `0x`.
pub(super) fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The families of machine types that matter to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    /// x86 with PCI Express.
    Q35,
    /// x86 without PCI Express (libvirt's default on x86).
    I440fx,
    /// Arm or RISC-V `virt`.
    Virt,
    /// Something else.
    Other,
}

impl Machine {
    /// The machine of a domain.
    pub(super) fn of(doc: &Document) -> Self {
        let Some(kind) = doc.descend(doc.root(), &["os", "type"]) else { return Self::Other };
        match doc.attribute(kind, "machine").as_deref() {
            Some(machine) if machine == "q35" || machine.contains("-q35-") => Self::Q35,
            Some(machine) if machine == "virt" || machine.starts_with("virt-") => Self::Virt,
            Some(machine) if machine == "pc" || machine.contains("i440fx") => Self::I440fx,
            None if matches!(doc.attribute(kind, "arch").as_deref(), Some("x86_64" | "i686")) => Self::I440fx,
            _ => Self::Other,
        }
    }

    /// The name a person knows.
    pub(super) fn text(doc: &Document) -> String {
        doc.descend(doc.root(), &["os", "type"])
            .and_then(|kind| doc.attribute(kind, "machine"))
            .map_or_else(|| "not given".to_owned(), |machine| machine.into_owned())
    }
}

/// The maximum number of vCPUs.
pub(super) fn vcpus(doc: &Document) -> u32 {
    doc.child(doc.root(), "vcpu").and_then(|vcpu| doc.text(vcpu).trim().parse().ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_libvirts() {
        for (unit, factor) in [("b", 1), ("KiB", 1024), ("k", 1024), ("KB", 1000), ("GiB", 1 << 30), ("M", 1 << 20)] {
            assert_eq!(unit_factor(unit), Some(factor), "{unit}");
        }
        assert_eq!(unit_factor("Gi"), None);
        assert_eq!(unit_factor(""), None);
    }
}
