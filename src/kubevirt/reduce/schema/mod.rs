//! KubeVirt's structs as a table: `pkg/virt-launcher/virtwrap/api/schema.go`.
//!
//! Three sources, in order of trust: the captured passes in `tests/data/kubevirt` (written by main d923fdb; order and omissions of
//! everything that occurs there are shown by the tests), KubeVirt's published source of several earlier releases, and for what came
//! later the list of what d923fdb keeps. Entries that rest on the last alone say so.

mod devices;
mod disk;
mod domain;
mod metadata;
mod network;

use super::Release;

pub(super) use devices::DEVICES;
pub(super) use domain::DOMAIN;

/// How a field's text is read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Unsigned, of so many bits.
    Uint(u32),
    /// Signed, of so many bits.
    Int(u32),
    Bool,
}

/// When a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Always: a plain field (empty or zero if it was not there).
    Always,
    /// Unless empty or zero: a plain field with `omitempty`.
    Filled,
    /// If it was there: a pointer.
    Present,
    /// As often as it was there: a slice (children only).
    Many,
}

/// Which releases have a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Always,
    QemuCommandline,
    NoSharePages,
    Iommu,
}

impl Gate {
    pub(super) fn open(self, release: Release) -> bool {
        match self {
            Self::Always => true,
            Self::QemuCommandline => release.keeps_qemu_commandline,
            Self::NoSharePages => release.keeps_nosharepages,
            Self::Iommu => release.knows_iommu,
        }
    }
}

#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) keep: Keep,
}

/// How a child is told from others of its local name. Go does not look at the namespace unless told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Namespace {
    Any,
    /// This URI; declared on the element when written.
    Declared(&'static str),
    /// libvirt's QEMU namespace, written with its usual prefix and never declared.
    Qemu,
}

#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: &'static str,
    pub(super) namespace: Namespace,
    pub(super) keep: Keep,
    pub(super) gate: Gate,
    pub(super) shape: &'static Shape,
}

/// A struct (or, without attributes and children, a single value).
#[derive(Debug)]
pub(super) struct Shape {
    /// Whether its text is kept, and as what.
    pub(super) text: Option<Kind>,
    pub(super) attributes: &'static [Attribute],
    pub(super) children: &'static [Child],
}

const fn attribute(name: &'static str, keep: Keep) -> Attribute {
    Attribute { name, kind: Kind::Text, keep }
}

/// `string` with `attr`.
const fn always(name: &'static str) -> Attribute {
    attribute(name, Keep::Always)
}

/// `string` with `attr,omitempty`.
const fn filled(name: &'static str) -> Attribute {
    attribute(name, Keep::Filled)
}

/// A pointer with `attr`.
const fn maybe(name: &'static str) -> Attribute {
    attribute(name, Keep::Present)
}

impl Attribute {
    const fn uint(self, bits: u32) -> Self {
        Self { kind: Kind::Uint(bits), ..self }
    }

    const fn int(self, bits: u32) -> Self {
        Self { kind: Kind::Int(bits), ..self }
    }
}

const fn child(name: &'static str, keep: Keep, shape: &'static Shape) -> Child {
    Child { name, namespace: Namespace::Any, keep, gate: Gate::Always, shape }
}

/// A struct: always written.
const fn one(name: &'static str, shape: &'static Shape) -> Child {
    child(name, Keep::Always, shape)
}

/// A pointer to a struct.
const fn opt(name: &'static str, shape: &'static Shape) -> Child {
    child(name, Keep::Present, shape)
}

/// A slice of structs.
const fn many(name: &'static str, shape: &'static Shape) -> Child {
    child(name, Keep::Many, shape)
}

/// A value with `omitempty`.
const fn some(name: &'static str, shape: &'static Shape) -> Child {
    child(name, Keep::Filled, shape)
}

impl Child {
    const fn since(self, gate: Gate) -> Self {
        Self { gate, ..self }
    }

    const fn within(self, namespace: Namespace) -> Self {
        Self { namespace, ..self }
    }
}

const fn leaf(kind: Kind) -> Shape {
    Shape { text: Some(kind), attributes: &[], children: &[] }
}

static TEXT: Shape = leaf(Kind::Text);
static BOOL: Shape = leaf(Kind::Bool);
static INT: Shape = leaf(Kind::Int(64));
/// A struct without fields: only that it was there is kept.
static EMPTY: Shape = Shape { text: None, attributes: &[], children: &[] };

/// Defines the table of one struct: its text if any, its attributes, its children.
macro_rules! shape {
    ($(#[$doc:meta])* $name:ident, [$($attribute:expr),* $(,)?], [$($child:expr),* $(,)?]) => {
        $(#[$doc])*
        pub(in crate::kubevirt::reduce) static $name: $crate::kubevirt::reduce::schema::Shape =
            $crate::kubevirt::reduce::schema::Shape { text: None, attributes: &[$($attribute),*], children: &[$($child),*] };
    };
    ($(#[$doc:meta])* $name:ident, $text:expr, [$($attribute:expr),* $(,)?]) => {
        $(#[$doc])*
        pub(in crate::kubevirt::reduce) static $name: $crate::kubevirt::reduce::schema::Shape =
            $crate::kubevirt::reduce::schema::Shape { text: Some($text), attributes: &[$($attribute),*], children: &[] };
    };
}
use shape;

// What many devices share.

shape!(ALIAS, [always("name")], []);
shape!(BOOT, [always("order").uint(64)], []);
shape!(STATE, [filled("state")], []);
shape!(MODE, [always("mode")], []);
shape!(TYPE, [always("type")], []);
shape!(
    /// No `multifunction`, and nothing that newer libvirt adds.
    ADDRESS,
    [
        filled("type"),
        filled("domain"),
        filled("bus"),
        filled("slot"),
        filled("function"),
        filled("controller"),
        filled("target"),
        filled("unit"),
        filled("uuid"),
        filled("device"),
        filled("cssid"),
        filled("ssid"),
        filled("devno"),
    ],
    []
);
shape!(
    /// Virtio devices keep `iommu`, but not `ats`.
    VIRTIO_DRIVER,
    [filled("iommu")],
    []
);
