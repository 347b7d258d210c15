//! What a resource has ready before any VM asks, and what is left to do when one does.
//!
//! A device plugin names a device's IOMMU group before the device is bound, so virtual functions and mediated devices have to be there
//! when they are offered. Only what is about one VM comes late: what the admin prepares, the attributes on the wire, the binding.

use uuid::Uuid;

use super::{Compiler, mediated, prepare, virtual_function};
use crate::base::PciAddress;
use crate::config::node::{Mediated, Numa, PrepareStep, Resource, Target};
use crate::host::{Mdevs, Virtual};
use crate::prep::journal::Request;
use crate::prep::owner::Owner;
use crate::prep::select::selected;
use crate::prep::step::Step;
use crate::prep::steps::{AddHugepages, MakeVfs, uuid_for};

/// No parent makes more (NodeConfig: `count` is at most this).
const MOST: u16 = 256;

/// One thing a resource gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offered {
    /// A function itself.
    Function(PciAddress),
    /// A virtual function.
    Vf {
        /// Whose.
        pf: PciAddress,
        /// Which of its.
        index: u32,
        /// Where it is, or will be.
        address: PciAddress,
    },
    /// A mediated device.
    Mdev {
        /// What makes it.
        parent: PciAddress,
        /// Which of those we make.
        index: u16,
        /// Its UUID.
        uuid: Uuid,
    },
    /// A virtual GPU of a vendor's own driver.
    Vgpu {
        /// The function that becomes one.
        vf: PciAddress,
    },
}

impl Offered {
    /// The function it is, or is made by.
    pub fn function(&self) -> PciAddress {
        match *self {
            Self::Function(address) | Self::Vf { address, .. } | Self::Vgpu { vf: address } => address,
            Self::Mdev { parent, .. } => parent,
        }
    }
}

/// What a resource gives, with the requests that make it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WhatIsOffered {
    /// Each thing.
    pub all: Vec<(Offered, Option<Request>)>,
    /// Why some device gives nothing although others do, a line each.
    pub missing: Vec<String>,
}

impl Compiler<'_> {
    /// Everything a resource gives, and the requests that make it; functions are there without one, virtual functions of one physical
    /// one share it. The requests are of owners of their own, `resource/<name>/…`: they last as long as the resource is offered.
    ///
    /// # Errors
    ///
    /// One line: a file of the node cannot be read, or no device makes what is asked.
    pub fn offered(&self, resource: &Resource) -> Result<WhatIsOffered, String> {
        let (mut all, mut missing) = (Vec::new(), Vec::new());
        for device in selected(self.site, resource) {
            match &resource.target {
                Target::Pci { .. } => all.push((Offered::Function(device), None)),
                Target::Sriov { functions, .. } => {
                    let count = u32::from(functions.vfs);
                    let owner = maker(resource, &device.to_string())?;
                    let step = Step::MakeVfs(MakeVfs { pf: device, count });
                    let request = self.made(resource, device, owner, vec![step]);
                    // One physical function that makes none keeps no other from being offered.
                    let functions = virtual_function::of(self, device, count).unwrap_or_else(|why| {
                        missing.push(why);
                        Vec::new()
                    });
                    for (index, address) in functions {
                        all.push((Offered::Vf { pf: device, index, address }, Some(request.clone())));
                    }
                }
                Target::Mdev(wanted) => all.extend(self.mdevs(resource, wanted, device)?),
                Target::Vgpu(wanted) => all.extend(self.vgpus(resource, wanted, device)?),
            }
        }
        if all.is_empty() && !missing.is_empty() {
            return Err(missing.join("; "));
        }
        Ok(WhatIsOffered { all, missing })
    }

    /// Huge pages that a resource's `prepare` reserves: once when it is offered, for kubelet counts them when it starts and a pod is placed
    /// before anybody is asked here. Those of a device's own NUMA node are reserved on each node that has such a device.
    ///
    /// # Errors
    ///
    /// One line: it cannot be said for whom.
    pub fn pool(&self, resource: &Resource) -> Result<Option<Request>, String> {
        let mut steps = Vec::new();
        let mut nodes: Vec<Option<u32>> = selected(self.site, resource)
            .iter()
            .filter_map(|device| self.site.pci.get(*device))
            .map(|device| device.function.numa_node)
            .collect();
        nodes.sort_unstable();
        nodes.dedup();
        for wanted in &resource.prepare {
            let PrepareStep::Hugepages(pages) = wanted else { continue };
            let on = match pages.numa {
                None => vec![None],
                Some(Numa::Node(node)) => vec![Some(u32::from(node))],
                Some(Numa::Device) => nodes.clone(),
            };
            let add = |numa| AddHugepages { kib: pages.size.as_kib(), count: u64::from(pages.count), numa };
            steps.extend(on.into_iter().map(add).map(Step::AddHugepages));
        }
        if steps.is_empty() {
            return Ok(None);
        }
        let request = Request {
            owner: maker(resource, "hugepages")?,
            purpose: resource.name.as_str().to_owned(),
            devices: Vec::new(),
            unit: Vec::new(),
            domain: Vec::new(),
            steps,
        };
        self.within_limits(&request)?;
        Ok(Some(request))
    }

    /// What is left to do when a VM gets it.
    ///
    /// # Errors
    ///
    /// As for [`Compiler::request`].
    pub fn late(&self, resource: &Resource, offered: &Offered, owner: &Owner) -> Result<Request, Vec<String>> {
        let mut request = match *offered {
            Offered::Function(address) | Offered::Vf { address, .. } => self.request(resource, address, owner)?,
            Offered::Mdev { parent, uuid, .. } => {
                let steps = prepare::steps(self, resource, parent).map_err(|why| vec![why])?;
                Request { unit: vec![format!("mdev {uuid}")], ..self.made(resource, parent, owner.clone(), steps) }
            }
            Offered::Vgpu { vf } => {
                let steps = prepare::steps(self, resource, vf).map_err(|why| vec![why])?;
                let unit = vec![vf.to_string()];
                Request { devices: vec![vf], unit, ..self.made(resource, vf, owner.clone(), steps) }
            }
        };
        // They are there since the resource was offered.
        request.steps.retain(|step| !matches!(step, Step::AddHugepages(_)));
        super::once_each(&mut request.steps);
        Ok(request)
    }

    /// A request that owns nothing and makes something.
    fn made(&self, resource: &Resource, device: PciAddress, owner: Owner, steps: Vec<Step>) -> Request {
        let purpose = resource.name.as_str().to_owned();
        let (devices, unit, domain) = (Vec::new(), Vec::new(), Vec::new());
        let mut request = Request { owner, purpose, devices, unit, domain, steps };
        self.lock(device, &mut request);
        request
    }

    /// Mediated devices of a parent: as many as asked, or those made already and as many more as it makes.
    fn mdevs(
        &self,
        resource: &Resource,
        wanted: &Mediated,
        parent: PciAddress,
    ) -> Result<Vec<(Offered, Option<Request>)>, String> {
        let there = Mdevs::read(self.root).map_err(|error| error.to_string())?;
        let name = wanted.type_name.as_str();
        let count = match wanted.count {
            Some(count) => count,
            None => {
                let types = Virtual::read(self.root, parent).map_err(|error| error.to_string())?.mdev_types;
                let kind = types.iter().find(|(id, kind)| *id == name || kind.name.as_deref() == Some(name));
                let more = kind.and_then(|(_, kind)| kind.available).unwrap_or_default();
                let ours = (0..MOST).filter(|index| {
                    let uuid = mdev_uuid(resource, parent, *index).map(|(_, uuid)| uuid.to_string());
                    uuid.is_ok_and(|uuid| there.0.contains_key(&uuid))
                });
                u16::try_from(more).unwrap_or(MOST).saturating_add(u16::try_from(ours.count()).unwrap_or(MOST))
            }
        };
        let (mut all, mut domain) = (Vec::new(), None);
        for index in 0..count.min(MOST) {
            let (owner, uuid) = mdev_uuid(resource, parent, index)?;
            let steps = vec![mediated::make(wanted, parent, uuid)];
            let domain = domain.get_or_insert_with(|| self.made(resource, parent, owner.clone(), Vec::new()).domain);
            let purpose = resource.name.as_str().to_owned();
            let (devices, unit, domain) = (Vec::new(), Vec::new(), domain.clone());
            let request = Request { owner, purpose, devices, unit, domain, steps };
            all.push((Offered::Mdev { parent, index, uuid }, Some(request)));
        }
        Ok(all)
    }

    /// Virtual GPUs of a GPU. Which types can still be made changes with each that is made, so what cannot be is for the engine to say.
    fn vgpus(
        &self,
        resource: &Resource,
        wanted: &Mediated,
        gpu: PciAddress,
    ) -> Result<Vec<(Offered, Option<Request>)>, String> {
        let most = usize::from(wanted.count.unwrap_or(MOST));
        let mut all = Vec::new();
        for vf in mediated::vgpus(self.site, gpu).into_iter().take(most) {
            let owner = maker(resource, &vf.to_string())?;
            // One that is made already is kept as it is: its type cannot be made a second time, and so has no number any more.
            let request = match self.ledger.holdings.get(&owner) {
                Some(holding) => Some(holding.request.clone()),
                None => mediated::set_vgpu(self, vf, wanted.type_name.as_str())
                    .ok()
                    .map(|step| Request { devices: vec![vf], ..self.made(resource, vf, owner, vec![step]) }),
            };
            all.push((Offered::Vgpu { vf }, request));
        }
        Ok(all)
    }
}

/// Who owns what a resource makes, and the UUID that follows from it: the same after every boot.
fn mdev_uuid(resource: &Resource, parent: PciAddress, index: u16) -> Result<(Owner, Uuid), String> {
    let owner = maker(resource, &format!("{parent}/{index}"))?;
    let uuid = uuid_for(&owner, resource.name.as_str());
    Ok((owner, uuid))
}

/// The owner of what a resource makes. Names of resources may be longer than an owner's.
fn maker(resource: &Resource, what: &str) -> Result<Owner, String> {
    let name = resource.name.as_str();
    let name = match name.len() {
        ..=80 => name.to_owned(),
        _ => format!("{}-{:08x}", name.get(..70).unwrap_or_default(), crc32fast::hash(name.as_bytes())),
    };
    format!("resource/{name}/{what}").parse().map_err(|error: crate::prep::OwnerError| error.to_string())
}
