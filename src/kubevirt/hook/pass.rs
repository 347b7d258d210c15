//! Which of KubeVirt's calls a document comes from. The call does not say; the document gives it away, mostly. Only for the log, but
//! for the migration target, which is certain.

use std::fmt;

use crate::xml::{Document, Element};

/// A guess at KubeVirt's pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The converter's output, with placeholder NICs; or the only call.
    First,
    /// With addresses and controllers read back from libvirt.
    Second,
    /// With the answer to the second, and ports for hot-plug.
    Third,
    /// A migration target: the answer is thrown away.
    Target,
}

impl Pass {
    /// Guesses by what only one pass has.
    pub fn guess(doc: &Document) -> Self {
        let root = doc.root();
        if doc.attribute(root, "type").as_deref() == Some("") {
            return Self::Target;
        }
        let Some(devices) = doc.child(root, "devices") else {
            return Self::First;
        };
        let all: Vec<Element> = doc.children(devices).collect();
        let is_placeholder = |device: &Element| {
            let name = doc.child(*device, "alias").and_then(|alias| doc.attribute(alias, "name"));
            name.is_some_and(|name| name.starts_with("placeholder-"))
        };
        let is_placed = |device: &Element| {
            doc.child(*device, "address").is_some_and(|at| doc.attribute(at, "type").as_deref() == Some("pci"))
        };
        let takes_no_hotplug = |device: &Element| {
            let target = doc.child(*device, "target");
            target.is_some_and(|target| doc.attribute(target, "hotplug").as_deref() == Some("off"))
        };
        // Controllers have no addresses before libvirt has made them up; a user's VMI may place any other device.
        let read_back = all.iter().any(|device| doc.is(*device, "", "controller") && is_placed(device));
        if !read_back || all.iter().any(is_placeholder) {
            return Self::First;
        }
        // Up to 1.9 KubeVirt also loses the declaration of the QEMU namespace on the way to its third pass.
        let declares_qemu = doc.attributes(root).iter().any(|(name, _)| *name == "xmlns:qemu");
        if !declares_qemu || all.iter().any(takes_no_hotplug) { Self::Third } else { Self::Second }
    }
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "1",
            Self::Second => "2",
            Self::Third => "3",
            Self::Target => "migration target",
        })
    }
}
