//! What people are told: written to a file of the state folder when it changes, so that `node status` and a scrape see the same.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use crate::prep::engine::Guard;
use crate::prep::hand::Hands;

use super::moment::Moment;
use super::offer::unhealthy;
use super::refusal::Refused;
use super::tenancy::PodName;
use super::{Agent, DeviceId};

/// The file's name in the state folder.
pub const STATUS: &str = "status.json";

/// The agent's whole state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The boot it is about.
    pub boot: String,
    /// What there is, by id.
    pub devices: BTreeMap<DeviceId, DeviceStatus>,
    /// Why devices were not given, by id.
    pub refused: BTreeMap<DeviceId, Refused>,
    /// How often a device was not given, by resource, since the agent began.
    pub refusals: BTreeMap<String, u64>,
    /// Why what a resource makes could not be made, by owner.
    pub unmade: BTreeMap<String, String>,
    /// What is wrong with the configuration on this node.
    pub problems: Vec<String>,
    /// What is under way, by owner.
    pub tasks: BTreeMap<String, String>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// Its resource.
    pub resource: String,
    /// What the VM is told.
    pub value: String,
    /// Its IOMMU group.
    pub group: Option<u32>,
    /// Why it is not healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy: Option<String>,
    /// When it was promised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promised: Option<Moment>,
    /// Whether something was done for it that is not undone.
    pub held: bool,
    /// The pod that kubelet names for it, `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}

impl<H, G> Agent<H, G>
where
    H: Hands + Send + Sync + 'static,
    G: Guard + Send + Sync + 'static,
{
    /// Everything, as it is now.
    pub fn status(&self) -> Status {
        let ledger = self.0.engine.ledger();
        let (desk, now) = (self.desk(), self.now());
        let pod = |pod: &PodName| format!("{}/{}", pod.namespace, pod.name);
        let device = |(id, unit): (&DeviceId, &super::Unit)| {
            let tenancy = desk.tenancies.get(id);
            let status = DeviceStatus {
                resource: unit.resource.clone(),
                value: unit.value(),
                group: unit.group,
                unhealthy: unhealthy(&desk, &ledger, id, unit, now),
                promised: desk.promises.get(id).map(|promise| promise.at),
                held: id.owner().is_some_and(|owner| ledger.holdings.contains_key(&owner)),
                pod: tenancy.and_then(|tenancy| tenancy.pod.as_ref()).map(pod),
            };
            (id.clone(), status)
        };
        let task = |task: &super::Task| {
            let step = task.step();
            format!("step {} of {}: {}", step.number, step.of, step.what)
        };
        let rejected = desk.rejected.iter().map(|why| format!("the one that is given is not in force: {why}"));
        Status {
            boot: self.0.settings.boot.clone(),
            devices: desk.inventory.units.iter().map(device).collect(),
            refused: desk.refusals.all().clone(),
            refusals: desk.refusals.counts().clone(),
            unmade: desk.unmade.clone(),
            problems: rejected.chain(desk.inventory.problems.iter().chain(&desk.inventory.missing).cloned()).collect(),
            tasks: desk.tasks.iter().map(|(owner, one)| (owner.clone(), task(one))).collect(),
        }
    }

    /// Writes the state down for others to read.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write_status(&self, status: &Status) -> io::Result<()> {
        let path = self.0.settings.state.join(STATUS);
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, serde_json::to_vec_pretty(status).map_err(io::Error::from)?)?;
        std::fs::rename(fresh, path)
    }
}
