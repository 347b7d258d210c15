//! The pipeline: bytes → document → one subject after the other → checks → bytes.

use crate::config::{AutoOff, DomainProfile, Resolved};
use crate::xml::{Document, Limits, XmlError};

use super::change::{Outcome, Refusal};
use super::check::check;
use super::editor::Editor;
use super::hostdev::{Assigned, add_companions, apply_settings, one_space_each, place_functions, select};
use super::request::Request;
use super::{QEMU_NAMESPACE, cpu, devices, features, firmware, fit, iommu, memory, pci, qemu};

/// A well-formed document with root `domain` in no namespace.
#[derive(Debug, Clone)]
pub struct Domain {
    doc: Document,
}

/// Why bytes are not a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// Not well-formed.
    #[error("{0}")]
    Xml(#[from] XmlError),
    /// Something else.
    #[error("the root element is <{root}>{namespace}, not a libvirt <domain>")]
    Root {
        /// Its name.
        root: String,
        /// ` in namespace …`, or nothing.
        namespace: String,
    },
}

impl Domain {
    /// Parses bytes. An undeclared `qemu:` prefix is read as libvirt's, because KubeVirt itself sends that.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Self, DomainError> {
        let limits = Limits { undeclared_prefixes: vec![("qemu", QEMU_NAMESPACE)], ..Limits::default() };
        let doc = Document::parse(bytes, &limits)?;
        let root = doc.root();
        if !doc.is(root, "", "domain") {
            let namespace = match doc.namespace(root) {
                "" => String::new(),
                uri => format!(" in the namespace {uri}"),
            };
            return Err(DomainError::Root { root: doc.name(root).to_owned(), namespace });
        }
        Ok(Self { doc })
    }

    /// Whether this is what a hook gets on KubeVirt's migration target: an empty type, no host devices, no defaults. The result is
    /// thrown away there, so it is to be answered unchanged before any profile is looked at (KubeVirt 1.9, pkg/virt-launcher/virtwrap/manager.go).
    pub fn is_migration_target(&self) -> bool {
        self.doc.attribute(self.doc.root(), "type").as_deref() == Some("")
    }

    /// The document.
    pub fn document(&self) -> &Document {
        &self.doc
    }

    /// The bytes, as they came.
    pub fn into_unchanged(self) -> Outcome {
        Outcome { bytes: self.doc.source().to_vec(), changes: Vec::new(), notes: Vec::new() }
    }
}

/// Fits a domain to what is asked: all of it, or a refusal that names every problem. Applied to its own output it changes nothing.
/// A profile that asks for nothing gives the very input back.
pub fn mutate(domain: Domain, request: &Request<'_>) -> Result<Outcome, Refusal> {
    if domain.is_migration_target() || asks_for_nothing(request.profile) {
        return Ok(domain.into_unchanged());
    }
    let mut editor = Editor::new(domain.doc, &request.profile.origins);
    if !editor.doc.undeclared_prefixes().is_empty() {
        editor.note("the prefix qemu: is used but not declared; it is read as libvirt's (KubeVirt drops the declaration between its passes)");
    }
    let mut assigned = select(&mut editor, request);
    let mut profile = request.profile.spec.clone();
    let window = fit::window(&mut editor, &assigned, request, &profile);
    if profile.quirks == Some(AutoOff::Auto) {
        fit::quirks(&mut editor, &mut profile, &mut assigned, request, window);
    }
    subjects(&mut editor, &profile, &assigned, request, window);
    if editor.problems.is_empty() {
        let findings = check(&editor.doc, request.session());
        editor.problems.extend(findings.into_iter().map(|finding| finding.message));
    }
    if !editor.problems.is_empty() {
        return Err(Refusal { problems: editor.problems });
    }
    let bytes = editor.doc.to_bytes();
    let most = Limits::default().max_bytes;
    if bytes.len() > most {
        let problem = format!("the domain would grow to {} bytes, more than the {most} that are read", bytes.len());
        return Err(Refusal { problems: vec![problem] });
    }
    Ok(Outcome { bytes, changes: editor.changes(), notes: editor.notes })
}

/// One subject after the other; later ones see what earlier ones did.
fn subjects(
    editor: &mut Editor<'_>,
    profile: &DomainProfile,
    assigned: &[Assigned],
    request: &Request<'_>,
    window: Option<u64>,
) {
    features::apply(editor, &profile.features);
    if let Some(viommu) = &profile.viommu {
        iommu::apply(editor, viommu, request);
    }
    // What takes a PCI slot comes before what reckons with free ones.
    devices::apply(editor, &profile.devices);
    let has_iommu = iommu::iommus(&editor.doc).next().is_some();
    let mates = add_companions(editor, assigned, request, has_iommu);
    place_functions(editor, assigned, request, &mates, has_iommu);
    for device in assigned {
        apply_settings(editor, device);
    }
    fit::multifunction(editor, assigned);
    if has_iommu {
        one_space_each(editor, request);
    }
    if let Some(ports) = profile.pci.root_ports {
        pci::root_ports(editor, ports);
    }
    if let Some(hole) = profile.pci.hole64 {
        pci::hole64(editor, hole, window);
    }
    memory::apply(editor, &profile.memory, request);
    firmware::contradiction(editor, &profile.firmware, &profile.qemu.args);
    firmware::apply(editor, &profile.firmware, window);
    cpu::apply(editor, &profile.cpu);
    qemu::apply(editor, &profile.qemu);
}

/// Whether a profile leaves every domain as it is. Its guest section is for cloud-init, not for the domain.
fn asks_for_nothing(profile: &Resolved) -> bool {
    let spec = DomainProfile { guest: Default::default(), ..profile.spec.clone() };
    spec == DomainProfile::default()
        || spec == (DomainProfile { quirks: Some(AutoOff::Off), ..DomainProfile::default() })
}
