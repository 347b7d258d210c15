//! The program as a person meets it: exit codes, what goes to which stream, files that are written whole or not at all.
//!
//! Texts are golden files, `tests/golden/cli/<case>.txt`: the arguments, the exit code, both streams. `UPDATE_GOLDEN=1` rewrites them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

#[path = "common/host_tree.rs"]
mod host_tree;
#[path = "cli/output.rs"]
mod output;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/texts.rs"]
mod texts;
