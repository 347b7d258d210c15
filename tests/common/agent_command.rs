//! The agent on a node of files.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The agent of node `n1`; `at` says where something of the node is.
pub(crate) fn agent_command(program: &Path, at: impl Fn(&str) -> PathBuf) -> Command {
    let mut command = Command::new(program);
    command.args(["agent", "--node-name", "n1"]);
    for (option, name) in [
        ("--config", "node.yaml"),
        ("--state-dir", "state"),
        ("--host-root", "host"),
        ("--kubelet-root", "kubelet"),
        ("--features-dir", "features"),
    ] {
        command.arg(option).arg(at(name));
    }
    command
}
