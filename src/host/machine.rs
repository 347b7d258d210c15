//! All views of a machine at once.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::block::Blocks;
use super::display::Display;
use super::error::HostError;
use super::groups::Groups;
use super::iommu::Iommu;
use super::kernel::Kernel;
use super::mdev::{Mdevs, Virtual};
use super::modules::Modules;
use super::nics::Nics;
use super::numa::Numa;
use super::pci::Pci;
use super::root::Root;
use super::usb::Usb;
use super::vfio::Vfio;
use super::virtio::virtio_drivers;
use crate::base::PciAddress;

/// A machine, as a person asks about it. Who is to change one reads the views it needs, and reads them again right before the write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// The running kernel.
    pub kernel: Kernel,
    /// The IOMMU.
    pub iommu: Iommu,
    /// IOMMU groups.
    pub groups: Groups,
    /// PCI functions.
    pub pci: Pci,
    /// NUMA nodes, CPUs, huge pages.
    pub numa: Numa,
    /// Displays and consoles.
    pub display: Display,
    /// Disks and what stands on them.
    pub blocks: Blocks,
    /// Network devices.
    pub nics: Nics,
    /// USB controllers, keyboards and mice.
    pub usb: Usb,
    /// Kernel modules.
    pub modules: Modules,
    /// Drivers of virtio devices, by PCI function.
    pub virtio: BTreeMap<PciAddress, BTreeSet<String>>,
    /// What of VFIO there is.
    pub vfio: Vfio,
    /// Whether there is `/dev/kvm`; `None` if the machine's `/dev` cannot be seen.
    pub kvm: Option<bool>,
    /// Mediated devices.
    pub mdevs: Mdevs,
    /// What mediated devices or vGPUs can be made, by function; those without any are left out.
    pub virtual_devices: BTreeMap<PciAddress, Virtual>,
}

impl Machine {
    /// Reads all views.
    ///
    /// # Errors
    ///
    /// [`HostError`]: there is no machine at this root, or a list of things cannot be read.
    pub fn read(root: &Root) -> Result<Self, HostError> {
        let pci = Pci::read(root)?;
        let groups = Groups::read(root)?;
        let mut virtual_devices = BTreeMap::new();
        for device in pci.functions.values().filter(|device| device.mdev_capable || device.vendor_vgpu) {
            virtual_devices.insert(device.address(), Virtual::read(root, device.address())?);
        }
        let (kernel, modules) = (Kernel::read(root), Modules::read(root)?);
        Ok(Self {
            vfio: Vfio::read(root, &modules, kernel.release.as_deref())?,
            kvm: root.has("dev").then(|| root.has("dev/kvm")),
            kernel,
            blocks: Blocks::read(root)?,
            nics: Nics::read(root)?,
            usb: Usb::read(root)?,
            iommu: Iommu::read(root, &groups)?,
            groups,
            numa: Numa::read(root)?,
            display: Display::read(root)?,
            modules,
            mdevs: Mdevs::read(root)?,
            virtual_devices,
            virtio: virtio_drivers(root, &pci)?,
            pci,
        })
    }
}
