//! From what a node does at boot to what is done per VM: files in, a NodeConfig, DomainProfiles and a report out.
//!
//! | room | what it is |
//! |---|---|
//! | `read` | bytes to actions, one file a format; `shell` reads scripts and the lines of units |
//! | `judge` | an action to a verdict, and to what the new documents shall say |
//! | `draft` | what the new documents shall say, put together |
//! | `write` | the documents as commented YAML, and the report |
//! | `check` | the draft against a live node |
//!
//! Pure: the files are bytes and the node is a value. What is written is read again by the strict readers before anybody gets it.

mod action;
mod check;
mod draft;
mod judge;
mod place;
mod read;
mod shell;
mod verdict;
mod write;

use crate::config::Problems;
use crate::host::Machine;

pub use draft::FILL_IN;
pub use place::Place;
pub use verdict::{Counts, Item, Verdict};

/// A file to import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its path: how messages call it, and what tells its format.
    pub label: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// The node that the files were for.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// As Kubernetes calls it.
    pub name: &'a str,
    /// What it is.
    pub machine: &'a Machine,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The NodeConfig, as commented YAML that [`crate::config::node::NodeConfig::read`] takes.
    pub node_config: String,
    /// DomainProfiles by name.
    pub profiles: Vec<(String, String)>,
    /// What became of each action, in the order of the files.
    pub items: Vec<Item>,
    /// Lines of scripts and units that only hold the others together.
    pub idle: usize,
    /// What the live node says; empty if none was asked.
    pub node: Vec<String>,
    /// How many files there were.
    pub files: usize,
}

impl Outcome {
    /// The report, as text.
    pub fn report(&self) -> String {
        write::report(self)
    }

    /// How many actions became what.
    pub fn counts(&self) -> Counts {
        Counts::of(&self.items)
    }
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Files that are not what they seem: `place: what, what instead`, one a line.
    #[error("{}", .0.join("\n"))]
    Malformed(Vec<String>),
    /// What we wrote, our own reader does not take.
    #[error("this is a mistake of ours, please report it: what was made of these files is not valid: {0}")]
    Bug(Problems),
}

/// Reads files, and makes documents of them. `name` is that of the NodeConfig, and what names of profiles begin with.
///
/// # Errors
///
/// [`ImportError`]; what is only not understood is no error but an item.
pub fn import(inputs: &[Input], name: &str, node: Option<Node<'_>>) -> Result<Outcome, ImportError> {
    let reading = read::read(inputs);
    if !reading.malformed.is_empty() {
        return Err(ImportError::Malformed(reading.malformed));
    }
    let (items, draft) = judge::judge(reading.found, node);
    let drafted = draft.finish(name, node);
    let (node_config, profiles) = write::documents(&drafted, name).map_err(ImportError::Bug)?;
    let node = node.map_or_else(Vec::new, |node| check::check(&drafted, node));
    Ok(Outcome { node_config, profiles, items, idle: reading.idle, node, files: inputs.len() })
}
