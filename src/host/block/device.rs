//! One block device as sysfs shows it.

use std::path::{Path, PathBuf};

use super::super::device::DevT;
use super::super::error::HostError;
use super::super::place::{functions_on, last, resolve};
use super::super::root::Root;
use super::super::values;
use super::dm::{Dm, dm};
use super::mount::Mount;
use crate::base::PciAddress;

/// `size` counts in these, whatever the device's own sectors are (kernel: Documentation/ABI/stable/sysfs-block).
const SECTOR: u64 = 512;

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockDevice {
    /// The kernel's name: `sda`, `nvme0n1p2`, `dm-0`.
    pub name: String,
    /// Its number.
    pub number: DevT,
    /// Size in bytes.
    pub size: u64,
    /// What it is.
    pub kind: BlockKind,
    /// Devices that stand on it, by name, as the kernel registers them (dm, md, bcache, DRBD).
    pub holders: Vec<String>,
    /// Devices that it stands on.
    pub slaves: Vec<String>,
    /// The PCI functions on the way to it, nearest to the root complex first; of a disk with several paths those of all paths. Empty for
    /// what stands on other devices, and for disks of the network.
    pub functions: Vec<PciAddress>,
    /// Whether it hangs on USB.
    pub usb: bool,
    /// Whether it belongs to a bcache set, as cache or as what is cached.
    pub bcache: bool,
    /// Whether its medium can be taken out (a whole USB stick says so, too).
    pub removable: bool,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// Serial number, where sysfs has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// World-wide id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wwid: Option<String>,
    /// Model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What udev found on it when it last looked (ID_FS_TYPE: `ext4`, `LVM2_member`, `zfs_member`). A hint: what a program wrote past
    /// udev is not in it. [`signatures`](super::super::signature::signatures) reads the device itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udev_type: Option<String>,
}

/// What kind of block device it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum BlockKind {
    /// A disk, or what presents itself as one.
    Disk,
    /// A drive for optical media (SCSI type 5).
    Rom,
    /// A partition of a disk.
    Partition {
        /// The disk, by name.
        of: String,
    },
    /// A device-mapper device.
    Dm(Dm),
    /// A software RAID.
    Md {
        /// `raid1`; empty while it is not assembled.
        level: String,
        /// Members, by name.
        members: Vec<String>,
    },
    /// A loop device.
    Loop {
        /// The file or device it shows; `None` while it shows none.
        backing: Option<String>,
        /// The devices that file lies on, or that device, by name. Empty if that is not known.
        on: Vec<String>,
    },
    /// A cached device of bcache.
    Bcache,
    /// Memory (zram, ram).
    Memory,
}

impl BlockDevice {
    /// The PCI function nearest to the device; of several paths the one that was found last.
    pub fn function(&self) -> Option<PciAddress> {
        self.functions.last().copied()
    }

    /// The disk that this is a partition of.
    pub fn partition_of(&self) -> Option<&str> {
        match &self.kind {
            BlockKind::Partition { of } => Some(of),
            _ => None,
        }
    }
}

/// Reads all of them, by name.
pub(super) fn read(root: &Root) -> Result<Vec<BlockDevice>, HostError> {
    let class = Path::new("sys/class/block");
    let mut devices = Vec::new();
    for name in root.names(class)? {
        if let Some(folder) = resolve(root, &class.join(&name))? {
            devices.extend(device(root, name, &folder)?);
        }
    }
    nvme_paths(root, &mut devices)?;
    Ok(devices)
}

/// Reads one; `None` if it has no number, or is gone.
fn device(root: &Root, name: String, folder: &Path) -> Result<Option<BlockDevice>, HostError> {
    let Some(number) = root.value(folder.join("dev"), "a device number", DevT::parse)? else { return Ok(None) };
    let plain = |text: &str| text.parse::<u64>().ok();
    let Some(sectors) = root.value(folder.join("size"), "a number of sectors", plain)? else { return Ok(None) };
    let is_set = |file: &str| -> Result<bool, HostError> { Ok(root.text(folder.join(file))?.as_deref() == Some("1")) };
    let partition = root.has(folder.join("partition"));
    // A partition says nothing of the disk again; where it does not, its disk is the folder above.
    let disk = if partition { folder.parent().unwrap_or(folder) } else { folder };
    let disk_text = |files: &[&str]| -> Result<Option<String>, HostError> {
        for file in files {
            // Some attributes ask the device, which may not answer: no reason to know nothing else.
            if let Some(text) = root.text(disk.join(file)).ok().flatten().filter(|text| !text.is_empty()) {
                return Ok(Some(text));
            }
        }
        Ok(None)
    };
    // In a container it is the host's that counts.
    let data = |root: &Root| root.text(format!("run/udev/data/b{number}"));
    let udev = match data(root)? {
        Some(text) => text,
        None => data(&root.of_first()).ok().flatten().unwrap_or_default(),
    };
    let udev = |key: &str| {
        udev.lines().find_map(|line| line.strip_prefix("E:")?.strip_prefix(key)?.strip_prefix('=').map(str::to_owned))
    };
    // Only virtio has `serial` here, and asks the device for it, who may not answer; so last, after what udev was told
    // (60-persistent-storage.rules: of these it calls that ID_SERIAL).
    let mut serial = disk_text(&["device/serial"])?.or_else(|| udev("ID_SERIAL_SHORT"));
    if serial.is_none() && root.has(disk.join("serial")) {
        serial = udev("ID_SERIAL");
    }
    if serial.is_none() {
        serial = disk_text(&["serial"])?;
    }
    Ok(Some(BlockDevice {
        number,
        size: sectors.saturating_mul(SECTOR),
        kind: kind(root, &name, folder, partition)?,
        holders: root.names(folder.join("holders"))?,
        slaves: root.names(folder.join("slaves"))?,
        functions: functions_on(folder),
        usb: folder.components().any(|part| {
            part.as_os_str().to_string_lossy().strip_prefix("usb").is_some_and(|bus| values::number(bus).is_some())
        }),
        bcache: root.has(folder.join("bcache")) && !name.starts_with("bcache"),
        removable: root.text(disk.join("removable"))?.as_deref() == Some("1"),
        read_only: is_set("ro")?,
        serial,
        wwid: disk_text(&["wwid", "device/wwid"])?,
        model: disk_text(&["device/model"])?,
        udev_type: udev("ID_FS_TYPE"),
        name,
    }))
}

/// What kind it is, by the attributes that only such a device has.
fn kind(root: &Root, name: &str, folder: &Path, partition: bool) -> Result<BlockKind, HostError> {
    let text = |file: &str| Ok::<_, HostError>(root.text(folder.join(file))?.unwrap_or_default());
    if partition {
        return Ok(BlockKind::Partition { of: folder.parent().map(last).unwrap_or_default() });
    }
    if root.has(folder.join("dm")) {
        return Ok(BlockKind::Dm(dm(text("dm/name")?, text("dm/uuid")?)));
    }
    if root.has(folder.join("md")) {
        let mut members = Vec::new();
        for member in root.names(folder.join("md"))?.iter().filter(|file| file.starts_with("dev-")) {
            members.extend(root.link_name(folder.join("md").join(member).join("block"))?);
        }
        return Ok(BlockKind::Md { level: text("md/level")?, members });
    }
    if root.has(folder.join("loop")) || name.strip_prefix("loop").is_some_and(|rest| values::number(rest).is_some()) {
        let backing = root.text(folder.join("loop/backing_file"))?.filter(|path| !path.is_empty());
        return Ok(BlockKind::Loop { backing, on: Vec::new() });
    }
    if name.starts_with("zram") || name.starts_with("ram") {
        return Ok(BlockKind::Memory);
    }
    // The cached device calls itself bcacheN; `bcache` in a disk's own folder makes it a backing or cache device instead.
    if name.starts_with("bcache") {
        return Ok(BlockKind::Bcache);
    }
    // SCSI peripheral device type 5 (SCSI SPC, standard INQUIRY data).
    if root.text(folder.join("device/type")).ok().flatten().as_deref() == Some("5") {
        return Ok(BlockKind::Rom);
    }
    Ok(BlockKind::Disk)
}

/// Adds the functions beneath NVMe disks that stand in a subsystem instead of below one controller.
fn nvme_paths(root: &Root, devices: &mut [BlockDevice]) -> Result<(), HostError> {
    let class = Path::new("sys/class/nvme-subsystem");
    let mut subsystems: Vec<(PathBuf, Vec<PciAddress>)> = Vec::new();
    for name in root.names(class)? {
        let Some(folder) = resolve(root, &class.join(name))? else { continue };
        let mut functions = Vec::new();
        for controller in root.names(&folder)? {
            let path = folder.join(&controller);
            if std::fs::symlink_metadata(root.path(&path)).is_ok_and(|data| data.is_symlink())
                && let Some(target) = resolve(root, &path)?
            {
                functions.extend(
                    functions_on(&target)
                        .into_iter()
                        .filter(|function| !functions.contains(function))
                        .collect::<Vec<_>>(),
                );
            }
        }
        subsystems.push((folder, functions));
    }
    let class = Path::new("sys/class/block");
    for device in devices {
        let Some(folder) = resolve(root, &class.join(&device.name))? else { continue };
        if let Some((_, functions)) = subsystems.iter().find(|(subsystem, _)| folder.starts_with(subsystem)) {
            device.functions.clone_from(functions);
        }
    }
    Ok(())
}

/// Finds on which devices the backing files of loop devices lie, among the mounts that PID 1 sees.
pub(super) fn find_backing(devices: &mut [BlockDevice], init: &[Mount]) {
    let names: Vec<String> = devices.iter().map(|device| device.name.clone()).collect();
    for device in devices {
        let BlockKind::Loop { backing: Some(backing), on } = &mut device.kind else { continue };
        *on = match backing.strip_prefix("/dev/").filter(|name| names.iter().any(|known| known == name)) {
            Some(name) => vec![name.to_owned()],
            None => super::mount::devices_of(Path::new(backing), init),
        };
    }
}
