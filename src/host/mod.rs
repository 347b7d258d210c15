//! Read-only facts about a machine. Facts are values: whoever needs them gets them passed in, so a captured tree replays anywhere.

mod acpi;
mod attribute;
pub mod block;
mod cpuset;
mod device;
mod display;
#[cfg(test)]
mod display_tests;
mod error;
mod exclusive;
mod facts;
mod folder;
mod framebuffer;
mod groups;
mod hex;
mod holders;
mod iommu;
#[cfg(test)]
mod iommu_tests;
mod kernel;
mod locked;
mod machine;
mod mdev;
mod modules;
mod mounts;
pub mod nics;
mod nodes;
mod numa;
mod pci;
#[cfg(test)]
mod pci_tests;
mod place;
mod placement;
mod process;
mod resource;
mod root;
pub mod signature;
mod sysfs;
#[cfg(test)]
pub(crate) mod testing;
mod topology;
#[cfg(test)]
mod topology_tests;
mod units;
pub mod usb;
mod values;
mod variant;
mod vfio;
mod virtio;

pub use acpi::AcpiTables;
pub use cpuset::{CpuSet, CpuSetError};
pub use device::{DevT, DeviceNode, NodeKind};
pub use display::{Console, Display, Parent, VtConsole, VtKind};
pub use error::HostError;
pub use exclusive::{Claim, Hold, claim, exclusive};
pub use facts::{Bar, HostFacts, PciFunction};
pub use framebuffer::{FirmwareFramebuffer, MemoryRange};
pub use groups::{Group, GroupKind, Groups, RegionKind, ReservedRegion};
pub use holders::{Holder, Holders, holders};
pub use iommu::{InterruptRemapping, Iommu, IommuState, IommuVendor};
pub use kernel::{Kernel, Lockdown};
pub use locked::{driver_override, sriov_numvfs};
pub use machine::Machine;
pub use mdev::{Mdev, MdevType, Mdevs, NvidiaVgpu, Virtual};
pub use modules::{Loaded, Module, Modules, Parameter};
pub use nodes::{device_nodes, mdev_nodes};
pub use numa::{Cpu, Cpus, HugepagePool, Numa, NumaNode};
pub use pci::{Pci, PciDevice, Power, Sriov, SubsystemId};
pub use placement::Place;
pub use process::{Process, process};
pub use resource::Resource;
pub use root::Root;
pub use sysfs::read_pci;
pub use topology::{
    ResetReach, bus_reset_set, lock_domain, lock_domains, ownership_unit, ownership_units, reset_reach, slot_mates,
};
pub use units::{Owner, owner};
pub use variant::{pci_drivers, vfio_variant};
pub use vfio::{Availability, Vfio};
pub use virtio::virtio_drivers;
