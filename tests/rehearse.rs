//! Rehearsals as a person runs them: our own sidecar with every sample and every built-in profile, and sidecars that are none.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

#[path = "rehearse/fake.rs"]
mod fake;
#[path = "rehearse/golden.rs"]
mod golden;
#[path = "rehearse/left.rs"]
mod left;
#[path = "rehearse/others.rs"]
mod others;
#[path = "rehearse/play.rs"]
mod play;
#[path = "rehearse/relay.rs"]
mod relay;
#[allow(dead_code, reason = "the sidecar's own tests need more of it")]
#[path = "sidecar/rig.rs"]
mod rig;
#[path = "rehearse/samples.rs"]
mod samples;
