//! What stands on the disks of a PCI function: the stack followed upwards.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::Blocks;
use super::device::{BlockDevice, BlockKind};
use super::dm::Dm;
use crate::base::PciAddress;

/// A reason not to take a disk away.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// The disk beneath, by name.
    pub disk: String,
    /// The device that is used: the disk, a partition of it, or something that stands on them.
    pub device: String,
    /// By what.
    pub what: What,
}

/// What uses a block device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase", tag = "what")]
pub enum What {
    /// A mounted file system.
    Mounted {
        /// Where, in its namespace.
        at: PathBuf,
        /// Its type.
        fs: String,
        /// A process that sees it.
        pid: u32,
        /// The mount namespace.
        namespace: Option<String>,
    },
    /// A mounted file system of several devices; its mounts are found through any of them.
    Member {
        /// `btrfs` or `bcachefs`.
        fs: String,
        /// Its uuid.
        uuid: String,
    },
    /// A swap area.
    Swap {
        /// The device or file.
        path: PathBuf,
    },
    /// A logical volume that is active.
    Lvm {
        /// Its group.
        group: String,
        /// Its name.
        volume: String,
    },
    /// A disk with several paths.
    Multipath {
        /// The map's name.
        name: String,
    },
    /// An encrypted device that is open.
    Crypt {
        /// The map's name.
        name: String,
    },
    /// Another device-mapper device.
    Dm {
        /// The map's name.
        name: String,
    },
    /// A software RAID.
    Md {
        /// The array's device.
        name: String,
        /// Its level.
        level: String,
    },
    /// A loop device shows it, or a file on it.
    Loop {
        /// The loop device.
        name: String,
        /// What it shows.
        backing: String,
    },
    /// It belongs to a bcache set.
    Bcache,
    /// It is a member of a ZFS pool by what udev found on it, and pools are imported. Which pool is not known.
    Zfs {
        /// The imported pools.
        pools: Vec<String>,
    },
    /// Another device stands on it.
    Held {
        /// That device, by name.
        by: String,
    },
}

impl Blocks {
    /// Everything that stands on the disks of a PCI function, or of functions behind it. Empty if it has no disks, or they are idle as far
    /// as the kernel shows; what a disk bears without being in use is not in here.
    pub fn uses(&self, function: PciAddress) -> Vec<Use> {
        self.disks(function).into_iter().flat_map(|disk| self.uses_of(&disk.name)).collect()
    }

    /// The disks of a PCI function, or of functions behind it; no partitions.
    pub fn disks(&self, function: PciAddress) -> Vec<&BlockDevice> {
        let is = |device: &&BlockDevice| device.partition_of().is_none() && device.functions.contains(&function);
        self.devices.iter().filter(is).collect()
    }

    /// Everything that stands on one device.
    pub fn uses_of(&self, disk: &str) -> Vec<Use> {
        let mut uses = Vec::new();
        for name in self.stack(disk) {
            uses.extend(self.direct(&name).into_iter().map(|what| Use {
                disk: disk.to_owned(),
                device: name.clone(),
                what,
            }));
        }
        uses
    }

    /// A device and all that stand on it, by name: partitions, holders, loop devices, and so on upwards. Each once.
    pub fn stack(&self, disk: &str) -> Vec<String> {
        let mut found = vec![disk.to_owned()];
        let mut open = VecDeque::from([disk.to_owned()]);
        while let Some(name) = open.pop_front() {
            for above in self.above(&name) {
                if !found.contains(&above) {
                    found.push(above.clone());
                    open.push_back(above);
                }
            }
        }
        found
    }

    /// The devices directly on one. Both ends of a link are asked, for the kernel does not register every stack at both.
    fn above(&self, name: &str) -> Vec<String> {
        let own = self.device(name).map(|device| device.holders.clone()).unwrap_or_default();
        let stands = |device: &&BlockDevice| {
            let has = |names: &[String]| names.iter().any(|other| other == name);
            has(&device.slaves)
                || match &device.kind {
                    BlockKind::Partition { of } => of == name,
                    BlockKind::Md { members, .. } => has(members),
                    BlockKind::Loop { on, .. } => has(on),
                    _ => false,
                }
        };
        let mut found = own;
        for device in self.devices.iter().filter(stands) {
            if !found.contains(&device.name) {
                found.push(device.name.clone());
            }
        }
        found
    }

    /// What uses a device itself.
    fn direct(&self, name: &str) -> Vec<What> {
        let on = |names: &[String]| names.iter().any(|other| other == name);
        let mut found = Vec::new();
        for mount in self.mounts.iter().filter(|mount| on(&mount.devices)) {
            let (at, fs, namespace) = (mount.at.clone(), mount.fs.clone(), mount.namespace.clone());
            found.push(What::Mounted { at, fs, pid: mount.pid, namespace });
        }
        let pools = self.pooled.iter().filter(|pool| on(&pool.devices));
        found.extend(pools.map(|pool| What::Member { fs: pool.fs.clone(), uuid: pool.uuid.clone() }));
        let swaps = self.swaps.iter().filter(|swap| on(&swap.devices));
        found.extend(swaps.map(|swap| What::Swap { path: swap.path.clone() }));
        if let Some(device) = self.device(name) {
            if device.bcache {
                found.push(What::Bcache);
            }
            if device.udev_type.as_deref() == Some("zfs_member") && !self.zfs_pools.is_empty() {
                found.push(What::Zfs { pools: self.zfs_pools.clone() });
            }
        }
        let above = self.above(name);
        let above =
            above.iter().filter(|other| self.device(other).is_none_or(|device| device.partition_of().is_none()));
        found.extend(above.map(|other| self.what(other)));
        found
    }

    /// What a device is to the one it stands on.
    fn what(&self, above: &str) -> What {
        let name = above.to_owned();
        match self.device(above).map(|device| &device.kind) {
            Some(BlockKind::Dm(dm)) => match dm.clone() {
                Dm::Lvm { group, volume } => What::Lvm { group, volume },
                Dm::Multipath { name } => What::Multipath { name },
                Dm::Crypt { name } => What::Crypt { name },
                Dm::Other { name, .. } => What::Dm { name },
            },
            Some(BlockKind::Md { level, .. }) => What::Md { name, level: level.clone() },
            Some(BlockKind::Loop { backing, .. }) => What::Loop { name, backing: backing.clone().unwrap_or_default() },
            Some(BlockKind::Bcache) => What::Bcache,
            _ => What::Held { by: name },
        }
    }
}
