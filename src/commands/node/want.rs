//! From what is asked on the command line to a request.

use crate::base::{PciAddress, did_you_mean};
use crate::cli::node::Want;
use crate::commands::Failure;
use crate::config::node::{Effective, Resource};
use crate::host::Root;
use crate::prep::guard::{Allowance, Site, Unit};
use crate::prep::journal::{Ledger, Request};
use crate::prep::{compile, selected};

/// The request for a resource: what its owner has already, or the device that was named, or the first that can be handed over.
pub(super) fn request(want: &Want, config: &Effective, root: &Root, ledger: &Ledger) -> Result<Request, Failure> {
    let resource = resource(config, &want.resource)?;
    if let Some(holding) = ledger.holdings.get(&want.owner)
        && holding.request.purpose == want.resource
        && want.device.is_none_or(|device| holding.request.devices.first() == Some(&device))
    {
        return Ok(holding.request.clone());
    }
    let site = Site::read(root)?;
    let device = match want.device {
        Some(device) => device,
        None => choose(config, resource, &site, ledger)?,
    };
    compile(&site, root, config, resource, device, &want.owner)
        .map_err(|reasons| Failure::NodeRequest(reasons.join("; ")))
}

fn resource<'a>(config: &'a Effective, name: &str) -> Result<&'a Resource, Failure> {
    config.resource(name).ok_or_else(|| {
        let names = config.resources.iter().map(|resource| resource.name.as_str());
        Failure::NodeRequest(format!(
            "the configuration has no resource {name:?} for this node{}",
            did_you_mean(name, names)
        ))
    })
}

/// The first device of a resource that nobody has and nothing keeps here.
fn choose(config: &Effective, resource: &Resource, site: &Site, ledger: &Ledger) -> Result<PciAddress, Failure> {
    let devices = selected(site, resource);
    if devices.is_empty() {
        return Err(Failure::NodeRequest(format!("no device of this node is what {} selects", resource.name.as_str())));
    }
    let mut reasons = Vec::new();
    for device in &devices {
        let taken = ledger.holdings.iter().find(|(_, holding)| holding.request.devices.contains(device));
        if let Some((owner, _)) = taken {
            reasons.push(format!("{device} belongs to {owner}"));
            continue;
        }
        let unit = Unit::of(site, *device, Allowance { resource: Some(resource), config });
        match unit.refusals.first() {
            None => return Ok(*device),
            Some(reason) => reasons.push(reason.clone()),
        }
    }
    Err(Failure::NodeRefused(reasons))
}
