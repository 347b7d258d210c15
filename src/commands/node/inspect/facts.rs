//! Everything that is read.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::{PciAddress, shown};
use crate::cli::node::Inspect;
use crate::commands::Failure;
use crate::commands::node::session;
use crate::config::node::Effective;
use crate::host::{DeviceNode, Holder, Machine, Owner, Root, device_nodes, holders};
use crate::prep::journal::{Journal, Ledger};

use super::overrides::{self, Override};

/// What a report is made of.
#[derive(Debug)]
pub(super) struct Facts {
    /// The machine.
    pub(super) machine: Machine,
    /// Reserved functions, and those of which it could not be told.
    pub(super) overrides: BTreeMap<PciAddress, Override>,
    /// Who has files of a function open that is with VFIO, a line each.
    pub(super) holders: BTreeMap<PciAddress, Vec<String>>,
    /// What is changed on the node now.
    pub(super) ledger: Ledger,
    /// What an admin allows; `None` without a configuration.
    pub(super) config: Option<Effective>,
    /// What could not be read, a line each.
    pub(super) troubles: Vec<String>,
}

impl Facts {
    /// Reads them all.
    pub(super) fn read(args: &Inspect, root: &Root) -> Result<Self, Failure> {
        let config = match &args.config {
            Some(file) => Some(session::effective(file, args.node_name.as_deref(), root)?),
            None => None,
        };
        let machine = Machine::read(root)?;
        let mut troubles = Vec::new();
        let ledger = ledger(args, &machine).unwrap_or_else(|why| {
            troubles.push(why);
            Ledger::default()
        });
        let holders = vfio_holders(root, &machine).unwrap_or_else(|why| {
            troubles.push(why);
            BTreeMap::new()
        });
        let overrides = overrides::read(&session::workshop(root), &machine, &ledger);
        Ok(Self { machine, overrides, holders, ledger, config, troubles })
    }
}

/// What is changed on the node now: of the usual place only if it is this node that is looked at.
fn ledger(args: &Inspect, machine: &Machine) -> Result<Ledger, String> {
    let folder = match &args.state_dir {
        Some(folder) => folder.as_path(),
        None if args.host_root == Path::new("/") => Path::new("/var/lib/virt-tailor"),
        None => return Ok(Ledger::default()),
    };
    let boot = machine.kernel.boot_id.as_deref().unwrap_or_default();
    match Journal::peek(folder, boot) {
        Ok(ledger) => Ok(ledger.unwrap_or_default()),
        Err(error) => {
            Err(format!("whom prepared devices belong to is not known: {}", shown(&Failure::from(error).to_string())))
        }
    }
}

/// Who has the functions open that are with VFIO.
fn vfio_holders(root: &Root, machine: &Machine) -> Result<BTreeMap<PciAddress, Vec<String>>, String> {
    let said = |error| format!("who has devices open is not known: {}", shown(&Failure::Host(error).to_string()));
    let mut nodes: BTreeMap<PciAddress, Vec<DeviceNode>> = BTreeMap::new();
    for device in machine.pci.functions.values().filter(|device| device.function.vfio) {
        nodes.insert(device.address(), device_nodes(root, device.address()).map_err(said)?);
    }
    let all: Vec<DeviceNode> = nodes.values().flatten().cloned().collect();
    let found = holders(root, &all).map_err(said)?.found;
    let of = |(address, nodes): (PciAddress, Vec<DeviceNode>)| {
        let mut lines: Vec<String> = found.iter().filter(|holder| nodes.contains(&holder.node)).map(process).collect();
        lines.dedup();
        (!lines.is_empty()).then_some((address, lines))
    };
    Ok(nodes.into_iter().filter_map(of).collect())
}

/// A holder as a person knows it.
fn process(holder: &Holder) -> String {
    let process = &holder.process;
    let whose = match &process.owner {
        Owner::Unit { unit, .. } => format!(", {unit}"),
        Owner::Pod { uid, .. } => format!(", pod {uid}"),
        Owner::Container { id } => format!(", container {}", id.get(..12).unwrap_or(id)),
        Owner::Nobody => String::new(),
    };
    format!("process {} ({}{whose})", process.pid, process.comm)
}
