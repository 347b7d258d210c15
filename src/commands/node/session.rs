//! What the commands share: the engine on this node.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::cli::node::{Configuration, Place};
use crate::commands::Failure;
use crate::config::node::{Effective, NodeConfig};
use crate::host::{Kernel, Root};
use crate::prep::engine::Engine;
use crate::prep::guard::LiveGuard;
use crate::prep::hand::Workshop;
use crate::prep::journal::{Journal, Ledger};

use super::show;

/// The engine of a live node.
pub(in crate::commands) type LiveEngine = Engine<Workshop, LiveGuard>;

/// Where the journal is written, and for which boot.
#[derive(Debug)]
pub(in crate::commands) struct Session {
    pub(in crate::commands) root: Root,
    state: PathBuf,
    pub(in crate::commands) boot: String,
}

impl Session {
    /// Finds the node.
    pub(in crate::commands) fn at(place: &Place) -> Result<Self, Failure> {
        let root = Root::new(&place.host_root);
        let boot = Kernel::read(&root).boot_id.ok_or_else(|| {
            Failure::NodeRequest(format!(
                "{} cannot be read: is {} the root of a host?",
                root.path("proc/sys/kernel/random/boot_id").display(),
                place.host_root.display()
            ))
        })?;
        Ok(Self { root, state: place.state_dir.clone(), boot })
    }

    /// What is changed now, without waiting for whoever changes something.
    pub(super) fn ledger(&self) -> Result<Ledger, Failure> {
        Ok(Journal::peek(&self.state, &self.boot)?.unwrap_or_default())
    }

    /// Who does what must not be done by ourselves.
    pub(super) fn workshop(&self) -> Workshop {
        workshop(&self.root)
    }

    /// The engine; says what an earlier boot or a crash has left.
    pub(in crate::commands) fn engine(&self, config: Effective) -> Result<LiveEngine, Failure> {
        let guard = LiveGuard::new(self.root.clone(), config);
        let (engine, opened) = Engine::open(&self.state, &self.boot, self.workshop(), guard)?;
        if let Some(earlier) = opened.earlier {
            for (owner, holding) in &earlier.holdings {
                show::note(&format!(
                    "this node has been booted since {owner} had {}: nothing of that is left",
                    holding.request.purpose
                ));
            }
        }
        if opened.torn {
            show::note("the last line of the journal was cut short by a crash: what it announced had not begun");
        }
        Ok(engine)
    }
}

/// Who touches the machine at this root, so that nobody else can be caught in it.
pub(super) fn workshop(root: &Root) -> Workshop {
    let root = root.folder().display().to_string();
    let arguments = ["node", "hand", "--root", &root].map(str::to_owned);
    // This very program, even if its file has been replaced meanwhile.
    Workshop::new("/proc/self/exe", arguments, Root::new("/"))
}

/// The part of a NodeConfig that concerns this node.
pub(in crate::commands) fn configuration(configuration: &Configuration, root: &Root) -> Result<Effective, Failure> {
    effective(&configuration.config, configuration.node_name.as_deref(), root)
}

/// The part of a NodeConfig in a file that concerns a node.
pub(in crate::commands) fn effective(path: &Path, node: Option<&str>, root: &Root) -> Result<Effective, Failure> {
    Ok(document(path, &text_of(path)?)?.for_node(&node_name(node, root)?))
}

/// The text of a NodeConfig's file.
pub(in crate::commands) fn text_of(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::NoNodeConfig { path: path.to_owned() },
        _ => Failure::Read { path: path.to_owned(), error },
    })
}

/// A NodeConfig of this text, from this file.
pub(in crate::commands) fn document(path: &Path, text: &str) -> Result<NodeConfig, Failure> {
    Ok(NodeConfig::read(&path.display().to_string(), text)?)
}

/// What the node is called.
pub(in crate::commands) fn node_name(node: Option<&str>, root: &Root) -> Result<String, Failure> {
    match node {
        Some(name) => Ok(name.to_owned()),
        None => Ok(root.text("proc/sys/kernel/hostname")?.unwrap_or_default()),
    }
}
