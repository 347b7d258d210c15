//! Facts to a report. Pure.
//!
//! What is serialised here is the JSON of `node inspect --json`: fields are added, never renamed.

use serde::Serialize;

use crate::base::PciAddress;
use crate::config::node::{Effective, Target};
use crate::host::{Availability, Machine};
use crate::prep::Owner;
use crate::prep::guard::{Allowance, Site, Unit};
use crate::prep::selected;

use super::facts::Facts;
use super::overrides::Override;
use super::resources::{Overlap, Selected, overlaps, resources};
use super::{look, notes, words};

/// What is to be said of a node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Whether devices can be handed to VMs here at all.
    pub(super) ready: bool,
    /// Why not, a line each.
    pub(super) reasons: Vec<String>,
    /// Every endpoint that is no part of the platform, by address.
    pub(super) units: Vec<Device>,
    /// The resources of the configuration on this node; `null` without a configuration.
    pub(super) resources: Option<Vec<Selected>>,
    /// Devices that several resources select: a mistake in the configuration.
    pub(super) overlaps: Vec<Overlap>,
    /// What else a person should know, a line each.
    pub(super) notes: Vec<String>,
    /// Everything that was read.
    pub(super) machine: Machine,
}

/// One endpoint: whether it can be handed over.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Device {
    /// With what has to go with it, and why it cannot.
    #[serde(flatten)]
    pub(super) unit: Unit,
    /// All that in a word.
    pub(super) verdict: Verdict,
    /// The resource that selects it.
    pub(super) resource: Option<String>,
    /// What a resource for it would have to say; empty if one selects it.
    pub(super) needs: Vec<String>,
    /// What its `driver_override` says; `null` if nothing.
    pub(super) driver_override: Option<Override>,
    /// Whom the node was prepared for.
    pub(super) owner: Option<Owner>,
    /// Who has it open.
    pub(super) held_by: Vec<String>,
}

/// Whether a device can be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Verdict {
    /// It can.
    Free,
    /// It can, together with others.
    WithCompanions,
    /// It is with a VFIO driver already.
    Vfio,
    /// It cannot.
    Stays,
}

impl Report {
    /// The report of a node.
    pub(super) fn of(facts: Facts) -> Self {
        let (site, none) = (site(&facts.machine), Effective::default());
        let config = facts.config.as_ref().unwrap_or(&none);
        let selected: Vec<Vec<PciAddress>> =
            config.resources.iter().map(|resource| selected(&site, resource)).collect();
        let endpoints = site.pci.functions.values().filter(|device| !words::is_platform(device));
        let units: Vec<Device> =
            endpoints.map(|endpoint| device(&facts, &site, config, &selected, endpoint.address())).collect();
        let resources = facts.config.as_ref().map(|config| resources(config, &site, &facts, &selected));
        let reasons = reasons(&facts.machine);
        Self {
            ready: reasons.is_empty(),
            reasons,
            resources,
            overlaps: overlaps(config, &selected),
            notes: notes::of(&facts, &units),
            units,
            machine: facts.machine,
        }
    }

    /// The device at an address.
    pub(super) fn device(&self, address: PciAddress) -> Option<&Device> {
        self.units.iter().find(|device| device.unit.primary == address)
    }
}

impl Device {
    /// Whether a VM could have it now.
    pub(super) fn is_offerable(&self) -> bool {
        self.verdict != Verdict::Stays && self.owner.is_none() && self.held_by.is_empty()
    }
}

/// What stands in the way of every device.
fn reasons(machine: &Machine) -> Vec<String> {
    let mut reasons = Vec::new();
    if !machine.iommu.works() {
        reasons.push(machine.iommu.sentence().to_owned());
    }
    if machine.kernel.unsafe_interrupts != Some(true) {
        reasons.extend(machine.iommu.interrupt_sentence().map(str::to_owned));
    }
    let release = machine.kernel.release.as_deref().unwrap_or("that runs");
    for (name, is) in [("vfio-pci", machine.vfio.pci), ("vfio_iommu_type1", machine.vfio.iommu_type1)] {
        match is {
            Availability::Missing => reasons.push(format!(
                "there is no module {name} for the kernel {release}: install the rest of its modules, or a kernel with VFIO"
            )),
            Availability::Loadable if machine.kernel.modules_disabled == Some(true) => reasons.push(format!(
                "{name} is not loaded, and no module can be loaded until the next boot (kernel.modules_disabled is 1): load it at boot"
            )),
            _ => (),
        }
    }
    if machine.kvm == Some(false) {
        reasons.push(
            "there is no /dev/kvm: switch on virtualisation in the firmware's setup (VT-x, SVM) and load kvm_intel or kvm_amd; in a \
             virtual machine, switch on nested virtualisation"
                .to_owned(),
        );
    }
    reasons
}

/// What is to be said of one endpoint.
fn device(facts: &Facts, site: &Site, config: &Effective, selected: &[Vec<PciAddress>], address: PciAddress) -> Device {
    let mut selecting =
        config.resources.iter().zip(selected).filter(|(_, devices)| devices.contains(&address)).map(|(one, _)| one);
    let resource = selecting.next();
    // Of what makes virtual functions or mediated devices the function itself stays where it is.
    let whole = resource.filter(|resource| matches!(resource.target, Target::Pci { .. }));
    let (unit, needs) = match whole {
        Some(resource) => (Unit::of(site, address, Allowance { resource: Some(resource), config }), Vec::new()),
        None => look::unit(site, config, address),
    };
    let holding = facts.ledger.holdings.iter().find(|(_, holding)| holding.request.devices.contains(&address));
    let verdict = match site.pci.get(address) {
        _ if !unit.refusals.is_empty() => Verdict::Stays,
        Some(device) if device.function.vfio => Verdict::Vfio,
        _ if unit.companions.is_empty() => Verdict::Free,
        _ => Verdict::WithCompanions,
    };
    Device {
        verdict,
        resource: resource.map(|resource| resource.name.as_str().to_owned()),
        needs,
        driver_override: facts.overrides.get(&address).cloned(),
        owner: holding.map(|(owner, _)| owner.clone()),
        held_by: facts.holders.get(&address).cloned().unwrap_or_default(),
        unit,
    }
}

/// A machine as the guards see it.
fn site(machine: &Machine) -> Site {
    Site {
        pci: machine.pci.clone(),
        groups: machine.groups.clone(),
        iommu: machine.iommu.clone(),
        display: machine.display.clone(),
        blocks: machine.blocks.clone(),
        nics: machine.nics.clone(),
        usb: machine.usb.clone(),
        virtio: machine.virtio.clone(),
        kernel: machine.kernel.clone(),
    }
}
