//! What the resources of a NodeConfig select on this node.

use serde::Serialize;

use crate::base::PciAddress;
use crate::config::node::{Effective, Kind, Mediated, Resource, Target};
use crate::host::Machine;
use crate::prep::guard::{Allowance, Site, Unit};

use super::facts::Facts;

/// A resource on this node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Selected {
    /// Its name.
    pub(super) name: String,
    /// What a VM gets of it.
    pub(super) kind: Kind,
    /// The devices it selects; of virtual functions and mediated devices those that make them.
    pub(super) devices: Vec<PciAddress>,
    /// How many VMs could have one now.
    pub(super) offerable: u64,
    /// Why a selected device has nothing to offer, a line each.
    pub(super) refusals: Vec<String>,
}

/// A device that several resources select.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Overlap {
    /// Which.
    pub(super) device: PciAddress,
    /// By name.
    pub(super) resources: Vec<String>,
}

/// The resources, in the order of the document; `selected` goes with them.
pub(super) fn resources(config: &Effective, site: &Site, facts: &Facts, selected: &[Vec<PciAddress>]) -> Vec<Selected> {
    let mut found = Vec::new();
    for (resource, devices) in config.resources.iter().zip(selected) {
        let mut one = Selected {
            name: resource.name.as_str().to_owned(),
            kind: resource.target.kind(),
            devices: devices.clone(),
            offerable: 0,
            refusals: Vec::new(),
        };
        for address in devices {
            match offers(config, resource, site, facts, *address) {
                Ok(count) => one.offerable += count,
                Err(why) => one.refusals.push(why),
            }
        }
        found.push(one);
    }
    found
}

/// How many a device has to offer under a resource, or why it has none.
fn offers(
    config: &Effective,
    resource: &Resource,
    site: &Site,
    facts: &Facts,
    address: PciAddress,
) -> Result<u64, String> {
    let machine = &facts.machine;
    match &resource.target {
        Target::Pci { .. } => {
            let unit = Unit::of(site, address, Allowance { resource: Some(resource), config });
            let holding = facts.ledger.holdings.iter().find(|(_, one)| one.request.devices.contains(&address));
            let holder = facts.holders.get(&address).and_then(|holders| holders.first());
            match (unit.refusals.first(), holding, holder) {
                (Some(why), _, _) => Err(why.clone()),
                (None, Some((owner, _)), _) => Err(format!("{address} belongs to {owner}")),
                (None, None, Some(who)) => Err(format!("{address} is open in {who}")),
                (None, None, None) => Ok(1),
            }
        }
        Target::Sriov { functions, .. } => {
            let sriov = machine.pci.get(address).and_then(|device| device.sriov.as_ref());
            match sriov.map(|sriov| sriov.total_vfs) {
                None => Err(format!("{address} has no SR-IOV")),
                Some(most) if most < u32::from(functions.vfs) => {
                    Err(format!("{address} can have {most} virtual functions, and {} are wanted", functions.vfs))
                }
                Some(_) => Ok(functions.vfs.into()),
            }
        }
        Target::Mdev(wanted) => mdevs(machine, wanted, address),
        Target::Vgpu(wanted) => vgpus(machine, wanted, address),
    }
}

/// Mediated devices of a type, by id or name.
fn mdevs(machine: &Machine, wanted: &Mediated, address: PciAddress) -> Result<u64, String> {
    let text = wanted.type_name.to_string();
    let types = machine.virtual_devices.get(&address).map(|made| &made.mdev_types);
    let kind = types.and_then(|types| {
        types.iter().find(|(id, kind)| **id == text || kind.name.as_ref() == Some(&text)).map(|(_, kind)| kind)
    });
    let Some(kind) = kind else { return Err(format!("{address} makes no mediated devices of type {text}")) };
    match kind.available {
        Some(0) => Err(format!("{address} can make no more mediated devices of type {text}")),
        available => Ok(available.unwrap_or(0).min(wanted.count.map_or(u64::MAX, u64::from))),
    }
}

/// vGPUs of a type: one for each virtual function on which it can be made.
fn vgpus(machine: &Machine, wanted: &Mediated, address: PciAddress) -> Result<u64, String> {
    let text = wanted.type_name.to_string();
    let vfs = machine.pci.get(address).and_then(|device| device.sriov.as_ref()).map(|sriov| &sriov.vfs);
    let functions = std::iter::once(address).chain(vfs.into_iter().flat_map(|vfs| vfs.values().copied()));
    let makes = |function: &PciAddress| {
        let nvidia = machine.virtual_devices.get(function).and_then(|made| made.nvidia.as_ref());
        nvidia.is_some_and(|made| made.creatable.iter().any(|(id, name)| id.to_string() == text || *name == text))
    };
    match functions.filter(makes).count() as u64 {
        0 => Err(format!("{address} can make no vGPU of type {text} now")),
        count => Ok(count.min(wanted.count.map_or(u64::MAX, u64::from))),
    }
}

/// Devices that several resources select, by address.
pub(super) fn overlaps(config: &Effective, selected: &[Vec<PciAddress>]) -> Vec<Overlap> {
    let mut devices: Vec<PciAddress> = selected.iter().flatten().copied().collect();
    devices.sort();
    devices.dedup();
    let mut found = Vec::new();
    for device in devices {
        let by = config.resources.iter().zip(selected).filter(|(_, devices)| devices.contains(&device));
        let resources: Vec<String> = by.map(|(resource, _)| resource.name.as_str().to_owned()).collect();
        if resources.len() > 1 {
            found.push(Overlap { device, resources });
        }
    }
    found
}
