//! What the domain side needs to know about a host's PCI functions.

use std::collections::BTreeMap;

use serde::Serialize;

use super::hex;
use crate::base::PciAddress;

/// The PCI functions of a host, by address. Empty facts are different from no facts at all (`Option<HostFacts>`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostFacts {
    /// Every function that could be read.
    pub pci: BTreeMap<PciAddress, PciFunction>,
}

/// One PCI function as sysfs shows it. What could not be read is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PciFunction {
    /// Where it is.
    pub address: PciAddress,
    /// PCI vendor id.
    #[serde(serialize_with = "hex::id")]
    pub vendor: u16,
    /// PCI device id.
    #[serde(serialize_with = "hex::id")]
    pub device: u16,
    /// Class code, 24 bits: class, subclass, programming interface.
    #[serde(serialize_with = "hex::class")]
    pub class: u32,
    /// Header type without the multifunction bit: 0 endpoint, 1 bridge, 2 CardBus bridge. From byte 0x0e of config space; a device without
    /// power (D3cold) is not woken up for it.
    pub header_type: Option<u8>,
    /// Name of the bound driver.
    pub driver: Option<String>,
    /// Whether the bound driver is a VFIO driver (vfio-pci or a variant: it has a `vfio-dev` entry, or is called so).
    pub vfio: bool,
    /// IOMMU group; `None` without an active IOMMU.
    pub iommu_group: Option<u32>,
    /// NUMA node; `None` if the firmware names none.
    pub numa_node: Option<u32>,
    /// The memory BARs in use, from `resource`. A 64-bit BAR takes up two indices and is named by the lower.
    pub bars: Vec<Bar>,
    /// Whether the kernel found a way to reset this function when it met it: there is an entry `reset`. (Write-only, so copies of a
    /// tree tend to lose it.)
    pub reset: bool,
    /// `reset_method` split at blanks; `None` where the file is missing (before Linux 5.15, or no reset at all), empty where somebody
    /// has switched off all methods.
    ///
    /// `bus` is no promise: the kernel tries methods while it is still adding functions, so function 0 of several lists `bus` although
    /// that reset is refused once its siblings are there (kernel: drivers/pci/pci.c, pci_parent_bus_reset), and the siblings, having no
    /// other method, have no file at all. VFIO itself can reset such a bus if the VM has all functions on it.
    pub reset_methods: Option<Vec<String>>,
    /// Whether the firmware showed its picture here (`boot_vga`, VGA class only).
    pub boot_vga: Option<bool>,
}

/// A memory BAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bar {
    /// 0–5.
    pub index: u8,
    /// Size in bytes.
    pub size: u64,
    /// Whether it is a 64-bit BAR.
    pub wide: bool,
    /// Whether it is prefetchable.
    pub prefetchable: bool,
}

impl HostFacts {
    /// The other functions in this one's IOMMU group, in order of address. Empty without a group.
    pub fn group_mates(&self, address: PciAddress) -> Vec<&PciFunction> {
        let Some(group) = self.pci.get(&address).and_then(|function| function.iommu_group) else {
            return Vec::new();
        };
        self.pci.values().filter(|other| other.iommu_group == Some(group) && other.address != address).collect()
    }
}

impl PciFunction {
    /// Whether this is a bridge, by header type (classes lie; kernel documentation of config space).
    pub fn is_bridge(&self) -> bool {
        match self.header_type {
            Some(kind) => kind != 0,
            None => self.class >> 16 == 0x06,
        }
    }

    /// Whether the kernel knows a way to reset this function: by its list of methods, or on kernels without that list by the entry
    /// `reset`. See [`Self::reset_methods`] for what a `bus` in it is worth.
    pub fn can_reset(&self) -> bool {
        match &self.reset_methods {
            Some(methods) => !methods.is_empty(),
            None => self.reset,
        }
    }
}
