//! What was refused for long and may be given again.

use crate::config::node::Effective;
use crate::prep::Compiler;
use crate::prep::engine::Guard;
use crate::prep::guard::Site;
use crate::prep::hand::Hands;
use crate::prep::journal::{Ledger, Request};

use super::Agent;
use super::id::DeviceId;

impl<H, G> Agent<H, G>
where
    H: Hands + Send + Sync + 'static,
    G: Guard + Send + Sync + 'static,
{
    /// A device that was long refused for what a look can show is looked at again: once nothing is in the way it is healthy, without
    /// anybody's help. One on which a plan failed is not: nothing of that is to be seen before the next try.
    pub(super) fn look_at_refused(&self, site: &Site, config: &Effective) {
        let (lasting, units) = {
            let desk = self.desk();
            let lasting = desk.refusals.obstructed(self.now()).into_iter();
            let lasting: Vec<DeviceId> =
                lasting.filter(|id| !desk.tasks.contains_key(&format!("device/{id}"))).collect();
            let units = desk.inventory.units.clone();
            (lasting, units)
        };
        let ledger = self.0.engine.ledger();
        let compiler = Compiler { site, root: self.root(), config, ledger: &ledger };
        for id in lasting {
            let (Some(unit), Some(owner)) = (units.get(&id), id.owner()) else { continue };
            let Some(resource) = config.resource(&unit.resource) else { continue };
            // What it would be asked for: who has it already is not asked for anything else.
            let held = ledger.holdings.get(&owner).filter(|held| held.request.purpose == unit.resource);
            let request = match held {
                Some(held) => Ok(held.request.clone()),
                None => compiler.late(resource, &unit.offered, &owner),
            };
            let Ok(request) = request else { continue };
            if self.is_in_the_way(&ledger, &request) == Some(false) {
                let mut desk = self.desk();
                desk.refusals.clear(&id);
                self.publish(&mut desk);
                tracing::info!(device = id.as_str(), "nothing stands in the way any more");
            }
        }
    }

    /// Whether a look shows that something stands in the way of a request, the last user of its device among them; `None` if nobody can
    /// look.
    pub(super) fn is_in_the_way(&self, ledger: &Ledger, request: &Request) -> Option<bool> {
        let obstacles = self.0.engine.obstacles(request).ok()?;
        let users = ledger.holdings.get(&request.owner).map(|held| self.0.engine.guard().before_undo(&held.request));
        let users = users.transpose().ok()?.unwrap_or_default();
        Some(!obstacles.is_empty() || !users.is_empty())
    }
}
