//! What users are given to apply: manifests that say what they mean, and outputs that the program really makes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

#[path = "examples/cel.rs"]
mod cel;
#[path = "examples/cluster.rs"]
mod cluster;
#[path = "examples/files.rs"]
mod files;
#[path = "examples/kinds.rs"]
mod kinds;
#[path = "examples/manifests.rs"]
mod manifests;
#[path = "examples/outputs.rs"]
mod outputs;
#[path = "examples/plugin.rs"]
mod plugin;
#[allow(dead_code, reason = "the sidecar's own tests need more of it")]
#[path = "sidecar/rig.rs"]
mod rig;
#[path = "examples/schema.rs"]
mod schema;
