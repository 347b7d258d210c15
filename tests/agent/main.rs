//! The agent on a behaviour model of a node: what kubelet asks, what is seen, and what becomes of the node.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

mod both;
mod cycle;
mod errand;
#[allow(dead_code)]
#[path = "../engine/hand.rs"]
mod hand;
mod many;
#[allow(dead_code)]
#[path = "../engine/model.rs"]
mod model;
mod race;
mod refused;
mod reload;
mod restart;
mod rig;

/// What the model is made of.
const GPU: &str = "0000:01:00.0";
const AUDIO: &str = "0000:01:00.1";
const NIC: &str = "0000:02:00.0";
