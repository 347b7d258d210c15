//! The device files of a PCI function: everything that goes when the function goes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::device::{DevT, DeviceNode, NodeKind};
use super::error::HostError;
use super::place::{folders, function_folder, last, resolve};
use super::root::Root;
use crate::base::PciAddress;

/// NVIDIA's own major number; its devices stand outside sysfs (NVIDIA open-gpu-kernel-modules: nv-linux.h, NV_MAJOR_DEVICE_NUMBER).
const NVIDIA_MAJOR: u32 = 195;

/// The device files of a function, of everything below it in sysfs (partitions, cards, USB devices on a controller; for a bridge, all
/// devices behind it), its VFIO group and its VFIO device, those of its mediated devices, and NVIDIA's. Empty if there is no such function.
///
/// Only the number counts: a container has the same device under any name. Files that several functions share and that belong to none
/// (`/dev/nvidiactl`, `/dev/snd/seq`, `/dev/vfio/vfio`) are not among them.
///
/// # Errors
///
/// [`HostError`]: the system refused, or a file holds what the kernel does not write.
pub fn device_nodes(root: &Root, address: PciAddress) -> Result<Vec<DeviceNode>, HostError> {
    let Some(function) = function_folder(root, address)? else { return Ok(Vec::new()) };
    let mut tops = vec![function.clone()];
    tops.extend(nvme_subsystems(root, &function)?);
    let mut nodes = BTreeSet::new();
    for top in tops {
        nodes.extend(below(root, &top)?);
    }
    nodes.extend(nvidia(root, address)?);
    Ok(nodes.into_iter().collect())
}

/// The device files of one mediated device: its VFIO group and its VFIO device. Empty if there is none of this UUID.
///
/// # Errors
///
/// As for [`device_nodes`].
pub fn mdev_nodes(root: &Root, uuid: &str) -> Result<Vec<DeviceNode>, HostError> {
    let Some(folder) = resolve(root, &Path::new("sys/bus/mdev/devices").join(uuid))? else { return Ok(Vec::new()) };
    Ok(below(root, &folder)?.into_iter().collect())
}

/// The device files of everything below a folder, and of the VFIO groups of what is there.
fn below(root: &Root, top: &Path) -> Result<BTreeSet<DeviceNode>, HostError> {
    let mut nodes = BTreeSet::new();
    for folder in folders(root, top)? {
        nodes.extend(node(root, &folder)?);
        // The function's own group, and those of mediated devices below it.
        if let Some(group) = root.link_name(folder.join("iommu_group"))?
            && let Some(group) = resolve(root, &Path::new("sys/class/vfio").join(group))?
        {
            nodes.extend(node(root, &group)?);
        }
    }
    Ok(nodes)
}

/// The device file whose entry in sysfs a folder is, if it has one.
fn node(root: &Root, folder: &Path) -> Result<Option<DeviceNode>, HostError> {
    // A file that is gone by now, or one of another meaning that is called the same.
    let Some(number) = root.text(folder.join("dev"))?.as_deref().and_then(DevT::parse) else { return Ok(None) };
    let block = root.link_name(folder.join("subsystem"))?.as_deref() == Some("block");
    let kind = if block { NodeKind::Block } else { NodeKind::Char };
    let uevent = root.text(folder.join("uevent"))?.unwrap_or_default();
    let name = uevent.lines().find_map(|line| line.strip_prefix("DEVNAME=")).map(str::to_owned);
    Ok(Some(DeviceNode { kind, number, name: name.unwrap_or_else(|| last(folder)) }))
}

/// The subsystems that NVMe controllers of a function are paths to: with native multipathing the disks stand there, outside every
/// function (kernel: drivers/nvme/host/multipath.c).
pub(super) fn nvme_subsystems(root: &Root, function: &Path) -> Result<Vec<PathBuf>, HostError> {
    let controllers = root.names(function.join("nvme"))?;
    let mut found = Vec::new();
    let class = Path::new("sys/class/nvme-subsystem");
    for name in root.names(class)? {
        let Some(folder) = resolve(root, &class.join(name))? else { continue };
        if controllers.iter().any(|controller| root.has(folder.join(controller))) {
            found.push(folder);
        }
    }
    Ok(found)
}

/// What NVIDIA's driver made for a function: its number stands in the driver's own folder.
fn nvidia(root: &Root, address: PciAddress) -> Result<Option<DeviceNode>, HostError> {
    let text = root.text(format!("proc/driver/nvidia/gpus/{address}/information"))?.unwrap_or_default();
    let minor = text.lines().find_map(|line| line.strip_prefix("Device Minor:"));
    let Some(minor) = minor.and_then(|minor| super::values::number(minor.trim())) else { return Ok(None) };
    let number = DevT { major: NVIDIA_MAJOR, minor };
    Ok(Some(DeviceNode { kind: NodeKind::Char, number, name: format!("nvidia{minor}") }))
}
