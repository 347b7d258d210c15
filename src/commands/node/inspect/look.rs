//! A device that no resource selects: whether a resource could give it away, and what that resource would have to say.

use crate::base::PciAddress;
use crate::config::node::{
    Companions, Driver, Effective, Globs, PrepareStep, Release, ReleaseOnly, Resource, Selector, Target,
};
use crate::prep::guard::{Allowance, Site, Unit};

/// The steps that a guard may ask for, with their words in a NodeConfig.
const PREPARE: [(&str, PrepareStep); 2] = [
    ("prepare: consoles: release", PrepareStep::Consoles(ReleaseOnly::Release)),
    ("prepare: framebuffer: release", PrepareStep::Framebuffer(ReleaseOnly::Release)),
];

/// The unit of a function under a resource that names it and allows whatever a resource can, and what of that is needed.
pub(super) fn unit(site: &Site, config: &Effective, address: PciAddress) -> (Unit, Vec<String>) {
    let everything: Vec<PrepareStep> = PREPARE.iter().map(|(_, step)| step.clone()).collect();
    let unit = under(site, config, address, everything);
    let mut needs = Vec::new();
    if !unit.refusals.is_empty() {
        return (unit, needs);
    }
    if !unit.companions.is_empty() {
        needs.push("companions: auto".to_owned());
    }
    for (words, _) in &PREPARE {
        let others = PREPARE.iter().filter(|(other, _)| other != words).map(|(_, step)| step.clone()).collect();
        // Only a function that somebody draws on is ever asked to let go.
        if draws(site, &unit) && !under(site, config, address, others).refusals.is_empty() {
            needs.push((*words).to_owned());
        }
    }
    (unit, needs)
}

/// Whether something draws on one of the functions that go.
fn draws(site: &Site, unit: &Unit) -> bool {
    unit.functions().any(|function| {
        site.display.cards_of(function).next().is_some()
            || site.display.firmware_framebuffers_of(&site.pci, function).next().is_some()
    })
}

fn under(site: &Site, config: &Effective, address: PciAddress, prepare: Vec<PrepareStep>) -> Unit {
    // Any name will do: nobody sees it.
    let resource = "virt-tailor.io/look".parse().ok().map(|name| Resource {
        name,
        selector: Selector { addresses: vec![address], ..Selector::default() },
        target: Target::Pci { driver: Driver::Auto, companions: Companions::Auto },
        prepare,
        release: Release::default(),
        may_hold_data: true,
        namespaces: Globs::default(),
        nodes: Globs::default(),
    });
    Unit::of(site, address, Allowance { resource: resource.as_ref(), config })
}
