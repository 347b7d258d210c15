//! From a resource and a device to the steps that give it away.

use super::guard::{Allowance, Site, Unit};
use super::journal::Request;
use super::owner::Owner;
use super::step::Step;
use super::steps::{Bind, CheckDisks, PinPower};
use crate::base::PciAddress;
use crate::config::node::{Driver, Effective, Resource};
use crate::host::{Root, lock_domain, pci_drivers, vfio_variant};

/// The request for one device of a resource.
///
/// # Errors
///
/// Why there is none, a line each. What keeps the device here is asked for later, by the guards.
pub fn compile(
    site: &Site,
    root: &Root,
    config: &Effective,
    resource: &Resource,
    device: PciAddress,
    owner: &Owner,
) -> Result<Request, Vec<String>> {
    let unit = Unit::of(site, device, Allowance { resource: Some(resource), config });
    let devices: Vec<PciAddress> = unit.functions().collect();
    let mut steps = Vec::new();
    for function in &devices {
        steps.push(Step::PinPower(PinPower { address: *function }));
    }
    for function in &devices {
        steps.extend(disks(site, resource, *function).map(Step::CheckDisks));
        let driver = driver(site, root, resource, *function).map_err(|why| vec![why])?;
        steps.push(Step::Bind(Bind { address: *function, driver }));
    }
    let locked = lock_domain(&site.pci, &site.groups, device);
    Ok(Request {
        owner: owner.clone(),
        purpose: resource.name.as_str().to_owned(),
        unit: unit.owned.iter().map(ToString::to_string).collect(),
        domain: locked.iter().map(|function| format!("function {function}")).collect(),
        devices,
        steps,
    })
}

/// The last look at the disks of a function, if it is storage or has any. What lies on a stick in a USB controller goes with it.
fn disks(site: &Site, resource: &Resource, function: PciAddress) -> Option<CheckDisks> {
    let storage = site.pci.get(function).is_some_and(|device| device.function.class >> 16 == 0x01);
    let looked_at = storage || !site.blocks.disks(function).is_empty();
    looked_at.then_some(CheckDisks { address: function, may_hold_data: resource.may_hold_data || !storage })
}

/// The driver of a function: the one the resource names for the device itself, else the best that is made for it.
fn driver(site: &Site, root: &Root, resource: &Resource, function: PciAddress) -> Result<String, String> {
    let _ = (resource, Driver::Auto);
    let modalias = site.pci.get(function).and_then(|device| device.modalias.as_deref());
    let (Some(modalias), Some(release)) = (modalias, site.kernel.release.as_deref()) else {
        return Ok("vfio-pci".to_owned());
    };
    let module = vfio_variant(root, release, modalias).map_err(|error| error.to_string())?;
    let Some(module) = module else { return Ok("vfio-pci".to_owned()) };
    let drivers = pci_drivers(root, &module).map_err(|error| error.to_string())?;
    Ok(drivers.into_iter().next().unwrap_or(module))
}
