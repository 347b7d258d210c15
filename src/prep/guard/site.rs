//! Everything the guards look at, read in one go.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::PciAddress;
use crate::host::block::Blocks;
use crate::host::nics::Nics;
use crate::host::usb::Usb;
use crate::host::{Display, Groups, HostError, Iommu, Kernel, Pci, Root, virtio_drivers};

/// A node as the guards see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// PCI functions.
    pub pci: Pci,
    /// IOMMU groups.
    pub groups: Groups,
    /// The IOMMU.
    pub iommu: Iommu,
    /// Displays and consoles.
    pub display: Display,
    /// Disks and what stands on them.
    pub blocks: Blocks,
    /// Network devices.
    pub nics: Nics,
    /// USB controllers, keyboards.
    pub usb: Usb,
    /// Drivers of virtio devices, by PCI function.
    pub virtio: BTreeMap<PciAddress, BTreeSet<String>>,
    /// The kernel.
    pub kernel: Kernel,
}

impl Site {
    /// Reads a node.
    ///
    /// # Errors
    ///
    /// [`HostError`]: something cannot be read, and so nothing is known.
    pub fn read(root: &Root) -> Result<Self, HostError> {
        let groups = Groups::read(root)?;
        let pci = Pci::read(root)?;
        Ok(Self {
            virtio: virtio_drivers(root, &pci)?,
            pci,
            iommu: Iommu::read(root, &groups)?,
            groups,
            display: Display::read(root)?,
            blocks: Blocks::read(root)?,
            nics: Nics::read(root)?,
            usb: Usb::read(root)?,
            kernel: Kernel::read(root),
        })
    }
}
