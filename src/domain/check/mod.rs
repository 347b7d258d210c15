//! libvirt's and QEMU's rules as our own messages, before libvirt sees the domain.
//!
//! A rule stands here if breaking it makes define or start fail, or makes libvirt silently drop what was written. Each is confirmed
//! against a real libvirt in the tests, by a domain that breaks just this rule.

mod cpu;
mod devices;
mod iommu;
mod memory;
mod qemu;
mod session;
mod topology;

use std::collections::HashMap;
use std::hash::Hash;

use crate::base::shown;
use crate::xml::{Document, Element};

/// So many broken rules are told at once.
const MOST: usize = 100;

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The name of the rule.
    pub rule: &'static str,
    /// One complete line: where, what, and what instead.
    pub message: String,
}

/// Every broken rule of a domain; `session` adds those that only hold for an unprivileged libvirt.
pub fn check(doc: &Document, session: bool) -> Vec<Finding> {
    let mut findings = Findings { doc, found: Vec::new() };
    topology::check(&mut findings);
    iommu::check(&mut findings);
    devices::check(&mut findings);
    cpu::check(&mut findings);
    memory::check(&mut findings);
    qemu::check(&mut findings);
    if session {
        session::check(&mut findings);
    }
    findings.found
}

/// Collects findings about a document.
struct Findings<'a> {
    doc: &'a Document,
    found: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, rule: &'static str, message: impl Into<String>) {
        match self.found.len() {
            0..MOST => self.found.push(Finding { rule, message: shown(&message.into()).into_owned() }),
            MOST => self.found.push(Finding { rule: "more", message: format!("and more than these {MOST}") }),
            _ => {}
        }
    }

    /// Whether nothing more is told: then what is dear to find out need not be.
    fn is_full(&self) -> bool {
        self.found.len() > MOST
    }

    fn place(&self, element: Element) -> String {
        super::editor::place(self.doc, element)
    }
}

/// Things that occur with the same key more than once, in order of their second occurrence: (key, first, second).
fn doubles<K: Eq + Hash + Clone>(items: impl Iterator<Item = (K, Element)>) -> Vec<(K, Element, Element)> {
    let mut seen: HashMap<K, Element> = HashMap::new();
    let mut out = Vec::new();
    for (key, element) in items {
        match seen.get(&key) {
            Some(first) => out.push((key, *first, element)),
            None => drop(seen.insert(key, element)),
        }
    }
    out
}
