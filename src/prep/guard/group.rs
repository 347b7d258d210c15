//! A group goes as a whole, or not at all.

use std::collections::BTreeSet;

use super::Allowance;
use super::class::stays;
use super::site::Site;
use crate::base::PciAddress;

/// The companions that go along, and a refusal for every other endpoint that keeps the group from being viable.
///
/// VFIO demands of every endpoint in the group that it has no driver, or one of VFIO's or pci-stub (kernel: drivers/vfio/group.c and
/// Documentation/driver-api/vfio.rst). Bridges do not count.
pub(super) fn members(
    site: &Site,
    primary: PciAddress,
    owned: &BTreeSet<PciAddress>,
    allowance: Allowance<'_>,
) -> (BTreeSet<PciAddress>, Vec<String>) {
    let (mut companions, mut refusals) = (BTreeSet::new(), Vec::new());
    let group = site.groups.of(primary);
    for other in owned.iter().copied().filter(|other| *other != primary) {
        let Some(device) = site.pci.get(other) else { continue };
        let bond = match group.filter(|group| group.members.contains(&other)) {
            Some(group) => format!("is in IOMMU group {} with {primary}", group.id),
            None => format!("is reset together with {primary}, which has no reset of its own"),
        };
        let driver = device.function.driver.as_deref().filter(|driver| !device.function.vfio && *driver != "pci-stub");
        match (stays(device), driver) {
            (Some(what), Some(driver)) => refusals.push(format!(
                "{other} ({driver}) is {what}, stays with the host, and {bond}: so {primary} stays, too"
            )),
            // Idle it is in nobody's way.
            (Some(_), None) => (),
            (None, _) if allowance.takes(site, other) => {
                companions.insert(other);
            }
            (None, Some(driver)) => refusals.push(format!(
                "{other} ({driver}) {bond}: take it along (companions: auto, or name it), or leave both to the host"
            )),
            (None, None) => (),
        }
    }
    for other in group.map(|group| &group.members).into_iter().flatten() {
        if site.pci.get(*other).is_none() {
            refusals.push(format!("{other}, of which nothing can be read, is in one IOMMU group with {primary}"));
        }
    }
    for other in group.map(|group| &group.others).into_iter().flatten() {
        refusals.push(format!("{other}, which is no PCI device, is in one IOMMU group with {primary}"));
    }
    (companions, refusals)
}
