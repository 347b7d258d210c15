//! Never a disk that somebody needs.

use super::Allowance;
use super::site::Site;
use crate::base::PciAddress;
use crate::host::block::{BlockKind, Use, What};

/// Why the disks of a function, or of functions behind it (a USB controller), stay.
pub(super) fn refusals(site: &Site, address: PciAddress, allowance: Allowance<'_>) -> Vec<String> {
    let mut refusals = Vec::new();
    let storage = site.pci.get(address).is_some_and(|device| device.function.class >> 16 == 0x01);
    // Two SSDs of one model have the same ids, and only one of them holds the host.
    if let (true, Some(resource)) = (storage, allowance.resource) {
        if !allowance.names(site, address) {
            refusals.push(format!(
                "{address} is storage: name it by address or serial, not by what it has in common with others"
            ));
        }
        if let (Some(serial), []) = (&resource.selector.serial, &*resource.selector.addresses)
            && let Some(other) = foreign_disk(site, address, serial)
        {
            refusals.push(format!(
                "{address} has more than the disk with serial {serial}: {other}; if all are meant, name it by address"
            ));
        }
    }
    let mut uses = site.blocks.uses(address);
    uses.sort_by_key(|used| (used.disk.clone(), used.device.clone()));
    let count = uses.len();
    // The first few say enough; a container host may have hundreds of mounts on its disk.
    refusals.extend(uses.iter().take(3).map(|used| said(address, used)));
    if count > 3 {
        refusals.push(format!("{} more uses of the disks of {address}", count - 3));
    }
    refusals
}

/// One use in one line.
fn said(address: PciAddress, used: &Use) -> String {
    let on = if used.device == used.disk { used.disk.clone() } else { format!("{} on {}", used.device, used.disk) };
    let what = match &used.what {
        What::Mounted { at, pid: 1, .. } => format!("is mounted at {}", at.display()),
        What::Mounted { at, pid, .. } => format!("is mounted at {} (as process {pid} sees it)", at.display()),
        What::Member { fs, uuid } => format!("is part of a mounted {fs} ({uuid})"),
        What::Swap { path } => format!("is swap ({})", path.display()),
        What::Lvm { group, volume } => format!("holds the logical volume {group}/{volume}, which is active"),
        What::Multipath { name } => format!("is a path of the multipath device {name}"),
        What::Crypt { name } => format!("holds the encrypted device {name}, which is open"),
        What::Dm { name } => format!("is under the device-mapper device {name}"),
        What::Md { name, level } => format!("is a member of {name} ({level})"),
        What::Loop { name, .. } => format!("holds what {name} shows"),
        What::Bcache => "belongs to a bcache set".to_owned(),
        What::Zfs { pools } if pools.is_empty() => "is a member of a ZFS pool".to_owned(),
        What::Zfs { pools } => format!("is a member of a ZFS pool (imported: {})", pools.join(", ")),
        What::Held { by } => format!("is held by {by}"),
    };
    format!("disk {on} of {address} {what}")
}

/// A disk of a controller other than the one whose serial number was given.
fn foreign_disk<'a>(site: &'a Site, address: PciAddress, serial: &str) -> Option<&'a str> {
    let disks = site.blocks.disks(address);
    if !disks.iter().any(|disk| disk.serial.as_deref() == Some(serial)) {
        return None;
    }
    let foreign = disks.into_iter().find(|disk| disk.serial.as_deref() != Some(serial) && disk.kind != BlockKind::Rom);
    foreign.map(|disk| disk.name.as_str())
}
