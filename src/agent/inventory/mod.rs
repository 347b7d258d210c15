//! What this node has to give: one id for each thing that has one owner.

mod claims;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::PciAddress;
use crate::config::node::{Effective, Resource};
use crate::host::{Mdevs, Root, lock_domains, ownership_units};
use crate::prep::guard::{Allowance, Site, Unit as Guarded};
use crate::prep::journal::Ledger;
use crate::prep::{Compiler, Offered};

use super::id::DeviceId;
use claims::Claims;

/// Why a device that another resource has now is not given yet.
const MOVED: &str = "somebody has it under its former resource";

/// Everything that can be given away, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// What there is.
    pub units: BTreeMap<DeviceId, Unit>,
    /// What is wrong with the configuration on this very node: a device that two resources select, a line each.
    pub problems: Vec<String>,
    /// Resources of which there is nothing now, and why: a device does not make what is asked of it.
    pub missing: Vec<String>,
}

/// One thing that can be given away: an ownership unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// The resource it belongs to.
    pub resource: String,
    /// What it is.
    pub offered: Offered,
    /// What goes with its primary function.
    pub companions: BTreeSet<PciAddress>,
    /// What must not be touched while it is: the keys of its lock domain.
    pub domain: Arc<BTreeSet<String>>,
    /// Its IOMMU group.
    pub group: Option<u32>,
    /// Its NUMA node.
    pub numa: Option<u16>,
    /// The root bus it is below, `pci0000:3a`.
    pub root_complex: Option<String>,
    /// Why it cannot be given away now, as far as reading alone can tell.
    pub refusal: Option<String>,
    /// Whether it is listed only because somebody has it: it is gone, or is no longer in the configuration.
    pub leaving: bool,
}

impl Unit {
    /// What the VM's domain is told: an address, or the UUID of a mediated device.
    pub fn value(&self) -> String {
        match self.offered {
            Offered::Mdev { uuid, .. } => uuid.to_string(),
            other => other.function().to_string(),
        }
    }

    /// Whether it is a mediated device.
    pub fn is_mdev(&self) -> bool {
        matches!(self.offered, Offered::Mdev { .. })
    }

    /// The functions whose VFIO files its user has open.
    pub fn functions(&self) -> Vec<PciAddress> {
        std::iter::once(self.offered.function()).chain(self.companions.iter().copied()).collect()
    }
}

impl Inventory {
    /// What the configuration and the node come to.
    ///
    /// # Errors
    ///
    /// One line: a file of the node cannot be read.
    pub fn of(site: &Site, root: &Root, config: &Effective, ledger: &Ledger) -> Result<Self, String> {
        let compiler = Compiler { site, root, config, ledger };
        let mdevs = Mdevs::read(root).map_err(|error| error.to_string())?;
        let sets = Sets::of(site);
        let (mut claims, mut units, mut missing) = (Claims::default(), BTreeMap::new(), Vec::new());
        for resource in &config.resources {
            let offered = match compiler.offered(resource) {
                Ok(offered) => offered,
                // One device that does not make what it should keeps no other from being offered.
                Err(why) => {
                    missing.push(format!("{}: {why}", resource.name.as_str()));
                    continue;
                }
            };
            missing.extend(offered.missing.iter().map(|why| format!("{}: {why}", resource.name.as_str())));
            for (offered, _) in offered.all {
                let unit = unit(site, &sets, &mdevs, config, resource, offered);
                if claims.take(&unit, &sets, site) {
                    units.insert(DeviceId::of(&site.pci, &offered), unit);
                }
            }
        }
        Ok(Self { units, problems: claims.problems(), missing })
    }

    /// Keeps what is still owned although it is no longer offered, or of another resource now: it stays listed as it was until it is free.
    pub fn keep(&mut self, earlier: &Self, owned: &BTreeSet<DeviceId>) {
        for id in owned {
            let Some(unit) = earlier.units.get(id) else { continue };
            let why = match self.units.get(id) {
                None => "it is gone, or is no longer in the configuration",
                Some(now) if now.resource != unit.resource => MOVED,
                Some(_) => continue,
            };
            self.units.insert(id.clone(), Unit { refusal: Some(why.to_owned()), leaving: true, ..unit.clone() });
        }
    }

    /// Keeps what was promised under another resource's name under that one: who has it is asked for by it.
    pub(super) fn keep_promised(&mut self, id: &DeviceId, resource: &str) {
        if let Some(unit) = self.units.get_mut(id).filter(|unit| unit.resource != resource) {
            unit.resource = resource.to_owned();
            (unit.leaving, unit.refusal) = (true, Some(MOVED.to_owned()));
        }
    }

    /// The ids of a resource.
    pub fn of_resource<'a>(&'a self, resource: &'a str) -> impl Iterator<Item = (&'a DeviceId, &'a Unit)> {
        self.units.iter().filter(move |(_, unit)| unit.resource == resource)
    }
}

/// Who belongs together on this node, worked out once for all.
#[derive(Debug)]
struct Sets {
    /// By function: what has one owner.
    owned: BTreeMap<PciAddress, BTreeSet<PciAddress>>,
    /// By function: what must not be changed at the same time.
    locked: BTreeMap<PciAddress, Arc<BTreeSet<String>>>,
}

impl Sets {
    fn of(site: &Site) -> Self {
        let (mut owned, mut locked) = (BTreeMap::new(), BTreeMap::new());
        for unit in ownership_units(&site.pci, &site.groups) {
            owned.extend(unit.iter().map(|function| (*function, unit.clone())));
        }
        for domain in lock_domains(&site.pci, &site.groups) {
            let keys = Arc::new(domain.iter().map(|function| format!("function {function}")).collect());
            locked.extend(domain.iter().map(|function| (*function, Arc::clone(&keys))));
        }
        Self { owned, locked }
    }
}

/// One unit as it is now.
fn unit(site: &Site, sets: &Sets, mdevs: &Mdevs, config: &Effective, resource: &Resource, offered: Offered) -> Unit {
    let function = offered.function();
    let device = site.pci.get(function);
    let allowance = Allowance { resource: Some(resource), config };
    let (companions, refusal) = match offered {
        // The parent stays with the host.
        Offered::Mdev { .. } | Offered::Vgpu { .. } => (BTreeSet::new(), None),
        Offered::Vf { .. } if device.is_none() => (BTreeSet::new(), Some(format!("{function} is not made yet"))),
        _ => {
            let owned = sets.owned.get(&function).cloned().unwrap_or_default();
            let guarded = Guarded::within(site, function, owned, allowance);
            (guarded.companions, guarded.refusals.into_iter().next())
        }
    };
    let mdev = match offered {
        Offered::Mdev { uuid, .. } => Some(mdevs.0.get(&uuid.to_string())),
        _ => None,
    };
    let group = match mdev {
        Some(made) => made.and_then(|made| made.iommu_group),
        None => {
            site.groups.of(function).map(|group| group.id).or(device.and_then(|device| device.function.iommu_group))
        }
    };
    let refusal = refusal.or_else(|| match mdev {
        Some(None) => Some("it is not made yet".to_owned()),
        _ if group.is_none() => Some(format!("{function} is in no IOMMU group")),
        _ => None,
    });
    Unit {
        resource: resource.name.as_str().to_owned(),
        offered,
        companions,
        domain: sets.locked.get(&function).cloned().unwrap_or_default(),
        group,
        numa: device.and_then(|device| device.function.numa_node).and_then(|node| u16::try_from(node).ok()),
        root_complex: device.and_then(|device| device.place.as_ref()).map(|place| place.root_complex.clone()),
        refusal,
        leaving: false,
    }
}

#[cfg(test)]
mod tests;
