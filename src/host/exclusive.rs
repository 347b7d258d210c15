//! Whether anybody holds a block device: the kernel's own answer.

use std::fs::File;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, major, minor};

use super::device::DevT;
use super::error::HostError;
use super::folder::read_error;

/// Whether a block device is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Hold {
    /// Nobody holds it exclusively. Somebody may have it open all the same: see [`holders`](super::holders()).
    Free,
    /// Mounted, swapped to, part of something, or opened with O_EXCL by a program; the same for a disk one of whose partitions is held.
    Busy,
    /// There is no medium in the drive.
    NoMedium,
}

/// What a claim came to.
#[derive(Debug)]
pub enum Claim {
    /// It is ours for as long as this file is open.
    Free(File),
    /// As [`Hold::Busy`].
    Busy,
    /// As [`Hold::NoMedium`].
    NoMedium,
}

/// Asks for a block device exclusively and gives it back at once. Without O_CREAT, O_EXCL on a block device means the exclusive claim
/// that file systems, swap, dm, md and ZFS make (open(2); kernel: block/bdev.c, bd_prepare_to_claim).
///
/// The one check that needs no list of who could use a disk, and the only one here that opens a device: it is for block devices, and must
/// never be asked of anything else. It lets a sleeping disk spin up.
///
/// # Errors
///
/// [`HostError::Read`]: there is no such device, or the system refused. [`HostError::Shape`]: this is no block device.
pub fn exclusive(device: &Path) -> Result<Hold, HostError> {
    Ok(match open_exclusively(device, None)? {
        Claim::Free(_) => Hold::Free,
        Claim::Busy => Hold::Busy,
        Claim::NoMedium => Hold::NoMedium,
    })
}

/// The same, and keeps it for reading; the file has to be that of the device of this number, whatever its name.
///
/// # Errors
///
/// As for [`exclusive`], and [`HostError::Shape`] if it is another device.
pub fn claim(device: &Path, number: DevT) -> Result<Claim, HostError> {
    open_exclusively(device, Some(number))
}

fn open_exclusively(device: &Path, number: Option<DevT>) -> Result<Claim, HostError> {
    let failure = |source: Errno| read_error(device, source.into());
    let no_block_device = |expected| HostError::Shape { path: device.to_owned(), expected };
    let check = |data: FileStat| {
        if SFlag::from_bits_truncate(data.st_mode) & SFlag::S_IFMT != SFlag::S_IFBLK {
            return Err(no_block_device("a block device"));
        }
        let is =
            |number: DevT| (major(data.st_rdev), minor(data.st_rdev)) == (number.major.into(), number.minor.into());
        if number.is_none_or(is) { Ok(()) } else { Err(no_block_device("the device of that name in /sys")) }
    };
    // Looked at first: opening a character device does something.
    check(nix::sys::stat::stat(device).map_err(failure)?)?;
    let flags = OFlag::O_RDONLY | OFlag::O_EXCL | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    match open(device, flags, Mode::empty()) {
        Ok(file) => {
            // The name may mean something else by now.
            check(fstat(&file).map_err(failure)?)?;
            Ok(Claim::Free(file.into()))
        }
        Err(Errno::EBUSY) => Ok(Claim::Busy),
        Err(Errno::ENOMEDIUM) => Ok(Claim::NoMedium),
        Err(source) => Err(failure(source)),
    }
}
