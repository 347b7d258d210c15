//! A tree to the typed profile, with every mistake collected.
//!
//! A field is declared once: by the [`Section::take`] (or `section`, `list`, `map`, …) that asks for it. What nobody asked for is unknown.

mod checks;
mod devices;
mod profile;
mod values;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::base::suggest;

use super::problems::{Place, Problem, Problems};
use super::tree::{Key, Node, Value, quote};

pub(super) use checks::check;
pub(super) use devices::{device_of, item_path};
pub(super) use profile::{is_given, read_spec};
pub(super) use values::{Read, integer, memlock, on_off, one_of, scalar, size, text, word};

/// Most items of a list, and entries of a map: more than any domain has use for, and few enough to look each up among the others.
const MOST: usize = 256;

/// Collects mistakes while a tree is read.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: RefCell<Problems>,
    /// The sections with a field that nobody knows, by their paths.
    misspelt: RefCell<BTreeSet<String>>,
    /// Every field that was asked for, by its path: what the schema is compared with.
    #[cfg(test)]
    pub(super) asked: RefCell<BTreeSet<String>>,
}

impl Report {
    /// Adds a mistake in the field at `path`. The path stands in the message, unless the place is named after it already.
    pub(super) fn add(&self, place: &Place, path: &str, message: impl AsRef<str>) {
        let message = message.as_ref();
        let told = path.is_empty() || place.source.own_path() == Some(path);
        let message = if told { message.to_owned() } else { format!("{path}: {message}") };
        self.problems.borrow_mut().add(Problem { place: place.clone(), message });
    }

    /// Whether a section has a field that nobody knows: what is missing there may be what that field was meant to be.
    pub(super) fn is_misspelt(&self, section: &str) -> bool {
        self.misspelt.borrow().contains(section)
    }

    /// One without a mistake, that knows what is misspelt.
    pub(super) fn next(&self) -> Self {
        Self { misspelt: self.misspelt.clone(), ..Self::default() }
    }

    /// All of them; those of one source in the order in which they stand there.
    pub(super) fn into_problems(self) -> Problems {
        let mut problems = self.problems.into_inner();
        let first = problems.0.first().map(|problem| &problem.place.source);
        if problems.0.iter().all(|problem| Some(&problem.place.source) == first) {
            problems.0.sort_by_key(|problem| problem.place.at);
        }
        problems
    }
}

/// A map of fields that is being read.
#[derive(Debug)]
pub(super) struct Section<'a> {
    node: Option<&'a Node>,
    entries: &'a [(Key, Node)],
    path: String,
    asked: Vec<&'static str>,
    report: &'a Report,
}

impl<'a> Section<'a> {
    /// Opens the fields of a node; without one (or with null) every field is absent.
    pub(super) fn open(node: Option<&'a Node>, path: impl Into<String>, report: &'a Report) -> Self {
        let mut section = Self { node, entries: &[], path: path.into(), asked: Vec::new(), report };
        match node.map(|node| (&node.place, &node.value)) {
            None | Some((_, Value::Null)) => section.node = None,
            Some((_, Value::Map(entries))) => section.entries = entries,
            Some((place, other)) => {
                let message = format!("{} stands where fields are expected", other.describe());
                report.add(place, &section.path, message);
                section.node = None;
            }
        }
        section
    }

    /// Whether there is such a map at all.
    pub(super) fn is_present(&self) -> bool {
        self.node.is_some()
    }

    /// The path of a field of this section.
    pub(super) fn path_of(&self, field: &str) -> String {
        join(&self.path, field)
    }

    /// The node of a field; absent and null are the same.
    pub(super) fn node(&mut self, field: &'static str) -> Option<&'a Node> {
        if !self.asked.contains(&field) {
            self.asked.push(field);
        }
        self.entries
            .iter()
            .find(|(key, _)| key.name == field)
            .map(|(_, node)| node)
            .filter(|node| node.value != Value::Null)
    }

    /// One field; `None` if it is absent or wrong (then the mistake is told).
    pub(super) fn take<T>(&mut self, field: &'static str, read: impl Fn(&Node) -> Result<T, String>) -> Option<T> {
        let node = self.node(field)?;
        self.read(node, &self.path_of(field), read)
    }

    /// A section of this section.
    pub(super) fn section(&mut self, field: &'static str) -> Self {
        let node = self.node(field);
        Self::open(node, self.path_of(field), self.report)
    }

    /// A list; wrong items are told and left out.
    pub(super) fn list<T>(&mut self, field: &'static str, read: impl Fn(&Node) -> Result<T, String>) -> Vec<T> {
        let path = self.path_of(field);
        let items = self.items(field);
        items.iter().enumerate().filter_map(|(i, node)| self.read(node, &format!("{path}[{i}]"), &read)).collect()
    }

    /// The items of a list.
    pub(super) fn items(&mut self, field: &'static str) -> &'a [Node] {
        let Some(node) = self.node(field) else {
            return &[];
        };
        if let Value::List(items) = &node.value {
            if items.len() <= MOST {
                return items;
            }
            let message = format!("{} items are too many: at most {MOST} are read", items.len());
            self.report.add(&node.place, &self.path_of(field), message);
            return &[];
        }
        let mut message = format!("{} stands where a list is expected", node.value.describe());
        if node.place.source.own_path().is_some() {
            message.push_str(
                "; a list is not set by path: write it in the annotation virt-tailor.io/domain or in a profile",
            );
        }
        self.report.add(&node.place, &self.path_of(field), message);
        &[]
    }

    /// A map of names to values. `name` checks a key and gives its canonical form; two keys of one form are refused.
    pub(super) fn map<T>(
        &mut self,
        field: &'static str,
        name: impl Fn(&str) -> Result<String, String>,
        read: impl Fn(&Node) -> Result<T, String>,
    ) -> BTreeMap<String, T> {
        let mut map = BTreeMap::new();
        let section = self.section(field);
        if section.entries.len() > MOST {
            let message = format!("{} entries are too many: at most {MOST} are read", section.entries.len());
            if let Some(node) = section.node {
                self.report.add(&node.place, &section.path, message);
            }
            return map;
        }
        for (key, node) in section.entries {
            if node.value == Value::Null {
                continue;
            }
            let path = section.path_of(&key.name);
            let value = self.read(node, &path, &read);
            match name(&key.name) {
                Err(message) => self.report.add(&key.place, &path, message),
                Ok(name) if map.contains_key(&name) => {
                    let message = format!("{name} is given twice, in two spellings");
                    self.report.add(&key.place, &path, message);
                }
                Ok(name) => {
                    if let Some(value) = value {
                        map.insert(name, value);
                    }
                }
            }
        }
        map
    }

    /// Tells a mistake about a field.
    pub(super) fn problem(&self, place: &Place, field: &str, message: impl AsRef<str>) {
        let path = if field.is_empty() { self.path.clone() } else { self.path_of(field) };
        self.report.add(place, &path, message);
    }

    /// The place of a field that is there.
    pub(super) fn place_of(&self, field: &str) -> Option<&'a Place> {
        self.node_of(field).map(|node| &node.place)
    }

    /// The node of a field that is there, null or not. Nothing is asked for: another rule does.
    pub(super) fn node_of(&self, field: &str) -> Option<&'a Node> {
        self.node?.get(field)
    }

    /// Where the section stands, if there is one.
    pub(super) fn place(&self) -> Option<&'a Place> {
        self.node.map(|node| &node.place)
    }

    /// Whom mistakes are told.
    pub(super) fn report(&self) -> &'a Report {
        self.report
    }

    /// Tells the fields that nobody asked for.
    pub(super) fn finish(self) {
        #[cfg(test)]
        for field in &self.asked {
            let path = join(&self.path, field);
            self.report.asked.borrow_mut().insert(path);
        }
        for (key, node) in self.entries {
            let name = key.name.as_str();
            if self.asked.contains(&name) {
                continue;
            }
            let hint = suggest(name, self.asked.iter().copied()).map_or_else(
                || format!("known here: {}", self.asked.join(", ")),
                |near| format!("did you mean {near:?}?"),
            );
            // A path that goes on below an unknown field is named as a whole: its own place says where.
            let place = if key.place.at.is_some() { &key.place } else { &node.place };
            let message = format!("unknown field {}, {hint}", quote(name));
            self.report.add(place, &self.path, message);
            self.report.misspelt.borrow_mut().insert(self.path.clone());
        }
    }

    fn read<T>(&self, node: &Node, path: &str, read: impl Fn(&Node) -> Result<T, String>) -> Option<T> {
        read(node).map_err(|message| self.report.add(&node.place, path, message)).ok()
    }
}

/// `path.field`, or `path[field]` if the field has characters that a path would split at.
pub(super) fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        return field.to_owned();
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !field.is_empty() && field.chars().all(plain) { format!("{path}.{field}") } else { format!("{path}[{field}]") }
}
