//! The documents a spec comes in: a profile file, and the inline annotation.

use std::sync::Arc;

use super::problems::{Place, Problems, Source};
use super::read::{Report, Section, text};
use super::tree::{Node, Value, parse, quote};

/// `apiVersion` of our documents.
pub const API_VERSION: &str = "virt-tailor.io/v1alpha1";

/// `kind` of a profile.
pub const KIND: &str = "DomainProfile";

/// Kinds that people mistake for ours: nothing else in such a document is worth a word.
const OTHERS: [&str; 12] = [
    "DomainProfile",
    "NodeConfig",
    "VirtualMachine",
    "VirtualMachineInstance",
    "VirtualMachineInstanceReplicaSet",
    "KubeVirt",
    "HyperConverged",
    "MachineConfig",
    "DaemonSet",
    "Pod",
    "Kustomization",
    "Namespace",
];

/// A document without its envelope.
#[derive(Debug)]
pub(super) struct Opened {
    /// `metadata.name`, if it is a good one.
    pub name: Option<String>,
    /// The spec, if there is one.
    pub spec: Option<Node>,
}

/// Reads a profile document: its spec, if there is one, and what is wrong with the envelope. `Err` if it is not YAML at all.
///
/// `name` is the name it was found under; `metadata.name` must be the same.
pub(super) fn profile(
    source: &Arc<Source>,
    content: &str,
    name: Option<&str>,
    report: &Report,
) -> Result<Option<Node>, Problems> {
    open(source, content, (KIND, "profile"), name, report).map(|opened| opened.spec)
}

/// Opens a document of a kind, which messages call by the second word.
pub(super) fn open(
    source: &Arc<Source>,
    content: &str,
    (kind, what): (&'static str, &'static str),
    name: Option<&str>,
    report: &Report,
) -> Result<Opened, Problems> {
    let document = parse(source, content)?;
    let whole = document.place.clone();
    if document.value == Value::Null {
        let message = format!(
            "the document is empty: a {what} is apiVersion: {API_VERSION}, kind: {kind}, metadata.name and spec"
        );
        return Err(Problems::one(whole, message));
    }
    if let Some(Value::Scalar(kind)) = document.get("kind").map(|node| &node.value)
        && kind.text == "ConfigMap"
    {
        return Err(Problems::one(whole, "this is a ConfigMap: give what stands below its data"));
    }
    if let Some(Value::Scalar(other)) = document.get("kind").map(|node| &node.value)
        && !other.text.eq_ignore_ascii_case(kind)
        && OTHERS.contains(&other.text.as_str())
    {
        let message = format!("this is a {}, and a {kind} is expected here", other.text);
        return Err(Problems::one(whole, message));
    }
    if document.get("apiVersion").is_none() && document.get("kind").is_none() && document.get("spec").is_none() {
        let message = format!(
            "this is not a {what} document: write apiVersion: {API_VERSION}, kind: {kind}, metadata: {{name: …}}, and the fields under spec"
        );
        return Err(Problems::one(whole, message));
    }
    let mut top = Section::open(Some(&document), "", report);
    constant(&mut top, &whole, "apiVersion", API_VERSION);
    constant(&mut top, &whole, "kind", kind);
    let name = metadata(&mut top, &whole, what, name);
    let spec = top.node("spec").cloned();
    if document.get("spec").is_none() {
        report.add(&whole, "", "spec is missing: at least spec: {}");
    }
    top.finish();
    Ok(Opened { name, spec })
}

fn constant(top: &mut Section<'_>, whole: &Place, field: &'static str, wanted: &str) {
    match top.node(field) {
        None => top.problem(whole, "", format!("{field} is missing: {field}: {wanted}")),
        Some(node) => match &node.value {
            Value::Scalar(scalar) if scalar.text == wanted => {}
            other => {
                let message = format!("{} is not {wanted}", other.describe());
                top.problem(&node.place, field, message);
            }
        },
    }
}

fn metadata(top: &mut Section<'_>, whole: &Place, what: &str, found_as: Option<&str>) -> Option<String> {
    let mut metadata = top.section("metadata");
    let name_place = metadata.node("name").map(|node| node.place.clone());
    let name = metadata.take("name", |node| {
        let name = text(node)?;
        name_of(&name, what)?;
        Ok(name)
    });
    if name_place.is_none() {
        metadata.problem(whole, "name", "missing");
    }
    if let (Some(place), Some(name), Some(found_as)) = (name_place, &name, found_as)
        && name != found_as
    {
        let message = format!("{name:?} is not the name it is found under, {found_as:?}: rename one of the two");
        metadata.problem(&place, "name", message);
    }
    let any = |name: &str| Ok(name.to_owned());
    metadata.map("labels", any, |_| Ok(()));
    metadata.map("annotations", any, |_| Ok(()));
    metadata.finish();
    name
}

/// Checks the form of a profile's name: lower-case letters, digits and `-`, at most 63 characters, as Kubernetes' own names.
pub(super) fn profile_name(name: &str) -> Result<(), String> {
    name_of(name, "profile")
}

/// Whether a text can be the name of a profile, of a domain or of a node.
pub fn is_profile_name(name: &str) -> bool {
    profile_name(name).is_ok()
}

/// Checks the form of the name of any document, which is that of a profile's.
pub fn document_name(name: &str) -> Result<(), String> {
    name_of(name, "document")
}

fn name_of(name: &str, what: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.is_empty() && name.len() <= 63 && name.chars().all(inner) && !name.starts_with('-') && !name.ends_with('-')
    {
        return Ok(());
    }
    Err(format!(
        "{} is not the name of a {what}: lower-case letters, digits and '-' within, at most 63 characters",
        quote(name)
    ))
}

/// Reads the inline annotation: a spec alone.
pub(super) fn inline(source: &Arc<Source>, content: &str) -> Result<Node, Problems> {
    if content.trim().is_empty() {
        let message = "the value is empty: write the spec of a profile, or remove the annotation";
        return Err(Problems::one(Place::whole(source), message));
    }
    let spec = parse(source, content)?;
    if spec.get("spec").is_some() && spec.get("apiVersion").or(spec.get("kind")).is_some() {
        let message = "this is a whole document: the annotation takes only what stands under its spec (or give the profile's name in virt-tailor.io/profiles)";
        return Err(Problems::one(spec.place, message));
    }
    Ok(spec)
}
