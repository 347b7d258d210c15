//! What kubelet sees: refreshed from the node, reloaded from the configuration, published when it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tokio::sync::watch;

use crate::config::node::Effective;
use crate::host::HostError;
use crate::kubelet::Offer;
use crate::prep::engine::{EngineError, Guard};
use crate::prep::guard::Site;
use crate::prep::hand::Hands;
use crate::prep::journal::{HoldingPhase, Ledger, Request};
use crate::prep::{Compiler, Owner};

use super::id::DeviceId;
use super::inventory::{Inventory, Unit};
use super::{Agent, Desk, Moment};

/// What the owners of what resources make begin with.
const MAKER: &str = "resource/";

impl<H, G> Agent<H, G>
where
    H: Hands + Send + Sync + 'static,
    G: Guard + Send + Sync + 'static,
{
    /// Takes the first configuration. What of it does not fit this node is a problem that is shown, and the rest is served: a device that
    /// is plugged in later and that two resources select is no more than that either.
    ///
    /// # Errors
    ///
    /// As for [`Agent::refresh`]: the configuration is in force, and the next look may go better.
    pub fn begin_with(&self, config: Arc<Effective>) -> Result<(), String> {
        self.desk().config = config;
        self.refresh()
    }

    /// Says why the configuration that is given is not in force; `None` if it is.
    pub fn reject(&self, reason: Option<String>) {
        self.desk().rejected = reason;
        self.want_look();
    }

    /// Takes another configuration. What is owned and no longer in it stays listed until it is free.
    ///
    /// # Errors
    ///
    /// What is wrong with it on this node, a line each: the one before stays in force.
    pub fn reload(&self, config: Arc<Effective>) -> Result<(), Vec<String>> {
        let site = self.site().map_err(|why| vec![why])?;
        let ledger = self.0.engine.ledger();
        let inventory = Inventory::of(&site, self.root(), &config, &ledger).map_err(|why| vec![why])?;
        if !inventory.problems.is_empty() {
            return Err(inventory.problems);
        }
        self.desk().config = config;
        self.0.resting.store(false, Ordering::SeqCst);
        // It is in force: that the node cannot be read just now is for the next look at it.
        if let Err(reason) = self.refresh() {
            tracing::error!(reason, "the node cannot be looked at");
        }
        self.want_look();
        Ok(())
    }

    /// Looks at the node again: makes what its resources make, and publishes what can be given.
    ///
    /// # Errors
    ///
    /// One line: the node cannot be read; what was published stays.
    pub fn refresh(&self) -> Result<(), String> {
        self.look_again(true)
    }

    /// The same because the kernel said something. What could not be made is left alone: trying it is what the kernel tells of, too.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn refresh_for_news(&self) -> Result<(), String> {
        self.look_again(false)
    }

    fn look_again(&self, try_again: bool) -> Result<(), String> {
        let _one = self.0.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.0.engine.settle() {
            return Err(error.to_string());
        }
        let config = Arc::clone(&self.desk().config);
        let mut site = self.site()?;
        let (wanted, unknown) = match self.0.resting.load(Ordering::SeqCst) {
            true => {
                self.desk().unmade.clear();
                Default::default()
            }
            false => self.wanted(&site, &config),
        };
        let still = |owner: &str| {
            // `resource/<name>`, or `resource/<name>/<what>`; a name has one `/` of its own.
            let is_of = |rest: &str, name: &String| {
                rest.strip_prefix(name.as_str()).is_some_and(|what| what.is_empty() || what.starts_with('/'))
            };
            let unsaid = owner.strip_prefix(MAKER).is_some_and(|rest| unknown.iter().any(|name| is_of(rest, name)));
            unsaid || wanted.keys().any(|other| other.as_str() == owner)
        };
        self.desk().unmade.retain(|owner, _| still(owner));
        if self.make_all(&wanted, try_again) | self.unmake(&wanted, &unknown) {
            site = self.site()?;
        }
        let inventory = Inventory::of(&site, self.root(), &config, &self.0.engine.ledger())?;
        let mut desk = self.desk();
        // Another configuration came meanwhile, and with it another refresh.
        if Arc::ptr_eq(&config, &desk.config) {
            self.take(&mut desk, inventory);
        }
        drop(desk);
        self.look_at_refused(&site, &config);
        Ok(())
    }

    fn site(&self) -> Result<Site, String> {
        let said = |error: HostError| crate::prep::Trouble::from(error).message;
        Site::read(self.root()).map_err(said)
    }

    /// What the resources make, by owner; and of which resources it cannot be said just now, or not of all.
    fn wanted(&self, site: &Site, config: &Effective) -> (BTreeMap<Owner, Request>, BTreeSet<String>) {
        let ledger = self.0.engine.ledger();
        let compiler = Compiler { site, root: self.root(), config, ledger: &ledger };
        let (mut wanted, mut unknown) = (BTreeMap::new(), BTreeSet::new());
        for resource in &config.resources {
            let name = resource.name.as_str();
            // Why it makes nothing is a problem of the inventory.
            let offered = compiler.offered(resource);
            if offered.as_ref().map_or(true, |offered| !offered.missing.is_empty()) {
                unknown.insert(name.to_owned());
            }
            let requests = offered.unwrap_or_default().all.into_iter().filter_map(|(_, request)| request);
            let pool = compiler.pool(resource).unwrap_or_else(|why| {
                self.desk().unmade.insert(format!("{MAKER}{name}"), why);
                unknown.insert(name.to_owned());
                None
            });
            wanted.extend(requests.chain(pool).map(|request| (request.owner.clone(), request)));
        }
        (wanted, unknown)
    }

    /// Makes what is not made, if so told what could not be made before; tells whether anything was.
    fn make_all(&self, wanted: &BTreeMap<Owner, Request>, try_again: bool) -> bool {
        let ledger = self.0.engine.ledger();
        let mut changed = false;
        for (owner, request) in wanted {
            if !try_again && self.desk().unmade.contains_key(owner.as_str()) {
                continue;
            }
            let held = ledger.holdings.get(owner);
            if let Some(held) = held.filter(|held| held.phase == HoldingPhase::Ready) {
                // What is made joins the domain of what makes it.
                if (Request { domain: request.domain.clone(), ..held.request.clone() }) == *request {
                    self.desk().unmade.remove(owner.as_str());
                    continue;
                }
                let mut desk = self.desk();
                if is_owned(&desk, &ledger, &held.request.purpose) {
                    let why = "it is to be made anew, and somebody was promised what is there: that comes first";
                    note_unmade(&mut desk, owner, why.to_owned());
                    continue;
                }
            }
            let outcome = match held {
                // Another number of them, or what a crash has left: the old ones go first, if nobody has one.
                Some(_) => self.0.engine.undo(owner, &mut |_| ()).map(drop),
                None => Ok(()),
            };
            let outcome = outcome.and_then(|()| self.0.engine.apply(request, &mut |_| ()).map(drop));
            changed |= !matches!(outcome, Err(EngineError::Refused { .. }));
            let mut desk = self.desk();
            match outcome {
                Ok(()) => drop(desk.unmade.remove(owner.as_str())),
                Err(error) => note_unmade(&mut desk, owner, error.to_string()),
            }
        }
        changed
    }

    /// Takes back what is no longer wanted and nobody has; what a resource made of which it is not known what is wanted stays.
    fn unmake(&self, wanted: &BTreeMap<Owner, Request>, unknown: &BTreeSet<String>) -> bool {
        let ledger = self.0.engine.ledger();
        let mut changed = false;
        for (owner, holding) in &ledger.holdings {
            if !owner.as_str().starts_with(MAKER) || wanted.contains_key(owner) {
                continue;
            }
            let resource = &holding.request.purpose;
            if unknown.contains(resource) || is_owned(&self.desk(), &ledger, resource) {
                continue;
            }
            match self.0.engine.undo(owner, &mut |_| ()) {
                Ok(undone) => changed |= undone.changed,
                Err(error) => tracing::warn!(owner = owner.as_str(), reason = %error, "not taken back"),
            }
        }
        changed
    }

    /// A new list of what there is.
    fn take(&self, desk: &mut Desk, mut inventory: Inventory) {
        let owned = owned(desk, &self.0.engine.ledger());
        inventory.keep(&desk.inventory, &owned);
        for (id, promise) in desk.promises.all() {
            inventory.keep_promised(id, &promise.resource);
        }
        for problem in &inventory.problems {
            if !desk.inventory.problems.contains(problem) {
                tracing::error!(problem, "the configuration does not fit this node");
            }
        }
        for why in &inventory.missing {
            if !desk.inventory.missing.contains(why) {
                tracing::warn!(why, "there is nothing of a resource");
            }
        }
        desk.inventory = inventory;
        self.publish(desk);
    }

    /// Shows kubelet what is so now.
    pub(super) fn publish(&self, desk: &mut Desk) {
        let (ledger, now) = (self.0.engine.ledger(), self.now());
        let mut lists: BTreeMap<String, Vec<Offer>> =
            desk.config.resources.iter().map(|resource| (resource.name.as_str().to_owned(), Vec::new())).collect();
        // Who was promised something is asked about by the name under which it was.
        for promise in desk.promises.all().values() {
            lists.entry(promise.resource.clone()).or_default();
        }
        for (id, unit) in &desk.inventory.units {
            let healthy = unhealthy(desk, &ledger, id, unit, now).is_none();
            let offer = Offer { id: id.as_str().to_owned(), healthy, numa: unit.numa };
            lists.entry(unit.resource.clone()).or_default().push(offer);
        }
        let names: BTreeSet<String> = lists.keys().cloned().collect();
        desk.offers.retain(|name, _| names.contains(name));
        for (name, list) in lists {
            let sender = desk.offers.entry(name).or_insert_with(|| watch::Sender::new(Vec::new()));
            sender.send_if_modified(|shown| {
                let changed = *shown != list;
                *shown = list;
                changed
            });
        }
        self.0.resources.send_if_modified(|shown| {
            let changed = *shown != names;
            *shown = names;
            changed
        });
    }
}

/// Ids that somebody has or was promised.
pub(super) fn owned(desk: &Desk, ledger: &Ledger) -> BTreeSet<DeviceId> {
    let holdings = ledger.holdings.keys().filter_map(DeviceId::of_owner);
    desk.promises.all().keys().cloned().chain(desk.tenancies.keys().cloned()).chain(holdings).collect()
}

/// Whether somebody has something of a resource, or was promised it.
fn is_owned(desk: &Desk, ledger: &Ledger, resource: &str) -> bool {
    owned(desk, ledger).iter().any(|id| {
        let unit = desk.inventory.units.get(id).is_some_and(|unit| unit.resource == resource);
        let promised = desk.promises.get(id).is_some_and(|promise| promise.resource == resource);
        let holding = id.owner().and_then(|owner| ledger.holdings.get(&owner));
        unit || promised || holding.is_some_and(|holding| holding.request.purpose == resource)
    })
}

/// Says why something is not made, once.
fn note_unmade(desk: &mut Desk, owner: &Owner, line: String) {
    if desk.unmade.insert(owner.as_str().to_owned(), line.clone()).as_ref() != Some(&line) {
        tracing::warn!(owner = owner.as_str(), reason = line, "not made");
    }
}

/// Why kubelet shall not give a device to a pod; `None` if it may.
pub(super) fn unhealthy(desk: &Desk, ledger: &Ledger, id: &DeviceId, unit: &Unit, now: Moment) -> Option<String> {
    let keys: Vec<String> = unit.domain.iter().cloned().collect();
    if let Some(quarantine) = ledger.quarantine_of(&keys) {
        return Some(format!("process {} hangs in the kernel: {}", quarantine.process, quarantine.what));
    }
    // While it changes hands it looks like much that would be refused.
    let ours = id.owner().is_some_and(|owner| ledger.holdings.contains_key(&owner)) || desk.tenancies.contains_key(id);
    if let Some(refusal) = unit.refusal.as_ref().filter(|_| unit.leaving || !ours) {
        return Some(refusal.clone());
    }
    desk.refusals.lasting(id, now).map(str::to_owned)
}
