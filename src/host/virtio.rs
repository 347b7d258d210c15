//! What is behind virtio's PCI functions: `virtio-pci` says nothing of what a device is for.

use std::collections::{BTreeMap, BTreeSet};

use super::error::HostError;
use super::pci::Pci;
use super::root::Root;
use crate::base::PciAddress;

/// The drivers of virtio devices, by PCI function: `virtioN/driver` in the functions' folders.
///
/// # Errors
///
/// [`HostError`]: a folder cannot be listed.
pub fn virtio_drivers(root: &Root, pci: &Pci) -> Result<BTreeMap<PciAddress, BTreeSet<String>>, HostError> {
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
