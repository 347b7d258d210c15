//! From what is asked on the command line to a request.

use crate::base::did_you_mean;
use crate::cli::node::Want;
use crate::commands::Failure;
use crate::config::node::{Effective, Resource};
use crate::host::Root;
use crate::prep::Compiler;
use crate::prep::guard::Site;
use crate::prep::journal::{Ledger, Request};

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
    let compiler = Compiler { site: &site, root, config, ledger };
    let device = match want.device {
        Some(device) => device,
        None => compiler.choose(resource).map_err(Failure::NodeRefused)?,
    };
    compiler.request(resource, device, &want.owner).map_err(Failure::NodeRefused)
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
