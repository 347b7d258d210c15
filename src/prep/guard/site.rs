//! Everything the guards look at, read in one go.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::PciAddress;
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
            virtio: virtio(root, &pci)?,
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

/// The drivers of virtio devices: `virtioN/driver` in their functions' folders.
fn virtio(root: &Root, pci: &Pci) -> Result<BTreeMap<PciAddress, BTreeSet<String>>, HostError> {
    let mut found = BTreeMap::new();
    for device in pci.functions.values().filter(|device| device.function.driver.as_deref() == Some("virtio-pci")) {
        let folder = format!("sys/bus/pci/devices/{}", device.address());
        let mut drivers = BTreeSet::new();
        for name in root.names(&folder)?.into_iter().filter(|name| name.starts_with("virtio")) {
            drivers.extend(root.link_name(format!("{folder}/{name}/driver"))?);
        }
        found.insert(device.address(), drivers);
    }
    Ok(found)
}
