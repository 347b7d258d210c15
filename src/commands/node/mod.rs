//! `virt-tailor node`: one file per verb.

mod hand;

use super::failure::Failure;
use crate::cli::Node;

/// Runs one of them.
pub(super) fn run(node: &Node) -> Result<(), Failure> {
    match node {
        Node::Hand { root } => hand::run(root),
    }
}
