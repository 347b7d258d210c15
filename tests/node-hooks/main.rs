//! KubeVirt's node hooks over a real socket, with a small model in place of a node.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

mod agent;
#[path = "../common/agent_command.rs"]
mod agent_command;
mod calls;
mod hostile;
mod late;
mod place;
mod rig;
