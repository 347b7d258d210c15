//! A document to the typed NodeConfig, with every mistake collected.
//!
//! A reader tells what is wrong to the report and hands on what it could read; a document with one mistake is refused as a whole, so
//! nothing half-read ever leaves this module.

mod checks;
mod policy;
mod resource;
mod steps;
mod target;
mod values;

use std::sync::Arc;

use crate::config::document;
use crate::config::problems::{Problems, Source};
use crate::config::read::{Report, Section};
use crate::config::tree::{Node, Value};

use super::{NodeConfig, NodeSpec};

/// `kind` of the document.
pub const KIND: &str = "NodeConfig";

impl NodeConfig {
    /// Reads a document. `label` is how messages call it: its path. `Err` has every mistake there is.
    pub fn read(label: &str, text: &str) -> Result<Self, Problems> {
        let source = Arc::new(Source::File { label: label.to_owned(), origin: format!("node config {label}") });
        let report = Report::default();
        let opened = document::open(&source, text, (KIND, KIND), None, &report)?;
        let nothing = || Node { place: crate::config::Place::whole(&source), value: Value::Map(Vec::new()) };
        let spec = read_spec(&opened.spec.unwrap_or_else(nothing), &report);
        let problems = report.into_problems();
        match opened.name {
            Some(name) if problems.0.is_empty() => Ok(Self { name, spec }),
            _ => Err(problems),
        }
    }
}

/// Reads a spec. What is wrong is told to the report and left out.
pub(super) fn read_spec(node: &Node, report: &Report) -> NodeSpec {
    let mut spec = Section::open(Some(node), "", report);
    // Before the steps, which are held against them.
    let limits = policy::limits(spec.section("limits"));
    let resources = resource::resources(spec.items("resources"), &limits, report);
    let profiles = policy::profiles(spec.items("profiles"), &limits, report);
    let guards = policy::guards(spec.section("guards"), report);
    spec.finish();
    checks::resources(&resources, report);
    checks::profiles(&profiles, report);
    checks::acknowledgements(&guards, report);
    NodeSpec {
        resources: resources.into_iter().filter_map(|draft| draft.resource).collect(),
        profiles: profiles.into_iter().filter_map(|draft| draft.profile).collect(),
        guards: super::Guards { acknowledge: guards.into_iter().filter_map(|draft| draft.acknowledgement).collect() },
        limits,
    }
}

/// `resources[example.com/gpu]`, or with its index if it has no name.
fn item_path(list: &str, index: usize, name: Option<&str>) -> String {
    name.map_or_else(|| format!("{list}[{index}]"), |name| format!("{list}[{name}]"))
}
