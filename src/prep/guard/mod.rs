//! What must not be taken from a node, computed from the live system: what it is, and who has it.
//!
//! Each refusal is one line that says what and who, and what to do instead. What an admin may decide is decided in the node's
//! configuration, by address; that a disk is in use is not.

mod class;
mod console;
mod disk;
mod display;
mod group;
mod input;
mod live;
mod nic;
mod site;
#[cfg(test)]
mod tests;

pub(super) use class::stays;
pub use live::LiveGuard;
pub use site::Site;

use std::collections::BTreeSet;

use crate::base::PciAddress;
use crate::config::node::{CompanionName, Companions, Effective, Resource, Target};

/// What is allowed in one case.
#[derive(Debug, Clone, Copy)]
pub struct Allowance<'a> {
    /// The resource that gives the device away; none for a look without a configuration.
    pub resource: Option<&'a Resource>,
    /// The node's configuration, with the risks that are taken.
    pub config: &'a Effective,
}

impl Allowance<'_> {
    /// Whether somebody has named this very function: by address, or by the serial number of its disk. A virtual function is named through
    /// the physical one.
    fn names(&self, site: &Site, address: PciAddress) -> bool {
        let Some(resource) = self.resource else { return false };
        let selector = &resource.selector;
        let device = site.pci.get(address);
        let listed = |address: &PciAddress| selector.addresses.contains(address);
        let companion = match &resource.target {
            Target::Pci { companions: Companions::Only(names), .. } => names.contains(&CompanionName::Address(address)),
            _ => false,
        };
        let serial = selector.serial.as_ref().is_some_and(|serial| super::select::has_disk(site, address, serial));
        listed(&address) || companion || serial || device.and_then(|device| device.physfn).is_some_and(|pf| listed(&pf))
    }

    /// Whether somebody has named this very function, or devices of its make.
    fn means(&self, site: &Site, address: PciAddress) -> bool {
        let Some(resource) = self.resource else { return false };
        let Some(device) = site.pci.get(address) else { return false };
        let ids = resource.selector.device.is_some_and(|id| id.0 == device.function.device)
            && resource.selector.vendor.is_none_or(|id| id.0 == device.function.vendor);
        let companion = match &resource.target {
            Target::Pci { companions: Companions::Only(_), .. } => self.takes(site, address),
            _ => false,
        };
        ids || companion || self.names(site, address)
    }

    /// Whether companions are taken along.
    fn takes(&self, site: &Site, companion: PciAddress) -> bool {
        let Some(Target::Pci { companions, .. }) = self.resource.map(|resource| &resource.target) else { return false };
        match companions {
            Companions::Off => false,
            Companions::Auto => true,
            Companions::Only(names) => names.iter().any(|name| match name {
                CompanionName::Address(address) => *address == companion,
                CompanionName::Ids { vendor, device } => site.pci.get(companion).is_some_and(|companion| {
                    (*vendor, *device) == (companion.function.vendor, companion.function.device)
                }),
            }),
        }
    }
}

/// A device with what has to go with it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unit {
    /// What was asked for.
    pub primary: PciAddress,
    /// Endpoints of its group that go along.
    pub companions: BTreeSet<PciAddress>,
    /// Everything that has one owner from now on: the group, and what its only reset touches.
    pub owned: BTreeSet<PciAddress>,
    /// Why it cannot be handed over, a line each; none if it can.
    pub refusals: Vec<String>,
}

impl Unit {
    /// The unit of a function, and what stands in its way as far as reading alone can tell. Who has its files open, and what its disks
    /// bear, is asked right before something is done.
    pub fn of(site: &Site, primary: PciAddress, allowance: Allowance<'_>) -> Self {
        Self::within(site, primary, crate::host::ownership_unit(&site.pci, &site.groups, primary), allowance)
    }

    /// The same, for somebody who asks for many and knows the ownership unit of each.
    pub(crate) fn within(
        site: &Site,
        primary: PciAddress,
        owned: BTreeSet<PciAddress>,
        allowance: Allowance<'_>,
    ) -> Self {
        let mut unit = Self { primary, companions: BTreeSet::new(), owned, refusals: Vec::new() };
        unit.refusals = class::own(site, primary, allowance);
        unit.refusals.extend(class::isolation(site, primary));
        if !unit.refusals.is_empty() {
            return unit;
        }
        let (companions, foreign) = group::members(site, primary, &unit.owned, allowance);
        unit.companions = companions;
        unit.refusals.extend(foreign);
        let mut refusals = Vec::new();
        for companion in &unit.companions {
            refusals.extend(class::own(site, *companion, allowance));
        }
        for function in unit.functions() {
            refusals.extend(function_refusals(site, function, allowance));
        }
        unit.refusals.extend(refusals);
        unit
    }

    /// The functions that change hands, the primary one first.
    pub fn functions(&self) -> impl Iterator<Item = PciAddress> + '_ {
        std::iter::once(self.primary).chain(self.companions.iter().copied())
    }
}

/// What stands in the way of one function's going.
fn function_refusals(site: &Site, address: PciAddress, allowance: Allowance<'_>) -> Vec<String> {
    // What is with a VFIO driver has been given away by the host already.
    if site.pci.get(address).is_none_or(|device| device.function.vfio) {
        return Vec::new();
    }
    let mut refusals = disk::refusals(site, address, allowance);
    refusals.extend(nic::refusals(site, address, allowance));
    refusals.extend(display::refusals(site, address, allowance));
    refusals.extend(console::refusals(site, address, allowance));
    refusals.extend(input::refusals(site, address, allowance));
    refusals
}
