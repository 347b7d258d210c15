//! Read-only facts about a machine. Facts are values: whoever needs them gets them passed in, so a captured tree replays anywhere.

mod attribute;
mod cpuset;
mod error;
mod facts;
mod folder;
mod groups;
mod hex;
mod locked;
mod mdev;
mod pci;
mod placement;
mod resource;
mod root;
mod sysfs;
#[cfg(test)]
mod testing;
mod topology;
mod values;

pub use cpuset::CpuSet;
pub use error::HostError;
pub use facts::{Bar, HostFacts, PciFunction};
pub use groups::{Group, GroupKind, Groups, RegionKind, ReservedRegion};
pub use locked::{driver_override, sriov_numvfs};
pub use mdev::{Mdev, MdevType, Mdevs, NvidiaVgpu, Virtual};
pub use pci::{Pci, PciDevice, Power, Sriov, SubsystemId};
pub use placement::Place;
pub use resource::Resource;
pub use root::Root;
pub use sysfs::read_pci;
pub use topology::{
    ResetReach, bus_reset_set, lock_domain, lock_domains, ownership_unit, ownership_units, reset_reach, slot_mates,
};
