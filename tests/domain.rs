//! Domains in, domains out: golden cases, every sample with every built-in profile, and what holds for all of them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

mod common;

#[path = "domain/bounds.rs"]
mod bounds;
#[path = "domain/generate.rs"]
mod generate;
#[path = "domain/golden.rs"]
mod golden;
#[path = "domain/passes.rs"]
mod passes;
#[path = "domain/properties.rs"]
mod properties;
#[path = "domain/samples.rs"]
mod samples;
#[path = "domain/support.rs"]
mod support;
#[path = "domain/tokens.rs"]
mod tokens;
