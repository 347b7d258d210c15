//! `virt-tailor node …`: one file per verb.

mod apply;
mod hand;
mod inspect;
mod plan;
mod recover;
mod release;
pub(in crate::commands) mod session;
mod show;
mod status;
mod undo;
mod want;

use crate::cli::node::{Node, NodeCommand};

use super::Failure;

/// Runs one of the node's commands.
pub(super) fn run(node: &Node) -> Result<(), Failure> {
    match &node.command {
        NodeCommand::Inspect(args) => inspect::run(args),
        NodeCommand::Plan(args) => plan::run(args),
        NodeCommand::Apply(args) => apply::run(args),
        NodeCommand::Undo(args) => undo::run(args),
        NodeCommand::Status(args) => status::run(args),
        NodeCommand::Recover(args) => recover::run(args),
        NodeCommand::Release(args) => release::run(args),
        NodeCommand::Hand { root } => hand::run(root),
    }
}
