//! The link between sidecar and agent: real sockets in a folder like kubelet's, and peers that are not what they should be.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

#[path = "link/agent.rs"]
mod agent;
#[path = "common/agent_command.rs"]
mod agent_command;
#[path = "link/desk.rs"]
mod desk;
#[path = "link/find.rs"]
mod find;
#[path = "link/hostile.rs"]
mod hostile;
#[path = "link/limits.rs"]
mod limits;
#[path = "link/node.rs"]
mod node;
#[path = "link/process.rs"]
mod process;
#[allow(dead_code, reason = "the sidecar's own tests need more of it")]
#[path = "sidecar/rig.rs"]
mod rig;
#[path = "link/sidecar.rs"]
mod sidecar;
#[path = "link/walk.rs"]
mod walk;
