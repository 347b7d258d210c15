//! IOMMU groups (kernel: Documentation/ABI/testing/sysfs-kernel-iommu_groups).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::attribute;
use super::error::HostError;
use super::hex;
use super::root::Root;
use super::values;
use crate::base::PciAddress;

const FOLDER: &str = "sys/kernel/iommu_groups";

/// The IOMMU groups of a machine, by number. A number is good until the next boot and no longer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Groups(pub BTreeMap<u32, Group>);

/// One IOMMU group: what the IOMMU cannot tell apart, or cannot keep apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// Its number.
    pub id: u32,
    /// What the host uses it for when no VM does; `None` on kernels that do not say (before 5.11).
    #[serde(rename = "type")]
    pub kind: Option<GroupKind>,
    /// Whether VFIO made it for a device that no IOMMU guards (`enable_unsafe_noiommu_mode`).
    pub no_iommu: bool,
    /// The PCI functions in it, bridges included.
    pub members: BTreeSet<PciAddress>,
    /// What else is in it: platform devices, mediated devices.
    pub others: BTreeSet<String>,
    /// Ranges of addresses that are not free for a guest's memory.
    pub reserved_regions: Vec<ReservedRegion>,
}

/// Type of a group's default domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum GroupKind {
    /// `DMA`: translated, unmapped at once.
    Dma,
    /// `DMA-FQ`: translated, unmapped in batches.
    DmaFlushQueue,
    /// `identity`: the host's own DMA is not translated (`iommu=pt`). A VM's is, all the same.
    Identity,
    /// `auto`, `unmanaged`, and what later kernels may say.
    Other(String),
}

/// A reserved range of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReservedRegion {
    /// First address.
    #[serde(serialize_with = "hex::prefixed")]
    pub start: u64,
    /// Last address.
    #[serde(serialize_with = "hex::prefixed")]
    pub end: u64,
    /// What for.
    pub kind: RegionKind,
}

/// What a range is reserved for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum RegionKind {
    /// `direct`: the firmware wants it mapped as it is for ever (Intel's RMRR). The kernel refuses to give such a device to a VM
    /// (kernel: drivers/iommu/intel/iommu.c, "ineligible for IOMMU domain attach due to platform RMRR requirement").
    Direct,
    /// `direct-relaxable`: the same, but given up for a VM (USB and graphics).
    DirectRelaxable,
    /// `reserved`.
    Reserved,
    /// `msi`: where interrupts are written.
    Msi,
    /// What later kernels may say.
    Other(String),
}

impl Groups {
    /// Reads all groups; none without an active IOMMU.
    ///
    /// # Errors
    ///
    /// [`HostError::Read`]: the list of groups, or of a group's members, cannot be read.
    pub fn read(root: &Root) -> Result<Self, HostError> {
        let mut groups = BTreeMap::new();
        for name in root.names(FOLDER)? {
            let Some(id) = values::number(&name) else { continue };
            let group = Group::read(root, id)?;
            // A group without members is one whose last device has just gone.
            if !(group.members.is_empty() && group.others.is_empty()) {
                groups.insert(id, group);
            }
        }
        Ok(Self(groups))
    }

    /// The group of a PCI function.
    pub fn of(&self, address: PciAddress) -> Option<&Group> {
        self.0.values().find(|group| group.members.contains(&address))
    }
}

impl Group {
    fn read(root: &Root, id: u32) -> Result<Self, HostError> {
        let at = |name: &str| format!("{FOLDER}/{id}/{name}");
        let (mut members, mut others) = (BTreeSet::new(), BTreeSet::new());
        for name in root.names(at("devices"))? {
            match name.parse() {
                Ok(address) => members.insert(address),
                Err(_) => others.insert(name),
            };
        }
        Ok(Self {
            id,
            kind: attribute::text(root, &at("type")).map(GroupKind::from),
            // kernel: drivers/vfio/group.c, vfio_noiommu_group_alloc
            no_iommu: attribute::text(root, &at("name")).as_deref() == Some("vfio-noiommu"),
            members,
            others,
            reserved_regions: attribute::value(root, &at("reserved_regions"), regions).unwrap_or_default(),
        })
    }

    /// The range that keeps every device of this group from a VM, if there is one: an RMRR that is not relaxable.
    pub fn rmrr(&self) -> Option<&ReservedRegion> {
        self.reserved_regions.iter().find(|region| region.kind == RegionKind::Direct)
    }
}

impl From<String> for GroupKind {
    fn from(text: String) -> Self {
        match text.as_str() {
            "DMA" => Self::Dma,
            "DMA-FQ" => Self::DmaFlushQueue,
            "identity" => Self::Identity,
            _ => Self::Other(text),
        }
    }
}

/// The lines `start end type`.
fn regions(text: &str) -> Option<Vec<ReservedRegion>> {
    let region = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = (values::hexadecimal(fields.next()?)?, values::hexadecimal(fields.next()?)?);
        let kind = match fields.next()? {
            "direct" => RegionKind::Direct,
            "direct-relaxable" => RegionKind::DirectRelaxable,
            "reserved" => RegionKind::Reserved,
            "msi" => RegionKind::Msi,
            other => RegionKind::Other(other.to_owned()),
        };
        Some(ReservedRegion { start, end, kind })
    };
    text.lines().map(region).collect()
}

#[cfg(test)]
mod tests {
    use super::{GroupKind, Groups, RegionKind};
    use crate::host::testing::Tree;

    #[test]
    fn members_type_and_reserved_ranges() {
        let parent = "pci0000:00/0000:00:01.0";
        let tree = Tree::new()
            .pci(parent, "0000:01:00.0", "0x030000", 0)
            .group(7, parent, "0000:01:00.0")
            .link("sys/kernel/iommu_groups/7/devices/arm-smmu.0", "../../../../devices/platform/arm-smmu.0")
            .file("sys/kernel/iommu_groups/7/type", "DMA-FQ\n")
            .file(
                "sys/kernel/iommu_groups/7/reserved_regions",
                "0x00000000fee00000 0x00000000feefffff msi\n0x000000007b800000 0x000000007fffffff direct\n",
            )
            .folder("sys/kernel/iommu_groups/8/devices");
        let groups = Groups::read(&tree.root()).unwrap();
        assert_eq!(groups.0.keys().collect::<Vec<_>>(), [&7], "8 has lost its last device");
        let group = groups.of("0000:01:00.0".parse().unwrap()).unwrap();
        assert_eq!(group.kind, Some(GroupKind::DmaFlushQueue));
        assert_eq!(group.reserved_regions[0].kind, RegionKind::Msi);
        assert_eq!(group.rmrr().unwrap().start, 0x7b80_0000);
        assert!(group.others.contains("arm-smmu.0") && !group.no_iommu);
    }

    #[test]
    fn a_relaxable_range_is_no_obstacle() {
        let tree = Tree::new()
            .link("sys/kernel/iommu_groups/1/devices/0000:00:14.0", "x")
            .file("sys/kernel/iommu_groups/1/reserved_regions", "0x0 0xfff direct-relaxable\n")
            .file("sys/kernel/iommu_groups/1/name", "vfio-noiommu\n");
        let groups = Groups::read(&tree.root()).unwrap();
        assert!(groups.0[&1].rmrr().is_none() && groups.0[&1].no_iommu);
        assert_eq!(groups.0[&1].kind, None, "an old kernel does not say");
    }

    #[test]
    fn no_iommu_no_groups() {
        assert_eq!(Groups::read(&Tree::new().root()).unwrap(), Groups::default());
    }
}
