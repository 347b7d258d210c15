//! What belongs together: who must be owned together, and who must not be changed at the same time. Pure functions of the views.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::groups::Groups;
use super::pci::{Pci, PciDevice};
use crate::base::PciAddress;

/// The narrowest reset the kernel knows for a function (kernel: drivers/pci/pci.c, pci_reset_fn_methods).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ResetReach {
    /// This function alone: FLR, AF FLR, power management, ACPI, or one for this device.
    Function,
    /// Everything on its bus (VFIO does that if one VM has all of it), for there is no other way.
    Bus,
    /// Nothing: it has no reset of its own, and is on a root bus, which has none.
    Nothing,
    /// A kernel before 5.15: there is some reset, and it does not say which.
    Unknown,
}

/// The narrowest reset of a function.
pub fn reset_reach(device: &PciDevice) -> ResetReach {
    // SR-IOV demands FLR of every virtual function (PCI Express Base Specification, 9.3.3.3.1).
    if device.is_vf() {
        return ResetReach::Function;
    }
    match &device.function.reset_methods {
        Some(methods) if methods.iter().any(|method| !matches!(method.as_str(), "bus" | "cxl_bus")) => {
            ResetReach::Function
        }
        None if device.function.reset => ResetReach::Unknown,
        _ if device.place.as_ref().is_some_and(|place| place.bridge.is_some()) => ResetReach::Bus,
        _ => ResetReach::Nothing,
    }
}

/// The other functions of a function's slot. Virtual functions may lie there, too.
pub fn slot_mates(pci: &Pci, address: PciAddress) -> BTreeSet<PciAddress> {
    pci.functions.keys().copied().filter(|other| *other != address && other.same_slot(address)).collect()
}

/// The endpoints that a reset of a function's bus reaches, itself included: everything below the same bridge. Empty on a root bus, which
/// cannot be reset.
pub fn bus_reset_set(pci: &Pci, address: PciAddress) -> BTreeSet<PciAddress> {
    let place = |device: &PciDevice| device.place.clone();
    let Some(bridge) = pci.get(address).and_then(place).and_then(|place| place.bridge) else { return BTreeSet::new() };
    let below = |device: &&PciDevice| device.place.as_ref().is_some_and(|place| place.upstream.contains(&bridge));
    endpoints(pci).filter(below).map(PciDevice::address).collect()
}

/// What has one owner: the function's IOMMU group, and what its bus reset touches if it has no other reset; and so on from each of those.
/// Endpoints only, the function itself included. Empty if there is no such function, or it is a bridge.
///
/// Every function is in exactly one unit. A virtual function does not draw in its physical one, nor the other way round: VFs of one PF
/// may have different owners, and FLR resets each alone. A function whose kernel does not name its reset ([`ResetReach::Unknown`]) counts
/// as one without its own.
pub fn ownership_unit(pci: &Pci, groups: &Groups, address: PciAddress) -> BTreeSet<PciAddress> {
    component(ownership_units(pci, groups), address)
}

/// All ownership units, see [`ownership_unit`].
pub fn ownership_units(pci: &Pci, groups: &Groups) -> Vec<BTreeSet<PciAddress>> {
    let mut sets = Components::of(pci);
    sets.join_groups(pci, groups);
    for device in endpoints(pci) {
        if matches!(reset_reach(device), ResetReach::Bus | ResetReach::Unknown) {
            let reached = bus_reset_set(pci, device.address());
            // A reset that a virtual function's owner would feel is one VFIO refuses: its PF is not in the same hands.
            sets.join_all(reached.into_iter().filter(|other| pci.get(*other).is_some_and(|other| !other.is_vf())));
        }
    }
    sets.all()
}

/// What must not be changed at the same time as a function: connected through IOMMU group, slot, bus, or physical and virtual function.
/// Endpoints only, the function itself included. Empty if there is no such function, or it is a bridge.
pub fn lock_domain(pci: &Pci, groups: &Groups, address: PciAddress) -> BTreeSet<PciAddress> {
    component(lock_domains(pci, groups), address)
}

/// All lock domains, see [`lock_domain`]. Wider than need be costs a moment's wait, narrower a wedged device: so slot and bus count
/// whatever resets there are.
pub fn lock_domains(pci: &Pci, groups: &Groups) -> Vec<BTreeSet<PciAddress>> {
    let mut sets = Components::of(pci);
    sets.join_groups(pci, groups);
    for device in endpoints(pci) {
        let address = device.address();
        let mates = slot_mates(pci, address).into_iter().chain(bus_reset_set(pci, address)).chain(device.physfn);
        sets.join_all(std::iter::once(address).chain(mates));
    }
    sets.all()
}

fn endpoints(pci: &Pci) -> impl Iterator<Item = &PciDevice> {
    pci.functions.values().filter(|device| !device.function.is_bridge())
}

fn component(all: Vec<BTreeSet<PciAddress>>, address: PciAddress) -> BTreeSet<PciAddress> {
    all.into_iter().find(|set| set.contains(&address)).unwrap_or_default()
}

/// Connected components: each endpoint names another of its set, the lowest one itself.
struct Components(BTreeMap<PciAddress, PciAddress>);

impl Components {
    /// Every endpoint alone.
    fn of(pci: &Pci) -> Self {
        Self(endpoints(pci).map(|device| (device.address(), device.address())).collect())
    }

    /// The lowest of a set; `None` for what is no endpoint.
    fn lowest(&self, address: PciAddress) -> Option<PciAddress> {
        let mut at = address;
        loop {
            match self.0.get(&at)? {
                next if *next == at => return Some(at),
                next => at = *next,
            }
        }
    }

    /// Makes the sets of all these one. What is no endpoint is passed over.
    fn join_all(&mut self, addresses: impl IntoIterator<Item = PciAddress>) {
        let lowest: BTreeSet<PciAddress> = addresses.into_iter().filter_map(|address| self.lowest(address)).collect();
        if let Some(first) = lowest.first() {
            self.0.extend(lowest.iter().map(|address| (*address, *first)));
        }
    }

    /// Joins what is in one IOMMU group.
    fn join_groups(&mut self, pci: &Pci, groups: &Groups) {
        for group in groups.0.values() {
            self.join_all(group.members.iter().copied());
        }
        // A captured tree may have the links of the devices without the folders of the groups.
        let mut by_link: BTreeMap<u32, Vec<PciAddress>> = BTreeMap::new();
        for device in endpoints(pci) {
            if let Some(group) = device.function.iommu_group {
                by_link.entry(group).or_default().push(device.address());
            }
        }
        for members in by_link.into_values() {
            self.join_all(members);
        }
    }

    /// The sets, in order of their lowest address.
    fn all(self) -> Vec<BTreeSet<PciAddress>> {
        let mut sets: BTreeMap<PciAddress, BTreeSet<PciAddress>> = BTreeMap::new();
        for address in self.0.keys() {
            if let Some(lowest) = self.lowest(*address) {
                sets.entry(lowest).or_default().insert(*address);
            }
        }
        sets.into_values().collect()
    }
}
