//! Which devices of a node a resource means.

use crate::base::PciAddress;
use crate::config::node::{Resource, Selector};
use crate::host::PciDevice;

use super::guard::{Site, stays};

/// The endpoints that a resource's selector means, by address: of a resource of virtual functions, the physical functions that make
/// them; of mediated devices and vGPUs, their parents. Virtual functions are never selected by what they have in common with others: they
/// are given by their own resources.
pub fn selected(site: &Site, resource: &Resource) -> Vec<PciAddress> {
    let fits = |device: &&PciDevice| !device.function.is_bridge() && matches(site, &resource.selector, device);
    site.pci.functions.values().filter(fits).map(PciDevice::address).collect()
}

/// Whether everything a selector names holds of a function.
fn matches(site: &Site, selector: &Selector, device: &PciDevice) -> bool {
    let function = &device.function;
    if device.is_vf() && selector.addresses.is_empty() && selector.device.is_none() {
        return false;
    }
    let serial = |wanted: &String| has_disk(site, device.address(), wanted);
    // What never goes is not offered; who names one by address is told why.
    if stays(device).is_some() && selector.addresses.is_empty() {
        return false;
    }
    selector.vendor.is_none_or(|id| id.0 == function.vendor)
        && selector.device.is_none_or(|id| id.0 == function.device)
        && selector.subsystem.is_none_or(|wanted| {
            device.subsystem.is_some_and(|is| (is.vendor, is.device) == (wanted.vendor, wanted.device))
        })
        && selector.class.is_none_or(|class| class.matches(function.class))
        && (selector.addresses.is_empty() || selector.addresses.contains(&device.address()))
        && selector.serial.as_ref().is_none_or(serial)
        && selector.numa.is_none_or(|node| function.numa_node == Some(u32::from(node)))
}

/// Whether a disk with this serial number hangs on a function itself, not on one behind it (Intel VMD has functions behind it).
pub(super) fn has_disk(site: &Site, address: PciAddress, serial: &str) -> bool {
    let behind = |other: &PciAddress| {
        let place = site.pci.get(*other).and_then(|other| other.place.as_ref());
        place.is_some_and(|place| place.upstream.contains(&address))
    };
    let disks = site.blocks.disks(address);
    disks.iter().any(|disk| disk.serial.as_deref() == Some(serial) && !disk.functions.iter().any(behind))
}
