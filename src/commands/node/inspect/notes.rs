//! What a person should know besides.

use crate::host::nics::Source;
use crate::host::{Lockdown, ResetReach, reset_reach};

use super::facts::Facts;
use super::overrides::Override;
use super::report::{Device, Verdict};
use super::words::{count, names};

/// The notes on a node, a line each.
pub(super) fn of(facts: &Facts, units: &[Device]) -> Vec<String> {
    let machine = &facts.machine;
    let mut notes = facts.troubles.clone();
    if machine.kernel.unsafe_interrupts == Some(true) {
        notes.push(
            "VFIO hands out devices although their interrupts may not be remapped (vfio_iommu_type1.allow_unsafe_interrupts=1): a guest \
             can attack the host"
                .to_owned(),
        );
    }
    let no_iommu: Vec<u32> = machine.groups.0.values().filter(|group| group.no_iommu).map(|group| group.id).collect();
    if !no_iommu.is_empty() {
        notes.push(format!(
            "VFIO hands out devices that no IOMMU guards (vfio.enable_unsafe_noiommu_mode): those of {}",
            groups(&no_iommu)
        ));
    }
    let kept: Vec<u32> =
        machine.groups.0.values().filter(|group| group.rmrr().is_some()).map(|group| group.id).collect();
    if !kept.is_empty() {
        notes.push(format!("the firmware keeps memory of its own (RMRR) for the devices of {}", groups(&kept)));
    }
    if let Some(lockdown) = machine.kernel.lockdown.filter(|lockdown| *lockdown != Lockdown::None) {
        let what = if lockdown == Lockdown::Integrity { "integrity" } else { "confidentiality" };
        notes.push(format!("kernel lockdown ({what}): modules need a signature that this kernel trusts"));
    }
    if !machine.nics.visible {
        notes.push(
            "/sys shows another network namespace than process 1's: what network devices are for is not known from here".to_owned(),
        );
    } else if machine.nics.source == Source::Text && !machine.nics.links.is_empty() {
        notes.push(
            "addresses and routes are those of the texts in /proc: routes of other tables than the main one are not among them"
                .to_owned(),
        );
    }
    let unknown = units.iter().filter_map(|device| match &device.driver_override {
        Some(Override::Unknown(why)) => Some((device.unit.primary, why)),
        _ => None,
    });
    let mut whys: Vec<(Vec<String>, &String)> = Vec::new();
    for (address, why) in unknown {
        match whys.iter_mut().find(|(_, other)| *other == why) {
            Some((addresses, _)) => addresses.push(address.to_string()),
            None => whys.push((vec![address.to_string()], why)),
        }
    }
    notes.extend(
        whys.iter().map(|(addresses, why)| format!("driver_override of {} is not known: {why}", names(addresses, 4))),
    );
    for held in &facts.ledger.quarantines {
        notes.push(format!(
            "process {} hangs in the kernel, and what it hangs in is left alone: {}",
            held.process, held.what
        ));
    }
    let dead: Vec<String> = machine
        .pci
        .functions
        .values()
        .filter(|device| device.answers == Some(false))
        .map(|device| device.address().to_string())
        .collect();
    if !dead.is_empty() {
        notes.push(format!(
            "{} on the bus but {} not answer: {}",
            count(dead.len(), "device"),
            if dead.len() == 1 { "does" } else { "do" },
            names(&dead, 8)
        ));
    }
    // Those that stay are nobody's trouble.
    let unreset: Vec<String> = units
        .iter()
        .filter(|device| device.verdict != Verdict::Stays)
        .filter_map(|device| machine.pci.get(device.unit.primary))
        .filter(|device| reset_reach(device) == ResetReach::Nothing)
        .map(|device| device.address().to_string())
        .collect();
    if !unreset.is_empty() {
        notes.push(format!(
            "the kernel knows no reset of {}: what one VM leaves in {} the next one finds, and it may not start until the node does",
            names(&unreset, 8),
            if unreset.len() == 1 { "it" } else { "them" }
        ));
    }
    notes
}

/// Groups by their numbers.
fn groups(ids: &[u32]) -> String {
    format!("IOMMU group{} {}", if ids.len() == 1 { "" } else { "s" }, names(ids, 8))
}
