//! Whether anybody holds a block device: the kernel's own answer.

use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};

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
    let failure = |source: Errno| read_error(device, source.into());
    let no_block_device = || HostError::Shape { path: device.to_owned(), expected: "a block device" };
    // Looked at first: opening a character device does something.
    let is_block = |mode| SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFBLK;
    if !is_block(nix::sys::stat::stat(device).map_err(failure)?.st_mode) {
        return Err(no_block_device());
    }
    let flags = OFlag::O_RDONLY | OFlag::O_EXCL | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    match open(device, flags, Mode::empty()) {
        // The name may mean something else by now.
        Ok(file) if is_block(fstat(&file).map_err(failure)?.st_mode) => Ok(Hold::Free),
        Ok(_) => Err(no_block_device()),
        Err(Errno::EBUSY) => Ok(Hold::Busy),
        Err(Errno::ENOMEDIUM) => Ok(Hold::NoMedium),
        Err(source) => Err(failure(source)),
    }
}
