//! Everything the guards look at, read in one go.

use crate::host::block::Blocks;
use crate::host::nics::Nics;
use crate::host::usb::Usb;
use crate::host::{Display, Groups, HostError, Iommu, Kernel, Pci, Root};

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
        Ok(Self {
            pci: Pci::read(root)?,
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
