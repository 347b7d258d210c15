//! Mediated devices, and NVIDIA's vGPUs without them (kernel: Documentation/driver-api/vfio-mediated-device.rst; NVIDIA vGPU User Guide).
//!
//! How many can be made is asked of the vendor's driver, under locks of its own: after a driver has gone wrong these reads may hang. The
//! view of PCI functions only says where there is something to ask.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::attribute;
use super::error::HostError;
use super::pci::folder;
use super::root::Root;
use crate::base::PciAddress;

/// What can be made of a function.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Virtual {
    /// Types of mediated devices by id, `nvidia-63`.
    pub mdev_types: BTreeMap<String, MdevType>,
    /// vGPUs of NVIDIA's driver without mdev.
    pub nvidia: Option<NvidiaVgpu>,
}

/// A type of mediated devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MdevType {
    /// What people call it.
    pub name: Option<String>,
    /// How many more can be made now.
    pub available: Option<u64>,
    /// `vfio-pci`, `vfio-ccw` …
    pub device_api: Option<String>,
    /// In the vendor's words.
    pub description: Option<String>,
}

/// vGPU types of a function (mostly a virtual one) under NVIDIA's driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NvidiaVgpu {
    /// Types that can be made here now, by number: one made on a sibling changes this.
    pub creatable: BTreeMap<u32, String>,
    /// The type it is; `None` if it is none.
    pub current: Option<u32>,
}

/// The mediated devices of a machine, by UUID.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Mdevs(pub BTreeMap<String, Mdev>);

/// A mediated device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mdev {
    /// The PCI function it is part of; `None` of something that is not PCI.
    pub parent: Option<PciAddress>,
    /// Its type, `nvidia-63`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Its driver: `vfio_mdev`, `i915`, …
    pub driver: Option<String>,
    /// Its IOMMU group.
    pub iommu_group: Option<u32>,
}

impl Virtual {
    /// What can be made of a function; empty if nothing can.
    ///
    /// # Errors
    ///
    /// [`HostError::Read`]: the list of types cannot be read.
    pub fn read(root: &Root, address: PciAddress) -> Result<Self, HostError> {
        let types = format!("{}/mdev_supported_types", folder(address));
        let mut mdev_types = BTreeMap::new();
        for id in root.names(&types)? {
            let at = |name: &str| format!("{types}/{id}/{name}");
            let kind = MdevType {
                name: attribute::text(root, &at("name")),
                available: attribute::value(root, &at("available_instances"), attribute::number),
                device_api: attribute::text(root, &at("device_api")),
                description: attribute::text(root, &at("description")),
            };
            mdev_types.insert(id, kind);
        }
        Ok(Self { mdev_types, nvidia: nvidia(root, address) })
    }

    /// Whether nothing can be made.
    pub fn is_empty(&self) -> bool {
        self.mdev_types.is_empty() && self.nvidia.is_none()
    }
}

impl Mdevs {
    /// Reads all mediated devices.
    ///
    /// # Errors
    ///
    /// [`HostError::Read`]: their list cannot be read.
    pub fn read(root: &Root) -> Result<Self, HostError> {
        let mut mdevs = BTreeMap::new();
        for uuid in root.names("sys/bus/mdev/devices")? {
            let at = |name: &str| format!("sys/bus/mdev/devices/{uuid}/{name}");
            // The link leads to ../../../devices/pci0000:00/0000:00:02.0/<uuid>.
            let Some(path) = root.link(format!("sys/bus/mdev/devices/{uuid}")).ok().flatten() else { continue };
            let parent = path.parent().and_then(|path| path.file_name()).and_then(|name| name.to_str()?.parse().ok());
            let mdev = Mdev {
                parent,
                kind: attribute::link_name(root, &at("mdev_type")),
                driver: attribute::link_name(root, &at("driver")),
                iommu_group: attribute::link_name(root, &at("iommu_group")).and_then(|name| name.parse().ok()),
            };
            mdevs.insert(uuid, mdev);
        }
        Ok(Self(mdevs))
    }

    /// The mediated devices on a function.
    pub fn on(&self, parent: PciAddress) -> BTreeSet<&str> {
        self.0.iter().filter(|(_, mdev)| mdev.parent == Some(parent)).map(|(uuid, _)| uuid.as_str()).collect()
    }
}

/// NVIDIA's own attributes; `None` if there are none. The list has a heading `ID : vGPU Name`, then lines `1155 : NVIDIA A40-48Q`.
fn nvidia(root: &Root, address: PciAddress) -> Option<NvidiaVgpu> {
    let at = |name: &str| format!("{}/nvidia/{name}", folder(address));
    if !root.has(at("creatable_vgpu_types")) {
        return None;
    }
    let line = |line: &str| {
        let (id, name) = line.split_once(':')?;
        Some((id.trim().parse().ok()?, name.trim().to_owned()))
    };
    let list = attribute::text(root, &at("creatable_vgpu_types")).unwrap_or_default();
    let current = attribute::value(root, &at("current_vgpu_type"), |text| text.parse().ok());
    Some(NvidiaVgpu { creatable: list.lines().filter_map(line).collect(), current: current.filter(|kind| *kind != 0) })
}

#[cfg(test)]
mod tests {
    use super::{Mdevs, Virtual};
    use crate::base::PciAddress;
    use crate::host::testing::Tree;

    const UUID: &str = "4b20d080-1b54-4048-85b3-a6a62d165c01";

    fn address() -> PciAddress {
        "0000:00:02.0".parse().unwrap()
    }

    #[test]
    fn types_and_devices() {
        let types = "sys/devices/pci0000:00/0000:00:02.0/mdev_supported_types/i915-GVTg_V5_4";
        let device = format!("sys/devices/pci0000:00/0000:00:02.0/{UUID}");
        let tree = Tree::new()
            .pci("pci0000:00", "0000:00:02.0", "0x030000", 0)
            .file(&format!("{types}/available_instances"), "1\n")
            .file(&format!("{types}/device_api"), "vfio-pci\n")
            .file(&format!("{types}/description"), "low_gm_size: 128MB\nweight: 4\n")
            .link(&format!("{device}/mdev_type"), "../mdev_supported_types/i915-GVTg_V5_4")
            .link(&format!("{device}/iommu_group"), "../../../../kernel/iommu_groups/14")
            .link(&format!("sys/bus/mdev/devices/{UUID}"), &format!("../../../devices/pci0000:00/0000:00:02.0/{UUID}"));
        let kinds = Virtual::read(&tree.root(), address()).unwrap();
        let kind = &kinds.mdev_types["i915-GVTg_V5_4"];
        assert_eq!((kind.available, kind.device_api.as_deref(), &kind.name), (Some(1), Some("vfio-pci"), &None));
        let mdevs = Mdevs::read(&tree.root()).unwrap();
        assert_eq!(mdevs.on(address()).into_iter().collect::<Vec<_>>(), [UUID]);
        let mdev = &mdevs.0[UUID];
        assert_eq!((mdev.kind.as_deref(), mdev.iommu_group), (Some("i915-GVTg_V5_4"), Some(14)));
        assert!(mdevs.on("0000:00:03.0".parse().unwrap()).is_empty());
    }

    #[test]
    fn nvidia_without_mdev() {
        let folder = "sys/devices/pci0000:00/0000:00:02.0/nvidia";
        let list = "ID    : vGPU Name\n1155  : NVIDIA A40-1B\n1161  : NVIDIA A40-48Q\n";
        let tree = |current: &str| {
            Tree::new()
                .pci("pci0000:00", "0000:00:02.0", "0x030200", 0)
                .file(&format!("{folder}/creatable_vgpu_types"), list)
                .file(&format!("{folder}/current_vgpu_type"), current)
        };
        let read = |current| Virtual::read(&tree(current).root(), address()).unwrap().nvidia.unwrap();
        assert_eq!(read("0\n").current, None);
        assert_eq!(read("1161\n").current, Some(1161));
        assert_eq!(read("0\n").creatable[&1161], "NVIDIA A40-48Q");
        assert_eq!(read("0\n").creatable.len(), 2);
    }

    #[test]
    fn nothing_to_make() {
        let tree = Tree::new().pci("pci0000:00", "0000:00:02.0", "0x030000", 0);
        assert!(Virtual::read(&tree.root(), address()).unwrap().is_empty());
    }
}
