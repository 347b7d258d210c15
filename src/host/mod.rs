//! Read-only facts about a machine. Facts are values: whoever needs them gets them passed in, so a captured tree replays anywhere.

mod error;
mod facts;
mod folder;
mod root;
mod sysfs;
mod values;

pub use error::HostError;
pub use facts::{Bar, HostFacts, PciFunction};
pub use root::Root;
pub use sysfs::read_pci;
