//! From what is asked on the command line to a request.

use crate::base::{shown, suggest};
use crate::cli::node::Want;
use crate::commands::Failure;
use crate::config::node::{Effective, Resource};
use crate::host::Root;
use crate::prep::Compiler;
use crate::prep::guard::Site;
use crate::prep::journal::{Ledger, Request};

/// The request for a resource: what its owner has already, or the device that was named, or the first that can be handed over.
pub(super) fn request(want: &Want, config: &Effective, root: &Root, ledger: &Ledger) -> Result<Request, Failure> {
    let resource = resource(want, config, root)?;
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

fn resource<'a>(want: &Want, config: &'a Effective, root: &Root) -> Result<&'a Resource, Failure> {
    if let Some(found) = config.resource(&want.resource) {
        return Ok(found);
    }
    let node = match &want.configuration.node_name {
        Some(name) => name.clone(),
        None => root.text("proc/sys/kernel/hostname")?.unwrap_or_default().trim().to_owned(),
    };
    let names: Vec<&str> = config.resources.iter().map(|resource| resource.name.as_str()).collect();
    let instead = match suggest(&want.resource, names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None if names.is_empty() => "here there are none; --node-name says which node is meant".to_owned(),
        None => format!("here there are {}; --node-name says which node is meant", names.join(", ")),
    };
    Err(Failure::NodeRequest(format!(
        "{} has no resource {:?} for node {node:?}: {instead}",
        shown(&want.configuration.config.display().to_string()),
        want.resource,
    )))
}
