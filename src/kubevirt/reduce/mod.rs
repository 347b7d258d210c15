//! What KubeVirt makes of a domain that a hook returned.
//!
//! Between two calls of OnDefineDomain KubeVirt reads the hook's XML into its own structs (`api.DomainSpec`) and writes it again for
//! the next call; what the structs do not know is gone. [`reduce()`] does the same to a text, so that "every pass gets it right
//! again" can be shown without KubeVirt. Nothing at run time depends on it.
//!
//! The structs are a table in [`schema`] (element → attributes, children and their order, what is written when empty), read and
//! written by the rules of Go's `encoding/xml`: [`value`] reads, [`write`](mod@write) writes.

mod devices;
mod schema;
mod value;
mod write;

use crate::xml::{Document, Limits, XmlError};

pub(super) use devices::{devices, disk_index, grouped};

/// libvirt's namespace for raw QEMU arguments; KubeVirt writes its prefix without declaring it.
const QEMU: (&str, &str) = ("qemu", "http://libvirt.org/schemas/domain/qemu/1.0");

/// What differs between KubeVirt's releases. [`Default`] is what the captured pairs of passes show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Carries `qemu:commandline` over, by a way around the structs, under a prefix that it does not declare (kubevirt#18460; v1.9.0
    /// and older lose it, kubevirt#16901).
    pub keeps_qemu_commandline: bool,
    /// Models `<nosharepages>`. Older releases did (it came with real-time VMs); the snapshot that the pairs come from is said not to.
    pub keeps_nosharepages: bool,
    /// Models `<iommu>`, the `<driver>` and `<acpi>` of a hostdev, and a controller's `<target>`. v1.7 and older know none of them: an
    /// iommu that a hook added is gone in the next pass.
    pub knows_iommu: bool,
}

impl Default for Release {
    fn default() -> Self {
        Self { keeps_qemu_commandline: false, keeps_nosharepages: false, knows_iommu: true }
    }
}

/// Why KubeVirt would have refused a hook's answer. It fails closed: the VM does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReduceError {
    /// Not a document.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// Another root element.
    #[error("the root is <{0}>, not <domain>")]
    NotADomain(String),
    /// A number or truth value that is none.
    #[error("line {line}: {field} is {value:?}, which KubeVirt cannot read as {expected}")]
    BadValue {
        /// Where the element starts.
        line: usize,
        /// Element, or element and attribute.
        field: String,
        /// What stands there.
        value: String,
        /// What KubeVirt expects.
        expected: &'static str,
    },
}

/// A domain after KubeVirt's structs, by the [`Default`] release.
///
/// Literal line ends inside attribute values come out as blanks (the rule of XML); Go would keep them. KubeVirt itself never writes
/// them literally.
pub fn reduce(domain: &[u8]) -> Result<String, ReduceError> {
    reduce_for(domain, Release::default())
}

/// A domain after the structs of one release.
pub fn reduce_for(domain: &[u8], release: Release) -> Result<String, ReduceError> {
    let document = parse(domain)?;
    let spec = value::read_root(&document, &schema::DOMAIN, release)?;
    Ok(write::marshal("domain", &spec, release))
}

/// A domain as KubeVirt reads it: more lenient than libvirt.
pub(super) fn parse(domain: &[u8]) -> Result<Document, ReduceError> {
    let limits = Limits { undeclared_prefixes: vec![QEMU], ..Limits::default() };
    let document = Document::parse(domain, &limits)?;
    let root = document.root();
    if document.local_name(root) != "domain" {
        return Err(ReduceError::NotADomain(document.name(root).to_owned()));
    }
    Ok(document)
}
