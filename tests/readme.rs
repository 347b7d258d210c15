//! What people read first, held against the program: commands run, messages are given, tables are whole.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

#[path = "readme/commands.rs"]
mod commands;
#[path = "readme/messages.rs"]
mod messages;
#[path = "readme/node.rs"]
mod node;
#[path = "readme/pages.rs"]
mod pages;
#[allow(dead_code, reason = "the sidecar's own tests need more of it")]
#[path = "sidecar/raw.rs"]
mod raw;
#[allow(dead_code, reason = "the sidecar's own tests need more of it")]
#[path = "sidecar/rig.rs"]
mod rig;
#[path = "readme/tables.rs"]
mod tables;
