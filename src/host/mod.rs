//! Read-only facts about a machine. Facts are values: whoever needs them gets them passed in, so a captured tree replays anywhere.

mod facts;

pub use facts::{Bar, HostFacts, PciFunction};
