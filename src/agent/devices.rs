//! One resource, for kubelet.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;

use crate::config::node::ResourceName;
use crate::kubelet::{Allocation, Devices, NotReady, Offer, UnknownId};
use crate::prep::engine::Guard;
use crate::prep::hand::Hands;

use super::id::DeviceId;
use super::promise::{Promise, allocation};
use super::tenancy::Tenancy;
use super::{Agent, Unit};

/// The devices of one resource.
pub struct ResourceDevices<H, G> {
    agent: Agent<H, G>,
    resource: ResourceName,
}

impl<H, G> std::fmt::Debug for ResourceDevices<H, G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResourceDevices").field("resource", &self.resource).finish_non_exhaustive()
    }
}

impl<H, G> Agent<H, G>
where
    H: Hands + Send + Sync + 'static,
    G: Guard + Send + Sync + 'static,
{
    /// The devices of a resource.
    pub fn devices(&self, resource: ResourceName) -> ResourceDevices<H, G> {
        ResourceDevices { agent: self.clone(), resource }
    }
}

impl<H, G> Devices for ResourceDevices<H, G>
where
    H: Hands + Send + Sync + 'static,
    G: Guard + Send + Sync + 'static,
{
    fn offers(&self) -> watch::Receiver<Vec<Offer>> {
        let mut desk = self.agent.desk();
        let name = self.resource.as_str().to_owned();
        desk.offers.entry(name).or_insert_with(|| watch::Sender::new(Vec::new())).subscribe()
    }

    fn prefer(&self, available: &[String], must: &[String], size: usize) -> Vec<String> {
        let desk = self.agent.desk();
        let unit = |id: &String| id.parse::<DeviceId>().ok().and_then(|id| desk.inventory.units.get(&id));
        let place = |id: &String| unit(id).map_or((None, None), |unit| (unit.root_complex.clone(), unit.numa));
        together(available, must, size, place)
    }

    fn allocate(&self, ids: &[String]) -> Result<Allocation, UnknownId> {
        let unknown = |id: &String| UnknownId { resource: self.resource.as_str().to_owned(), id: id.clone() };
        let mut desk = self.agent.desk();
        let mut found: Vec<(DeviceId, Unit)> = Vec::with_capacity(ids.len());
        for text in ids {
            let id: DeviceId = text.parse().map_err(|_| unknown(text))?;
            let unit = desk.inventory.units.get(&id).filter(|unit| unit.resource == self.resource.as_str());
            let unit = unit.ok_or_else(|| unknown(text))?.clone();
            found.push((id, unit));
        }
        let now = self.agent.now();
        for (id, unit) in &found {
            let promise = Promise {
                id: id.clone(),
                resource: unit.resource.clone(),
                value: unit.value(),
                group: unit.group,
                at: now,
                boot: self.agent.0.settings.boot.clone(),
                uids: BTreeSet::new(),
            };
            // An error here would kill the pod for good. What is not on the disk is forgotten if we end, and then refused.
            if let Err(error) = desk.promises.make(promise) {
                tracing::error!(device = id.as_str(), reason = %error, "the promise is not on the disk");
            }
            desk.tenancies.insert(id.clone(), Tenancy::begin(now));
            tracing::info!(device = id.as_str(), resource = self.resource.as_str(), "promised");
        }
        Ok(allocation(&self.resource, found.iter().map(|(_, unit)| unit)))
    }

    async fn prepare(&self, ids: &[String]) -> Result<(), NotReady> {
        self.agent.prepare(self.resource.as_str(), ids).await
    }
}

/// Which of the available ones go together: those that must be, then below the same root bus, then on the same NUMA node. Without any
/// that must be, the tightest fit is chosen, so that greater sets stay whole.
fn together(
    available: &[String],
    must: &[String],
    size: usize,
    place: impl Fn(&String) -> (Option<String>, Option<u16>),
) -> Vec<String> {
    let mut chosen: Vec<String> = must.iter().take(size).cloned().collect();
    let mut rest: Vec<&String> = available.iter().filter(|id| !must.contains(id)).collect();
    rest.sort_unstable();
    let missing = size - chosen.len();
    let anchor = chosen.first().map(&place).or_else(|| {
        let (mut buses, mut nodes): (BTreeMap<_, usize>, BTreeMap<_, usize>) = Default::default();
        for id in &rest {
            let place = place(id);
            *nodes.entry(place.1).or_default() += 1;
            *buses.entry(place).or_default() += 1;
        }
        let bus = buses.iter().filter(|(_, count)| **count >= missing).min_by_key(|(_, count)| **count);
        let node = || nodes.iter().filter(|(_, count)| **count >= missing).min_by_key(|(_, count)| **count);
        let greatest = || buses.iter().max_by_key(|(_, count)| **count).map(|(place, _)| place.clone());
        bus.map(|(place, _)| place.clone()).or_else(|| node().map(|(node, _)| (None, *node))).or_else(greatest)
    });
    if let Some((bus, node)) = anchor {
        rest.sort_by_key(|id| {
            let (its_bus, its_node) = place(id);
            (its_bus != bus, its_node != node)
        });
    }
    chosen.extend(rest.into_iter().take(missing).cloned());
    chosen
}

#[cfg(test)]
mod tests {
    use super::together;

    /// `a0`: bus a of node 0.
    fn choose(available: &[&str], must: &[&str], size: usize) -> String {
        let strings = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        let place = |id: &String| (Some(id[..1].to_owned()), id[1..2].parse().ok());
        together(&strings(available), &strings(must), size, place).join(" ")
    }

    #[test]
    fn below_one_bus_then_on_one_node() {
        assert_eq!(choose(&["a0.1", "a0.2", "b0.1", "c1.1"], &["b0.1"], 2), "b0.1 a0.1");
        assert_eq!(choose(&["a0.1", "c1.1", "c1.2"], &[], 2), "c1.1 c1.2");
        assert_eq!(choose(&["a0.1", "a0.2", "a0.3", "c1.1", "c1.2"], &[], 2), "c1.1 c1.2", "the tightest fit");
        assert_eq!(choose(&["a0.1", "b1.1", "c1.1"], &[], 2), "b1.1 c1.1", "one node if not one bus");
        assert_eq!(choose(&["a0.1", "b1.1"], &["b1.1"], 1), "b1.1");
        assert_eq!(choose(&["a0.1"], &[], 3), "a0.1", "there are no more");
    }
}
