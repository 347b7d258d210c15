//! Read-only facts about a machine. Facts are values: whoever needs them gets them passed in, so a captured tree replays anywhere.

pub mod block;
mod device;
mod error;
mod exclusive;
mod facts;
mod folder;
mod holders;
mod mounts;
pub mod nics;
mod nodes;
mod place;
mod process;
mod root;
pub mod signature;
mod sysfs;
mod units;
pub mod usb;
mod values;

pub use device::{DevT, DeviceNode, NodeKind};
pub use error::HostError;
pub use exclusive::{Hold, exclusive};
pub use facts::{Bar, HostFacts, PciFunction};
pub use holders::{Holder, Holders, holders};
pub use nodes::device_nodes;
pub use process::{Process, process};
pub use root::Root;
pub use sysfs::read_pci;
pub use units::{Owner, owner};
