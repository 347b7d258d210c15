//! Gathering what was seen.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::PciAddress;
use crate::host::{DeviceNode, HostError, Owner, Root, device_nodes, holders, mdev_nodes};
use crate::prep::Offered;
use crate::prep::engine::Guard;
use crate::prep::hand::Hands;

use super::id::DeviceId;
use super::tenancy::{Answer, PodUid};
use super::{Agent, Look, Moment, cgroups_of_pods};

/// Whose files are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Whose.
    pub id: DeviceId,
    /// The functions whose VFIO files count.
    pub functions: Vec<PciAddress>,
    /// The mediated device whose files count.
    pub mdev: Option<String>,
}

impl<H, G> Agent<H, G>
where
    H: Hands + Send + Sync + 'static,
    G: Guard + Send + Sync + 'static,
{
    /// What is to be looked at; empty if nobody was promised anything and no pod has anything.
    pub fn watched(&self) -> Vec<Watched> {
        let desk = self.desk();
        let watched = |id: &DeviceId| match desk.inventory.units.get(id) {
            Some(unit) => {
                let mdev = matches!(unit.offered, Offered::Mdev { .. }).then(|| unit.value());
                let functions = if mdev.is_some() { Vec::new() } else { unit.functions() };
                Watched { id: id.clone(), functions, mdev }
            }
            None => Watched { id: id.clone(), functions: self.functions_held(id), mdev: None },
        };
        desk.tenancies.keys().map(watched).collect()
    }

    /// The functions of one that is in no inventory: as the journal knows them.
    fn functions_held(&self, id: &DeviceId) -> Vec<PciAddress> {
        let ledger = self.0.engine.ledger();
        let holding = id.owner().and_then(|owner| ledger.holdings.get(&owner).cloned());
        holding.map(|holding| holding.request.devices).unwrap_or_default()
    }

    /// Whether there is anything to look for at all.
    pub fn has_anything(&self) -> bool {
        let desk = self.desk();
        !desk.tenancies.is_empty() || !desk.pods.is_empty() || !desk.again.is_empty() || !desk.over.is_empty()
    }

    /// Whether some pod's memory lock is held.
    pub fn has_locks(&self) -> bool {
        self.desk().pods.values().any(|pod| pod.lock.is_some())
    }
}

/// One look around: kubelet's answer as it came, and what the node shows of devices that it does not name. (What kubelet names is used:
/// nobody has to be looked for.)
pub fn look_around(root: &Root, at: Moment, kubelet: Option<Answer>, watched: &[Watched]) -> Look {
    let named = |id: &DeviceId| kubelet.as_ref().is_some_and(|answer| answer.pods.contains_key(id));
    let open: Vec<&Watched> = watched.iter().filter(|watched| !named(&watched.id)).collect();
    let (held, blind) = match held(root, &open) {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(reason = %error, "who holds devices cannot be seen");
            (BTreeMap::new(), true)
        }
    };
    let cgroups = cgroups_of_pods(root).map(|pods| pods.into_keys().collect());
    Look { at, kubelet, held, blind, cgroups }
}

type Held = (BTreeMap<DeviceId, BTreeSet<PodUid>>, bool);

/// Who has VFIO files of these open, by device; and whether somebody could not be looked into.
fn held(root: &Root, watched: &[&Watched]) -> Result<Held, HostError> {
    let mut nodes: Vec<(DeviceNode, &DeviceId)> = Vec::new();
    for watched in watched {
        let mut found = Vec::new();
        for function in &watched.functions {
            found.extend(device_nodes(root, *function)?);
        }
        if let Some(uuid) = &watched.mdev {
            found.extend(mdev_nodes(root, uuid)?);
        }
        nodes.extend(found.into_iter().filter(|node| node.name.starts_with("vfio/")).map(|node| (node, &watched.id)));
    }
    let all: Vec<DeviceNode> = nodes.iter().map(|(node, _)| node.clone()).collect();
    let found = holders(root, &all)?;
    let mut held: BTreeMap<DeviceId, BTreeSet<PodUid>> = BTreeMap::new();
    for holder in found.found {
        let uid = match &holder.process.owner {
            Owner::Pod { uid, .. } => Some(uid.clone()),
            _ => None,
        };
        for (_, id) in nodes.iter().filter(|(node, _)| *node == holder.node) {
            held.entry((*id).clone()).or_default().extend(uid.clone());
        }
    }
    let own = std::process::id();
    Ok((held, found.unseen.iter().any(|process| process.pid != own)))
}
