//! A document under edit that remembers every change with its reason.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::base::shown;
use crate::config::Origins;
use crate::xml::{Document, Element};

use super::change::Change;
use super::qemu;

/// So many reasons to refuse are told at once.
const MOST_PROBLEMS: usize = 100;

/// Why something is changed, and who asked. Shared: one request may change thousands of elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) reason: Arc<str>,
    pub(super) from: Arc<str>,
}

/// What happened to an element; shown at the end, when it is known what became of it.
#[derive(Debug)]
enum Deed {
    Added(Element),
    Removed { place: String, what: String },
    Attribute { element: Element, name: String, old: Option<String> },
    Text { element: Element, old: String },
}

/// The domain under edit.
#[derive(Debug)]
pub(super) struct Editor<'a> {
    pub(super) doc: Document,
    origins: &'a Origins,
    /// Who asked for fields that no layer has: quirks.
    extra_origins: Origins,
    deeds: Vec<(Deed, Vec<Why>)>,
    added: HashMap<Element, usize>,
    attributes: HashSet<(Element, String)>,
    pub(super) notes: Vec<String>,
    pub(super) problems: Vec<String>,
}

impl<'a> Editor<'a> {
    pub(super) fn new(doc: Document, origins: &'a Origins) -> Self {
        Self {
            doc,
            origins,
            extra_origins: Origins::default(),
            deeds: Vec::new(),
            added: HashMap::new(),
            attributes: HashSet::new(),
            notes: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The reason for a change that a field of the profile asks for.
    pub(super) fn why(&self, field: &str, reason: impl Into<String>) -> Why {
        Why { reason: reason.into().into(), from: self.origin(field).into() }
    }

    /// Whether somebody asked for just this field.
    pub(super) fn is_set(&self, field: &str) -> bool {
        self.origins.exact(field).is_some()
    }

    /// Who asked for a field.
    pub(super) fn origin(&self, field: &str) -> String {
        self.extra_origins.exact(field).unwrap_or_else(|| self.origins.of(field)).to_owned()
    }

    /// Records that a quirk asks for a field.
    pub(super) fn attribute_to(&mut self, field: &str, origin: &str) {
        self.extra_origins.insert(field, origin);
    }

    /// Something to know.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        let note = shown(&note.into()).into_owned();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// A reason to refuse; everything else is still looked at.
    pub(super) fn refuse(&mut self, problem: impl Into<String>) {
        let problem = shown(&problem.into()).into_owned();
        if self.problems.len() < MOST_PROBLEMS && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// The root element.
    pub(super) fn root(&self) -> Element {
        self.doc.root()
    }

    /// Sets an attribute.
    pub(super) fn set(&mut self, element: Element, name: &str, value: &str, why: &Why) {
        let old = self.doc.attribute(element, name).map(|old| old.into_owned());
        if self.doc.set_attribute(element, name, value) {
            self.record_attribute(element, name, old, why);
        }
    }

    /// Removes an attribute.
    pub(super) fn unset(&mut self, element: Element, name: &str, why: &Why) {
        let old = self.doc.attribute(element, name).map(|old| old.into_owned());
        if self.doc.remove_attribute(element, name) {
            self.record_attribute(element, name, old, why);
        }
    }

    fn record_attribute(&mut self, element: Element, name: &str, old: Option<String>, why: &Why) {
        if !self.inside_added(element) && self.attributes.insert((element, name.to_owned())) {
            self.deeds.push((Deed::Attribute { element, name: name.to_owned(), old }, vec![why.clone()]));
        } else {
            self.explain(element, why);
        }
    }

    /// A further reason for something that was added, or for an attribute that was set before.
    fn explain(&mut self, element: Element, why: &Why) {
        let mut outermost = None;
        let mut at = Some(element);
        while let Some(element) = at {
            outermost = if self.added.contains_key(&element) { Some(element) } else { outermost };
            at = self.doc.parent(element);
        }
        let deed = outermost.and_then(|added| self.added.get(&added)).and_then(|index| self.deeds.get_mut(*index));
        if let Some((_, reasons)) = deed
            && !reasons.contains(why)
        {
            reasons.push(why.clone());
        }
    }

    /// Sets the text of a leaf.
    pub(super) fn set_text(&mut self, element: Element, text: &str, why: &Why) {
        let old = self.doc.text(element).into_owned();
        if self.doc.set_text(element, text) && !self.inside_added(element) {
            self.deeds.push((Deed::Text { element, old }, vec![why.clone()]));
        }
    }

    /// The child of this name, or a new one at the end.
    pub(super) fn child_or_new(&mut self, parent: Element, name: &str, why: &Why) -> Element {
        match self.doc.child(parent, name) {
            Some(child) => child,
            None => self.add(parent, name, why),
        }
    }

    /// A new child at the end.
    pub(super) fn add(&mut self, parent: Element, name: &str, why: &Why) -> Element {
        let added = self.doc.append(parent, name);
        self.record_added(added, why);
        added
    }

    /// A new sibling right behind an element.
    pub(super) fn add_after(&mut self, sibling: Element, name: &str, why: &Why) -> Element {
        let added = self.doc.insert_after(sibling, name);
        self.record_added(added, why);
        added
    }

    /// `<devices>`, or a new one.
    pub(super) fn devices(&mut self, why: &Why) -> Element {
        self.child_or_new(self.root(), "devices", why)
    }

    /// The feature of this name, wherever it stands, or a new one.
    pub(super) fn feature(&mut self, name: &str, why: &Why) -> Element {
        if let Some(known) = super::features::feature(&self.doc, name) {
            return known;
        }
        let parent = self.child_or_new(self.root(), "features", why);
        self.add(parent, name, why)
    }

    /// A new child at the end in libvirt's QEMU namespace.
    pub(super) fn add_qemu(&mut self, parent: Element, name: &str, why: &Why) -> Element {
        let added = self.doc.append_in(parent, super::QEMU_NAMESPACE, "qemu", name);
        self.record_added(added, why);
        added
    }

    fn record_added(&mut self, added: Element, why: &Why) {
        if self.doc.parent(added).is_none_or(|parent| !self.inside_added(parent)) {
            self.added.insert(added, self.deeds.len());
            self.deeds.push((Deed::Added(added), vec![why.clone()]));
        }
    }

    /// Removes an element.
    pub(super) fn remove(&mut self, element: Element, why: &Why) {
        // What we added ourselves is simply gone: `changes` leaves out what is no longer there.
        if !self.inside_added(element) {
            let place = self.doc.parent(element).map_or_else(String::new, |parent| self.place(parent));
            let what = self.show(element);
            self.deeds.push((Deed::Removed { place, what }, vec![why.clone()]));
        }
        self.doc.remove(element);
    }

    fn inside_added(&self, element: Element) -> bool {
        let mut at = Some(element);
        while let Some(element) = at {
            if self.added.contains_key(&element) {
                return true;
            }
            at = self.doc.parent(element);
        }
        false
    }

    /// The changes, as they stand now.
    pub(super) fn changes(&self) -> Vec<Change> {
        let mut out = Vec::new();
        for (deed, reasons) in &self.deeds {
            let what = match deed {
                Deed::Added(element) if self.doc.is_attached(*element) => {
                    let place = self.doc.parent(*element).map_or_else(String::new, |parent| self.place(parent));
                    format!("{place}: add {}", self.show(*element))
                }
                Deed::Removed { place, what } => format!("{place}: remove {what}"),
                Deed::Attribute { element, name, old } if self.doc.is_attached(*element) => {
                    let new = self.doc.attribute(*element, name);
                    let place = self.place(*element);
                    if old.as_deref() == new.as_deref() {
                        continue;
                    }
                    let told = |value| qemu::told(&self.doc, *element, name, value);
                    match (old.as_deref().map(told), new.as_deref().map(told)) {
                        (None, None) => continue,
                        (None, Some(new)) => format!("{place}: set {name}=\"{new}\""),
                        (Some(old), Some(new)) => format!("{place}: set {name}=\"{new}\" (was \"{old}\")"),
                        (Some(old), None) => format!("{place}: remove {name}=\"{old}\""),
                    }
                }
                Deed::Text { element, old } if self.doc.text(*element) == *old => continue,
                Deed::Text { element, old } if self.doc.is_attached(*element) => {
                    let was = if old.is_empty() { String::new() } else { format!(" (was {old:?})") };
                    format!("{}: set to {:?}{was}", self.place(*element), self.doc.text(*element))
                }
                Deed::Added(_) | Deed::Attribute { .. } | Deed::Text { .. } => continue,
            };
            let why = joined(reasons.iter().map(|why| why.reason.as_ref()), "; ");
            let from = joined(reasons.iter().map(|why| why.from.as_ref()), ", ");
            out.push(Change { what: line(what), why: line(why), from: line(from) });
        }
        out
    }

    /// Where an element is, as a person finds it: `devices/hostdev ua-gpu-gpu0/rom`.
    pub(super) fn place(&self, element: Element) -> String {
        place(&self.doc, element)
    }

    /// An element in one line, with what it holds.
    fn show(&self, element: Element) -> String {
        let name = self.doc.name(element);
        let attribute = |(name, value): &(&str, Cow<'_, str>)| {
            format!(" {name}=\"{}\"", qemu::told(&self.doc, element, name, value))
        };
        let attributes: String = self.doc.attributes(element).iter().map(attribute).collect();
        let inner: String = self.doc.children(element).map(|child| self.show(child)).collect();
        let text = if inner.is_empty() { self.doc.text(element).trim().to_owned() } else { inner };
        if text.is_empty() { format!("<{name}{attributes}/>") } else { format!("<{name}{attributes}>{text}</{name}>") }
    }
}

/// Each text once, in order.
fn joined<'a>(texts: impl Iterator<Item = &'a str>, separator: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    for text in texts {
        if !out.contains(&text) {
            out.push(text);
        }
    }
    out.join(separator)
}

/// One line of a list of changes, however the text came about.
fn line(text: String) -> String {
    match shown(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(shown) => shown,
    }
}

/// Where an element is: the names from below the root, devices with what tells them apart.
pub(super) fn place(doc: &Document, element: Element) -> String {
    let Some(parent) = doc.parent(element) else { return "domain".to_owned() };
    let own = device_name(doc, element).unwrap_or_else(|| {
        let name = doc.name(element);
        let key = match doc.local_name(element) {
            "feature" | "property" | "env" => "name",
            "device" => "alias",
            _ => return name.to_owned(),
        };
        doc.attribute(element, key).map_or_else(|| name.to_owned(), |value| format!("{name} {value}"))
    });
    if parent == doc.root() { own } else { format!("{}/{own}", place(doc, parent)) }
}

/// A device by the name that tells it apart from its siblings, e.g. `hostdev ua-gpu-gpu0`, `controller pci 3`.
pub(super) fn device_name(doc: &Document, element: Element) -> Option<String> {
    let parent = doc.parent(element)?;
    if !doc.is(parent, "", "devices") {
        return None;
    }
    let name = doc.local_name(element);
    let tag = doc.child(element, "alias").and_then(|alias| doc.attribute(alias, "name")).map(|tag| tag.into_owned());
    let kind = doc.attribute(element, "type");
    let index = doc.attribute(element, "index");
    Some(match (tag, kind, index) {
        (Some(tag), _, _) => format!("{name} {tag}"),
        (None, Some(kind), Some(index)) => format!("{name} {kind} {index}"),
        (None, ..) => match super::hostdev::source_address(doc, element) {
            Some(address) => format!("{name} {address}"),
            None => name.to_owned(),
        },
    })
}
