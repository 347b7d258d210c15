//! From a resource and a device to the steps that give it away.
//!
//! The order is that in which a node lets go: what the admin prepares, in the order written; power and reset; the module of the driver;
//! then the binding itself, a disk looked at right before.

mod device;
mod driver;
mod mediated;
mod offered;
mod prepare;
mod profile;
mod virtual_function;

pub use offered::{Offered, WhatIsOffered};
pub use profile::{PodPlace, ProfilePlan};

use super::guard::{Allowance, Site, Unit};
use super::journal::{Ledger, Request};
use super::owner::Owner;
use super::select::selected;
use super::step::Step;
use crate::base::PciAddress;
use crate::config::node::{Effective, Resource, Target};
use crate::host::{Root, lock_domain};

/// What a request is made from.
#[derive(Debug, Clone, Copy)]
pub struct Compiler<'a> {
    /// The node as it is.
    pub site: &'a Site,
    /// Its files.
    pub root: &'a Root,
    /// What its admin allows.
    pub config: &'a Effective,
    /// What is held already.
    pub ledger: &'a Ledger,
}

impl<'a> Compiler<'a> {
    /// The devices of a resource that can be asked for, whether or not they can be had: functions; of a resource of virtual functions,
    /// these, even if they are not made yet; of mediated devices, their parents.
    ///
    /// # Errors
    ///
    /// One line: a file of the node cannot be read.
    pub fn candidates(&self, resource: &Resource) -> Result<Vec<PciAddress>, String> {
        let selected = selected(self.site, resource);
        match &resource.target {
            Target::Pci { .. } | Target::Mdev(_) => Ok(selected),
            Target::Sriov { functions, .. } => {
                let mut all = Vec::new();
                for pf in selected {
                    all.extend(virtual_function::of(self, pf, u32::from(functions.vfs))?.into_iter().map(|(_, vf)| vf));
                }
                Ok(all)
            }
            Target::Vgpu(_) => Ok(selected.into_iter().flat_map(|pf| mediated::vgpus(self.site, pf)).collect()),
        }
    }

    /// The first device of a resource that nobody has and nothing keeps here.
    ///
    /// # Errors
    ///
    /// Why there is none, a line each.
    pub fn choose(&self, resource: &Resource) -> Result<PciAddress, Vec<String>> {
        let candidates = self.candidates(resource).map_err(|why| vec![why])?;
        if candidates.is_empty() {
            return Err(vec![format!(
                "no device of this node is what {} selects: virt-tailor node inspect lists what there is",
                resource.name.as_str()
            )]);
        }
        let mut reasons = Vec::new();
        for device in candidates {
            match self.refusal(resource, device) {
                None => return Ok(device),
                Some(reason) => reasons.push(reason),
            }
        }
        Err(reasons)
    }

    /// Why a device cannot be had now, as far as reading alone can tell.
    pub fn refusal(&self, resource: &Resource, device: PciAddress) -> Option<String> {
        if let Target::Mdev(mediated) = &resource.target {
            return mediated::full(self, resource, device, mediated);
        }
        let text = device.to_string();
        let owner = self.ledger.holdings.iter().find(|(_, holding)| holding.request.unit.contains(&text));
        if let Some((owner, _)) = owner {
            return Some(format!("{device} belongs to {owner}"));
        }
        // One that is not made yet.
        self.site.pci.get(device)?;
        match &resource.target {
            Target::Vgpu(_) => None,
            _ => Unit::of(self.site, device, Allowance { resource: Some(resource), config: self.config })
                .refusals
                .into_iter()
                .next(),
        }
    }

    /// The request for one device of a resource. What keeps the device here is asked for later, by the guards.
    ///
    /// # Errors
    ///
    /// Why there is none, a line each.
    pub fn request(&self, resource: &Resource, device: PciAddress, owner: &Owner) -> Result<Request, Vec<String>> {
        let mut request = Request {
            owner: owner.clone(),
            purpose: resource.name.as_str().to_owned(),
            devices: Vec::new(),
            unit: Vec::new(),
            domain: Vec::new(),
            steps: Vec::new(),
        };
        match &resource.target {
            Target::Pci { driver, .. } => device::add(self, resource, driver, device, &mut request),
            Target::Sriov { driver, functions } => {
                virtual_function::add(self, resource, driver, functions, device, &mut request)
            }
            Target::Mdev(mediated) => mediated::add_mdev(self, resource, mediated, device, &mut request),
            Target::Vgpu(mediated) => mediated::add_vgpu(self, resource, mediated, device, &mut request),
        }
        .map_err(|why| vec![why])?;
        once_each(&mut request.steps);
        self.within_limits(&request).map_err(|why| vec![why])?;
        Ok(request)
    }

    /// Adds the keys of everything that must not be changed at the same time as a function.
    fn lock(&self, function: PciAddress, request: &mut Request) {
        let together = lock_domain(&self.site.pci, &self.site.groups, function);
        let keys = together.into_iter().chain([function]).map(|function| format!("function {function}"));
        request.domain.extend(keys);
        request.domain.sort();
        request.domain.dedup();
    }

    /// Huge pages are bounded over all owners.
    fn within_limits(&self, request: &Request) -> Result<(), String> {
        let Some(most) = self.config.limits.hugepages.max else { return Ok(()) };
        let own: u64 = request.steps.iter().map(Step::huge_bytes).sum();
        let others = self.ledger.records.values().filter(|record| !record.owners.contains(&request.owner));
        let held: u64 = others.map(|record| record.step.huge_bytes()).sum();
        if own > 0 && held.saturating_add(own) > most.as_bytes() {
            let (own, held) = (crate::base::ByteSize::bytes(own), crate::base::ByteSize::bytes(held));
            return Err(format!("limits.hugepages.max is {most}: others hold {held} of it, and {own} are asked for"));
        }
        Ok(())
    }
}

/// Of steps with one effect the first stays: an admin may ask for what we do anyway.
fn once_each(steps: &mut Vec<Step>) {
    let mut seen = std::collections::BTreeSet::new();
    steps.retain(|step| seen.insert(step.effect().key));
}
