//! What can be handed over at all.

use super::site::Site;
use crate::base::PciAddress;
use crate::host::{InterruptRemapping, Iommu};

/// Why this function can never be handed over on this node, or not as it is.
pub(super) fn refusals(site: &Site, address: PciAddress) -> Vec<String> {
    let Some(device) = site.pci.get(address) else {
        return vec![format!("there is no PCI function {address} on this node")];
    };
    let function = &device.function;
    // By header type: host bridges and ISA bridges are endpoints by that, so the class counts too.
    if function.is_bridge() || matches!(function.class >> 8, 0x0600 | 0x0601) {
        return vec![format!("{address} is a bridge: it stays with the host")];
    }
    if function.class >> 8 == 0x0c05 {
        return vec![format!("{address} is the system management bus: it stays with the host")];
    }
    let mut refusals = Vec::new();
    if device.answers == Some(false) {
        refusals.push(format!(
            "{address} does not answer (its config space reads ffff): it fell off the bus, or is in D3cold"
        ));
    }
    if let Some(sriov) = device.sriov.as_ref().filter(|sriov| !sriov.vfs.is_empty()) {
        let vfs: Vec<String> = sriov.vfs.values().map(ToString::to_string).collect();
        refusals.push(format!(
            "{address} has {} virtual functions, which go when it goes: {}",
            vfs.len(),
            vfs.join(", ")
        ));
    }
    match site.groups.of(address) {
        // One sentence about the node says more than one for each device.
        None if !site.iommu.works() => refusals.push(site.iommu.sentence().to_owned()),
        None => refusals.push(format!("{address} is in no IOMMU group: no IOMMU stands between it and memory")),
        Some(group) if group.no_iommu => refusals.push(format!(
            "IOMMU group {} of {address} is one without an IOMMU (vfio's enable_unsafe_noiommu_mode): a guest could write anywhere",
            group.id
        )),
        Some(group) => {
            if let Some(region) = group.rmrr() {
                refusals.push(format!(
                    "the firmware keeps memory {:#x}-{:#x} for IOMMU group {} of {address} (RMRR), so the kernel will not let a VM have it: \
                     see the firmware's settings",
                    region.start, region.end, group.id
                ));
            }
        }
    }
    refusals.extend(interrupts(&site.iommu, site.kernel.unsafe_interrupts == Some(true)));
    refusals
}

/// VFIO lets no container have a group whose interrupts are not kept apart (kernel: drivers/vfio/vfio_iommu_type1.c,
/// iommu_group_has_isolated_msi), but says so only when QEMU starts.
fn interrupts(iommu: &Iommu, allowed: bool) -> Option<String> {
    let missing = matches!(iommu.interrupt_remapping, InterruptRemapping::Off | InterruptRemapping::Unsupported);
    if !missing || allowed || !iommu.works() {
        return None;
    }
    iommu.interrupt_sentence().map(str::to_owned)
}
