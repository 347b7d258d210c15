//! Block devices, and what stands on them: mounts in every mount namespace, swap, and the stacks of dm, md, loop and the rest.

mod device;
mod dm;
mod mount;
mod stack;
mod swap;

use std::path::Path;

pub use device::{BlockDevice, BlockKind};
pub use dm::Dm;
pub use mount::Mount;
pub use stack::{Use, What};
pub use swap::Swap;

use super::device::DevT;
use super::error::HostError;
use super::root::Root;

/// The block devices of a machine and what stands on them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blocks {
    /// Every block device with a number, by name. (A path of a multipath NVMe disk has none; the disk has.)
    pub devices: Vec<BlockDevice>,
    /// Every mount that stands on a block device, once for each place in each mount namespace.
    pub mounts: Vec<Mount>,
    /// Every swap area.
    pub swaps: Vec<Swap>,
    /// Mounted btrfs and bcachefs file systems: which devices each is made of.
    pub pooled: Vec<Pooled>,
    /// Imported ZFS pools. The kernel does not say on which disks they are: see [`What::Zfs`].
    pub zfs_pools: Vec<String>,
}

/// A mounted file system that is made of several devices.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pooled {
    /// `btrfs` or `bcachefs`.
    pub fs: String,
    /// Its uuid.
    pub uuid: String,
    /// The devices, by name.
    pub devices: Vec<String>,
}

impl Blocks {
    /// Reads the block devices of a machine and what stands on them.
    ///
    /// What cannot be seen from here: a mount in a namespace that no process is in (kept by an open file or a bind mount), and one that was
    /// detached while in use. Neither lets go of the device, so [`exclusive`](super::exclusive) tells.
    ///
    /// # Errors
    ///
    /// [`HostError`]: the system refused, or a file holds what the kernel does not write.
    pub fn read(root: &Root) -> Result<Self, HostError> {
        let mut devices = device::read(root)?;
        let pooled = pooled(root)?;
        let mounts = mount::read(root, &devices, &pooled)?;
        let init = mount::of_init(root, &devices, &pooled)?;
        let swaps = swap::read(root, &devices, &init)?;
        device::find_backing(&mut devices, &init);
        let zfs_pools = zfs_pools(root)?;
        Ok(Self { devices, mounts, swaps, pooled, zfs_pools })
    }

    /// The device of this kernel name.
    pub fn device(&self, name: &str) -> Option<&BlockDevice> {
        self.devices.iter().find(|device| device.name == name)
    }

    /// The device of this number.
    pub fn by_number(&self, number: DevT) -> Option<&BlockDevice> {
        self.devices.iter().find(|device| device.number == number)
    }
}

/// A path as text: what is not UTF-8 in it must not keep everything else from being said.
fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// The file systems of several devices that are mounted: they are in sysfs only for so long (kernel: fs/btrfs/sysfs.c, fs/bcachefs/sysfs.c).
fn pooled(root: &Root) -> Result<Vec<Pooled>, HostError> {
    let mut found = Vec::new();
    let btrfs = Path::new("sys/fs/btrfs");
    for uuid in root.names(btrfs)? {
        let devices = root.names(btrfs.join(&uuid).join("devices"))?;
        if !devices.is_empty() {
            found.push(Pooled { fs: "btrfs".to_owned(), uuid, devices });
        }
    }
    let bcachefs = Path::new("sys/fs/bcachefs");
    for uuid in root.names(bcachefs)? {
        let mut devices = Vec::new();
        for name in root.names(bcachefs.join(&uuid))?.iter().filter(|name| name.starts_with("dev-")) {
            devices.extend(root.link_name(bcachefs.join(&uuid).join(name).join("block"))?);
        }
        if !devices.is_empty() {
            found.push(Pooled { fs: "bcachefs".to_owned(), uuid, devices });
        }
    }
    Ok(found)
}

/// The imported pools: each has a folder with its state (OpenZFS: module/os/linux/spl/spl-kstat.c).
fn zfs_pools(root: &Root) -> Result<Vec<String>, HostError> {
    let folder = Path::new("proc/spl/kstat/zfs");
    Ok(root.names(folder)?.into_iter().filter(|name| root.has(folder.join(name).join("state"))).collect())
}
