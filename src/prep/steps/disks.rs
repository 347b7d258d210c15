//! The last look at disks that are about to go: the kernel's own word on whether they are in use, and what they bear.
//!
//! A step without moves. It runs in the expendable process, for a disk that has died may not answer: neither the claim nor a read need
//! come back.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::PciAddress;
use crate::host::block::{BlockDevice, BlockKind, Blocks};
use crate::host::signature::signatures;
use crate::host::{Claim, Root, claim};
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;

/// A disk that sleeps takes up to half a minute to spin up, and the kernel's own patience with one request is as long (kernel:
/// Documentation/ABI/stable/sysfs-block-device for SCSI, drivers/nvme/host/core.c, io_timeout).
const WITHIN: Duration = Duration::from_secs(60);

/// Look at the disks of this function, right before it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckDisks {
    /// Which.
    pub address: PciAddress,
    /// Whether a disk may go that bears a file system or the like. One that is in use never goes.
    pub may_hold_data: bool,
}

/// The disks and partitions of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DisksState(pub Vec<DiskState>);

/// One disk or partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskState {
    /// Its name.
    pub name: String,
    /// Whether the kernel gives it to us alone.
    pub claim: DiskClaim,
    /// Devices that stand on it, by name.
    pub holders: Vec<String>,
    /// What it bears, by name: file systems, LVM, LUKS, md, ZFS, Ceph. Not looked at where it may bear anything.
    pub bears: Vec<String>,
}

/// What the kernel says to an exclusive claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DiskClaim {
    /// Nobody else has it.
    Free,
    /// Somebody has it.
    Busy,
    /// A drive without a medium.
    NoMedium,
}

impl Kind for CheckDisks {
    type State = DisksState;

    fn describe(&self) -> String {
        match self.may_hold_data {
            false => format!("see that the disks of {} are idle and empty", self.address),
            true => format!("see that the disks of {} are idle", self.address),
        }
    }

    fn effect(&self) -> Effect {
        Effect::exclusive(format!("disks of {}", self.address)).of(self.address)
    }

    fn is_check(&self) -> bool {
        true
    }

    fn observe_within(&self) -> Duration {
        WITHIN
    }

    fn observe(&self, root: &Root) -> Result<DisksState, Trouble> {
        let blocks = Blocks::read(root)?;
        let ours = |device: &&BlockDevice| device.functions.contains(&self.address) && holds_something(device);
        blocks
            .devices
            .iter()
            .filter(ours)
            .map(|device| self.look(root, &blocks, device))
            .collect::<Result<_, _>>()
            .map(DisksState)
    }

    fn wanted(&self, now: &DisksState) -> Result<DisksState, Trouble> {
        let refusals: Vec<String> = now.0.iter().filter_map(|disk| self.refusal(disk)).collect();
        match refusals.split_first() {
            None => Ok(now.clone()),
            Some((first, [])) => Err(Trouble::new(first.clone())),
            Some((first, rest)) => {
                Err(Trouble::new(format!("{first} (and {} more of its disks and partitions)", rest.len())))
            }
        }
    }

    fn moves(&self, _from: &DisksState, _to: &DisksState, _attempt: u32) -> Vec<Action> {
        Vec::new()
    }

    fn undone(&self, _original: &DisksState, _wanted: &DisksState, now: &DisksState) -> DisksState {
        now.clone()
    }

    fn reached(&self, _goal: &DisksState, _now: &DisksState) -> Reached {
        Reached::Yes
    }
}

impl CheckDisks {
    /// One disk or partition as it is.
    fn look(&self, root: &Root, blocks: &Blocks, device: &BlockDevice) -> Result<DiskState, Trouble> {
        // In /dev a `!` of the kernel's name is a slash (kernel: drivers/base/core.c, device_get_devnode).
        let path: PathBuf = root.path("dev").join(device.name.replace('!', "/"));
        let mut holders = device.holders.clone();
        holders.extend(blocks.stack(&device.name).into_iter().skip(1).filter(|above| {
            let partition = blocks.device(above).is_some_and(|above| above.partition_of().is_some());
            !partition && !device.holders.contains(above)
        }));
        let (claim, bears) = match claim(&path, device.number)? {
            Claim::Busy => (DiskClaim::Busy, Vec::new()),
            Claim::NoMedium => (DiskClaim::NoMedium, Vec::new()),
            Claim::Free(_) if self.may_hold_data || device.size == 0 => (DiskClaim::Free, Vec::new()),
            Claim::Free(mut file) => {
                let found = signatures(&mut file, device.size).map_err(|error| {
                    Trouble::io(
                        format_args!("what disk {} of {} bears cannot be read", device.name, self.address),
                        &error,
                    )
                })?;
                let data = found.iter().filter(|one| one.is_data()).map(|one| one.name.to_owned());
                (DiskClaim::Free, data.collect())
            }
        };
        Ok(DiskState { name: device.name.clone(), claim, holders, bears })
    }

    /// Why one stays, if it does.
    fn refusal(&self, disk: &DiskState) -> Option<String> {
        let who = format!("disk {} of {}", disk.name, self.address);
        if !disk.holders.is_empty() {
            return Some(format!("{who} is in use: {} stands on it", disk.holders.join(", ")));
        }
        if disk.claim == DiskClaim::Busy {
            return Some(format!(
                "{who} is in use: the kernel does not give it to anyone else (mounted, or opened exclusively)"
            ));
        }
        if !self.may_hold_data && !disk.bears.is_empty() {
            return Some(format!(
                "{who} bears {}: mayHoldData: true in the resource hands it over with its data",
                disk.bears.join(", ")
            ));
        }
        None
    }
}

/// Whether this is a disk or a partition, and not something made of them.
fn holds_something(device: &BlockDevice) -> bool {
    matches!(device.kind, BlockKind::Disk | BlockKind::Rom | BlockKind::Partition { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(may_hold_data: bool) -> CheckDisks {
        CheckDisks { address: "0000:01:00.0".parse().unwrap(), may_hold_data }
    }

    fn disk(claim: DiskClaim, holders: &[&str], bears: &[&str]) -> DiskState {
        let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        DiskState { name: "nvme0n1".to_owned(), claim, holders: texts(holders), bears: texts(bears) }
    }

    fn said(may_hold_data: bool, disks: &[DiskState]) -> String {
        match check(may_hold_data).wanted(&DisksState(disks.to_vec())) {
            Ok(_) => "goes".to_owned(),
            Err(trouble) => trouble.message,
        }
    }

    #[test]
    fn idle_and_empty_disks_go() {
        assert_eq!(said(false, &[]), "goes", "nothing behind it");
        assert_eq!(said(false, &[disk(DiskClaim::Free, &[], &[])]), "goes");
        assert_eq!(said(false, &[disk(DiskClaim::NoMedium, &[], &[])]), "goes", "an empty drive");
    }

    #[test]
    fn data_goes_only_where_it_may() {
        let data = [disk(DiskClaim::Free, &[], &["ext4", "LVM2_member"])];
        assert_eq!(
            said(false, &data),
            "disk nvme0n1 of 0000:01:00.0 bears ext4, LVM2_member: mayHoldData: true in the resource hands it over with its data"
        );
        assert_eq!(said(true, &data), "goes");
    }

    #[test]
    fn what_is_in_use_never_goes() {
        for may_hold_data in [false, true] {
            assert_eq!(
                said(may_hold_data, &[disk(DiskClaim::Busy, &[], &[])]),
                "disk nvme0n1 of 0000:01:00.0 is in use: the kernel does not give it to anyone else (mounted, or opened exclusively)"
            );
            assert_eq!(
                said(may_hold_data, &[disk(DiskClaim::Free, &["md127", "dm-0"], &[])]),
                "disk nvme0n1 of 0000:01:00.0 is in use: md127, dm-0 stands on it"
            );
        }
        let two = [disk(DiskClaim::Busy, &[], &[]), disk(DiskClaim::Busy, &[], &[])];
        assert!(said(true, &two).ends_with("(and 1 more of its disks and partitions)"));
    }

    #[test]
    fn it_holds_whatever_has_become_of_the_disks_since() {
        let (before, after) = (DisksState(vec![disk(DiskClaim::Free, &[], &[])]), DisksState(Vec::new()));
        assert_eq!(check(false).reached(&before, &after), Reached::Yes, "they have gone with their driver");
        assert_eq!(check(false).undone(&before, &before, &after), after);
        assert_eq!(check(false).moves(&before, &after, 0), []);
    }
}
