//! Facts about the host, for the calls of one VM.
//!
//! They are read at the first call that needs them and held once a call was answered with them: the passes of one start must see the
//! same machine, for a refusal in a later pass makes KubeVirt start the half-made domain of the first. After a refusal they are read
//! anew, because KubeVirt tries again and somebody may have repaired the node. Reading takes about ten files per PCI function.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::host::{HostFacts, read_pci};

/// The host, and what is held of it.
#[derive(Debug)]
pub(super) struct Host {
    root: PathBuf,
    held: Mutex<Option<Known>>,
}

/// What is known of the host.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// Facts, if they could be read.
    pub(super) facts: Option<Arc<HostFacts>>,
    /// Why not, if not: that is a note, not an error, as most of a profile needs no facts.
    pub(super) note: Option<String>,
}

impl Host {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, held: Mutex::new(None) }
    }

    /// What is held, or else what there is to read.
    pub(super) fn look(&self) -> Known {
        if let Some(held) = &*self.lock() {
            return held.clone();
        }
        match read_pci(&self.root) {
            Ok(facts) => Known { facts: Some(Arc::new(facts)), note: None },
            Err(error) => {
                let note = format!("nothing is known about the host's devices: {}", chain(&error));
                Known { facts: None, note: Some(note) }
            }
        }
    }

    /// Holds what a call was answered with; that nothing is known too, or a later pass might see more than the first.
    pub(super) fn hold(&self, known: Known) {
        *self.lock() = Some(known);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        // A value is stored whole or not at all.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        out.push_str(": ");
        out.push_str(&cause.to_string());
        source = cause.source();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_call_was_answered_with_is_held() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path().to_owned());
        let nothing = host.look();
        assert!(nothing.facts.is_none() && nothing.note.is_some());
        // Nobody was answered yet: it is looked at again.
        std::fs::create_dir(root.path().join("sys")).unwrap();
        let something = host.look();
        assert!(something.facts.is_some() && something.note.is_none());
        host.hold(something);
        std::fs::remove_dir(root.path().join("sys")).unwrap();
        assert!(host.look().facts.is_some());
        // That nothing is known is held as well.
        host.hold(nothing);
        std::fs::create_dir(root.path().join("sys")).unwrap();
        assert!(host.look().facts.is_none());
    }
}
