//! A function itself, with its companions.

use super::{Compiler, driver, prepare};
use crate::base::PciAddress;
use crate::config::node::{Driver, Resource};
use crate::prep::guard::{Allowance, Unit};
use crate::prep::journal::Request;
use crate::prep::step::Step;
use crate::prep::steps::{Bind, CheckDisks, PinPower, TakeUnbindLock, upstream};

/// Adds what gives a function away.
pub(super) fn add(
    compiler: &Compiler<'_>,
    resource: &Resource,
    driver: &Driver,
    device: PciAddress,
    request: &mut Request,
) -> Result<(), String> {
    let allowance = Allowance { resource: Some(resource), config: compiler.config };
    let unit = Unit::of(compiler.site, device, allowance);
    request.devices = unit.functions().collect();
    request.unit = unit.owned.iter().chain([&device]).map(ToString::to_string).collect();
    request.unit.sort();
    request.unit.dedup();
    compiler.lock(device, request);
    request.steps.extend(prepare::steps(compiler, resource, device)?);
    let functions = request.devices.clone();
    pin(compiler, &functions, request)?;
    for function in functions {
        // What an admin names is meant for the device itself; its sound function has no variant of its own.
        let named = if function == device { driver } else { &Driver::Auto };
        bind(compiler, named, function, disks(compiler, resource, function), request)?;
    }
    Ok(())
}

/// The last look at the disks of a function, if it is storage or has any. What lies on a stick in a USB controller goes with it.
fn disks(compiler: &Compiler<'_>, resource: &Resource, function: PciAddress) -> Option<CheckDisks> {
    let storage = compiler.site.pci.get(function).is_some_and(|device| device.function.class >> 16 == 0x01);
    let looked_at = storage || !compiler.site.blocks.disks(function).is_empty();
    looked_at.then_some(CheckDisks { address: function, may_hold_data: resource.may_hold_data || !storage })
}

/// Keeps functions awake while they change hands, and the ports above them first: a port in D3cold takes everything below along.
pub(super) fn pin(compiler: &Compiler<'_>, functions: &[PciAddress], request: &mut Request) -> Result<(), String> {
    for function in functions {
        let above = upstream(compiler.root, *function).map_err(|trouble| trouble.message)?;
        let awake = above.into_iter().rev().chain([*function]);
        request.steps.extend(awake.map(|address| Step::PinPower(PinPower { address })));
    }
    Ok(())
}

/// Adds the driver's module and the binding, a disk looked at last.
pub(super) fn bind(
    compiler: &Compiler<'_>,
    driver: &Driver,
    function: PciAddress,
    check: Option<CheckDisks>,
    request: &mut Request,
) -> Result<(), String> {
    let chosen = driver::of(compiler, driver, function)?;
    request.steps.extend(chosen.load);
    request.steps.extend(check.map(Step::CheckDisks));
    // Last before the binding, and first to go when it does not come to one.
    request.steps.extend(TakeUnbindLock::of(compiler.root, function).map(Step::TakeUnbindLock));
    request.steps.push(Step::Bind(Bind { address: function, driver: chosen.driver }));
    Ok(())
}
