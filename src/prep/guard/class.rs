//! What can be handed over at all.

use super::Allowance;
use super::site::Site;
use crate::base::PciAddress;
use crate::host::{InterruptRemapping, Iommu, PciDevice};

/// What a function is that never goes, whoever asks.
pub(in crate::prep) fn stays(device: &PciDevice) -> Option<&'static str> {
    // By header type; host bridges and ISA bridges are endpoints by that, so the class counts, too.
    match device.function.class >> 8 {
        _ if device.function.is_bridge() => Some("a bridge"),
        0x0600 => Some("a host bridge"),
        0x0601 => Some("an ISA bridge"),
        0x0806 => Some("an IOMMU"),
        0x0c05 => Some("the system management bus"),
        _ => None,
    }
}

/// What a function is that the host has for itself: it goes if somebody means this device, not along with a class, a vendor or a group.
fn management(device: &PciDevice) -> Option<&'static str> {
    let class = device.function.class;
    match (class >> 16, class >> 8) {
        (0x05, _) => Some("a memory controller"),
        // An NVSwitch (0680) goes with the GPUs that it joins; what else bears that class belongs to the board.
        (0x06, _) => Some("a bridge of another kind"),
        (_, 0x0780) => Some("a management engine or a console"),
        (0x08, _) => Some("a system peripheral"),
        // AMD's secure processor, without which kvm_amd has no SEV.
        (0x10, _) if device.function.driver.as_deref() == Some("ccp") => Some("the platform's secure processor"),
        (_, 0x0c07) => Some("a baseboard management controller (IPMI)"),
        // Devices behind Thunderbolt go when their router goes: disks, NICs, keyboards.
        (_, 0x0c03) if class & 0xff == 0x40 => Some("a USB4 router"),
        (_, 0x1101) => Some("a performance counter"),
        (_, 0x1180) => Some("a signal processor of the platform"),
        _ => None,
    }
}

/// Why a function stays for what it is, or for the state it is in.
pub(super) fn own(site: &Site, address: PciAddress, allowance: Allowance<'_>) -> Vec<String> {
    let Some(device) = site.pci.get(address) else {
        return vec![format!("there is no PCI function {address} on this node")];
    };
    if let Some(what) = stays(device) {
        return vec![format!("{address} is {what}: it stays with the host")];
    }
    let mut refusals = Vec::new();
    if let Some(what) = management(device)
        && allowance.resource.is_some()
        && !allowance.means(site, address)
    {
        refusals.push(format!("{address} is {what}: name it by address or device id if it is meant"));
    }
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
    // kernel: net/9p/trans_virtio.c, fs/fuse/virtio_fs.c, drivers/virtio/virtio_mem.c, drivers/nvdimm/virtio_pmem.c.
    let carries = |driver: &&String| {
        ["9pnet_virtio", "virtiofs", "virtio_mem", "virtio_pmem", "virtio_iommu"].contains(&driver.as_str())
    };
    if let Some(driver) = site.virtio.get(&address).into_iter().flatten().find(carries) {
        refusals
            .push(format!("{address} carries file systems or memory of this node ({driver}): it stays with the host"));
    }
    refusals
}

/// Why nothing would stand between this function's new owner and the host.
pub(super) fn isolation(site: &Site, address: PciAddress) -> Vec<String> {
    let mut refusals = Vec::new();
    match site.groups.of(address) {
        _ if site.pci.get(address).is_none() => (),
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
