//! The guard of a real node: reads it each time it is asked.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::site::Site;
use super::{Allowance, Unit, nic};
use crate::base::PciAddress;
use crate::config::node::Effective;
use crate::host::{DeviceNode, Holder, Owner, Root, device_nodes, holders, mdev_nodes};
use crate::prep::engine::Guard;
use crate::prep::journal::Request;
use crate::prep::step::Step;
use crate::prep::trouble::Trouble;

/// How long the clients of a service that was just stopped may take to end before they are named: a display server's sessions go after
/// it, not with it.
const LINGER: Duration = Duration::from_secs(5);
/// How often is looked meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The guard of a node.
#[derive(Debug)]
pub struct LiveGuard {
    root: Root,
    config: RwLock<Arc<Effective>>,
}

impl LiveGuard {
    /// The guard of the node at this root, with what its admin allows.
    pub fn new(root: Root, config: Effective) -> Self {
        Self { root, config: RwLock::new(Arc::new(config)) }
    }

    /// What its admin allows from now on.
    pub fn allow(&self, config: Arc<Effective>) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// What its admin allows now.
    pub fn config(&self) -> Arc<Effective> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The node as it is now.
    fn site(&self) -> Result<Site, Trouble> {
        // The host's own PID namespace (kernel: include/linux/proc_ns.h, PROC_PID_INIT_INO). In another, neither who holds a device nor what
        // is mounted elsewhere can be seen, and that nothing is seen would look like permission.
        let namespace = self.root.link("proc/1/ns/pid")?;
        if namespace.is_some_and(|name| name.as_os_str() != "pid:[4026531836]") {
            return Err(Trouble::new(format!(
                "{} shows the processes of a container, not the host's: run this with the host's PID namespace (hostPID: true)",
                self.root.path("proc").display()
            )));
        }
        if !self.root.has("proc/1/mountinfo") {
            return Err(Trouble::new(format!(
                "what is mounted cannot be read: {} is not there",
                self.root.path("proc/1/mountinfo").display()
            )));
        }
        Ok(Site::read(&self.root)?)
    }

    /// Who has files of these functions open, a line each.
    ///
    /// # Errors
    ///
    /// [`Trouble`]: the list of processes could not be read, or a process's files not be seen.
    pub fn held(&self, functions: &[PciAddress]) -> Result<Vec<String>, Trouble> {
        self.holders(functions, |_| true)
    }

    /// Who uses these functions through VFIO, a line each: whoever has the group or the VFIO device open, or that of a mediated device
    /// below one. What a function's own driver made does not count, and who merely plays sound is no VM.
    ///
    /// # Errors
    ///
    /// As for [`LiveGuard::held`].
    pub fn users(&self, functions: &[PciAddress]) -> Result<Vec<String>, Trouble> {
        self.holders(functions, |node| node.name.starts_with("vfio/"))
    }

    /// Who uses through VFIO what a request gave away: functions, and the mediated device it made.
    ///
    /// # Errors
    ///
    /// As for [`LiveGuard::held`].
    pub fn users_of(&self, request: &Request) -> Result<Vec<String>, Trouble> {
        let mut lines = self.users(&request.devices)?;
        // One that a resource makes is made in a request of its own, and owned by the VM's.
        let owned = request.unit.iter().filter_map(|key| key.strip_prefix("mdev ")).map(str::to_owned);
        let made = request.steps.iter().filter_map(|step| match step {
            Step::MakeMdev(made) => Some(made.uuid.to_string()),
            _ => None,
        });
        let uuids: BTreeSet<String> = owned.chain(made).collect();
        for uuid in uuids {
            lines.extend(self.holders_of(&uuid, &mdev_nodes(&self.root, &uuid)?)?);
        }
        Ok(lines)
    }

    fn holders(&self, functions: &[PciAddress], counts: fn(&DeviceNode) -> bool) -> Result<Vec<String>, Trouble> {
        let mut lines = Vec::new();
        for function in functions {
            let nodes: Vec<DeviceNode> = device_nodes(&self.root, *function)?.into_iter().filter(counts).collect();
            lines.extend(self.holders_of(&function.to_string(), &nodes)?);
        }
        lines.sort();
        lines.dedup();
        Ok(lines)
    }

    /// Who has these files open, a line each; we ourselves do not count.
    fn holders_of(&self, whose: &str, nodes: &[DeviceNode]) -> Result<Vec<String>, Trouble> {
        let own = std::process::id();
        let found = holders(&self.root, nodes)?;
        let others = found.found.iter().filter(|holder| holder.process.pid != own);
        let unseen = found.unseen.iter().filter(|process| process.pid != own).map(|process| {
            format!("whether process {} ({}) has {whose} open cannot be seen from here", process.pid, process.comm)
        });
        Ok(others.map(|holder| said(whose, holder)).chain(unseen).collect())
    }

    /// What stands in the way of a unit, and whether it is still the one that was asked for.
    fn of_unit(&self, request: &Request, site: &Site, primary: PciAddress) -> Vec<String> {
        let config = self.config();
        let resource = config.resource(&request.purpose);
        let unit = Unit::of(site, primary, Allowance { resource, config: &config });
        let mut refusals = unit.refusals.clone();
        let physical = site.pci.get(primary).and_then(|device| device.physfn);
        if let Some(pf) = physical.filter(|pf| self.is_managed(*pf)) {
            refusals.push(format!(
                "sriov-network-operator manages {pf}: {primary}, a virtual function of it, is not for this program to hand over"
            ));
        }
        if resource.is_none() {
            refusals.push(format!("the configuration has no resource {:?} for this node", request.purpose));
        }
        let moved: Vec<PciAddress> = unit.functions().collect();
        let planned = request.devices.contains(&unit.primary);
        if refusals.is_empty() && planned && moved != request.devices {
            refusals.push(format!("what goes with {} has changed since it was planned: ask again", unit.primary));
        }
        refusals
    }

    /// What stands in the way of virtual functions that are to be made: while they are, the physical one's network is down.
    fn of_makers(&self, request: &Request, site: &Site) -> Vec<String> {
        let config = self.config();
        let allowance = Allowance { resource: config.resource(&request.purpose), config: &config };
        let mut refusals = Vec::new();
        for step in &request.steps {
            let Step::MakeVfs(made) = step else { continue };
            // That its functions are there already says nothing of whose they are: the operator makes them, and makes them anew.
            if self.is_managed(made.pf) {
                let pf = made.pf;
                refusals.push(format!(
                    "sriov-network-operator manages {pf}: its virtual functions are not for this program to make"
                ));
            }
            let sriov = site.pci.get(made.pf).and_then(|device| device.sriov.as_ref());
            if sriov.is_some_and(|sriov| !sriov.vfs.is_empty()) {
                continue;
            }
            refusals.extend(nic::refusals(site, made.pf, allowance));
        }
        refusals
    }

    /// Whether sriov-network-operator manages a physical function (its pkg/consts, SriovConfBasePath and "pci" below it: a file for each
    /// that it does). In a container it is the host's folder that counts.
    fn is_managed(&self, pf: PciAddress) -> bool {
        self.root.seen().iter().any(|root| root.has(format!("etc/sriov-operator/pci/{pf}")))
    }

    /// Who holds them, after those had time to end who end because a service of theirs was stopped.
    fn still_held(&self, functions: &[PciAddress], wait: bool) -> Result<Vec<String>, Trouble> {
        let end = Instant::now() + if wait { LINGER } else { Duration::ZERO };
        loop {
            let held = self.held(functions)?;
            if held.is_empty() || Instant::now() >= end {
                return Ok(held);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Guard for LiveGuard {
    fn before_plan(&self, request: &Request) -> Result<Vec<String>, Trouble> {
        let makes = request.steps.iter().any(makes_functions);
        if request.devices.is_empty() && !makes {
            return Ok(Vec::new());
        }
        let site = self.site()?;
        let mut refusals = self.of_makers(request, &site);
        let Some(primary) = request.devices.first().copied() else { return Ok(refusals) };
        // A virtual function that this very plan makes.
        if site.pci.get(primary).is_none() && makes {
            return Ok(refusals);
        }
        refusals.extend(self.of_unit(request, &site, primary));
        // Who holds it through a service that will be stopped is asked for when that has been done.
        if !request.steps.iter().any(stops_services) {
            refusals.extend(self.held(&request.devices)?);
        }
        Ok(refusals)
    }

    fn before_step(&self, request: &Request, step: &Step) -> Result<Vec<String>, Trouble> {
        if makes_functions(step) {
            return Ok(self.of_makers(request, &self.site()?));
        }
        let Step::Bind(bind) = step else { return Ok(Vec::new()) };
        let site = self.site()?;
        // The whole unit again: something may have been plugged into the group since. What has gone over already is not asked for twice.
        let primary = match request.devices.first() {
            Some(primary) if request.devices.contains(&bind.address) => *primary,
            _ => bind.address,
        };
        let mut refusals = self.of_unit(request, &site, primary);
        if refusals.is_empty() {
            refusals = self.still_held(&[bind.address], request.steps.iter().any(stops_services))?;
        }
        Ok(refusals)
    }

    fn before_undo(&self, request: &Request) -> Result<Vec<String>, Trouble> {
        self.users_of(request)
    }
}

/// Whether a step makes functions that are not there yet.
fn makes_functions(step: &Step) -> bool {
    matches!(step, Step::MakeVfs(_))
}

/// Whether a step stops a service.
fn stops_services(step: &Step) -> bool {
    matches!(step, Step::StopService(_))
}

/// One holder in one line.
pub(super) fn said(function: &str, holder: &Holder) -> String {
    let process = &holder.process;
    let whose = match &process.owner {
        Owner::Unit { unit, user_unit: Some(user_unit) } => format!(", {user_unit} of {unit}"),
        Owner::Unit { unit, user_unit: None } => format!(", {unit}"),
        Owner::Pod { uid, .. } => format!(", pod {uid}"),
        Owner::Container { id } => format!(", container {}", id.get(..12).unwrap_or(id)),
        Owner::Nobody => String::new(),
    };
    format!("{} of {function} is open in process {} ({}{whose})", holder.node.name, process.pid, process.comm)
}
