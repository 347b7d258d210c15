//! What the kernel means when it refuses a write: its error number alone tells nobody what to do.

use std::io;

use nix::libc;

use super::action::{Action, HostFile};
use super::trouble::Trouble;

/// File names, error numbers, and what that combination means (kernel: drivers/pci/iov.c, drivers/pci/pci.c, drivers/vfio/mdev).
const MEANINGS: &[(&str, i32, &str)] = &[
    (
        "sriov_numvfs",
        libc::ENOMEM,
        "there is no room for the VFs' memory: boot with pci=realloc, or turn on Above 4G Decoding in the BIOS",
    ),
    ("sriov_numvfs", libc::ENOENT, "the PF's driver makes no VFs, or none is bound"),
    ("sriov_numvfs", libc::EBUSY, "it has VFs already, or one of them is in use"),
    ("sriov_numvfs", libc::ERANGE, "it has fewer VFs than that"),
    ("reset_method", libc::EINVAL, "the kernel does not offer this way of resetting for it"),
    ("create", libc::ENOSPC, "the parent has no instance of this type left"),
    ("create", libc::EEXIST, "there is a mediated device with this UUID already"),
    ("current_vgpu_type", libc::EINVAL, "the GPU cannot make this vGPU type now"),
    ("current_vgpu_type", libc::EBUSY, "the vGPU is in use"),
    ("bind", libc::ENOENT, "there is no such driver: its module is not loaded"),
    ("bind", libc::ENODEV, "the driver does not know the device, or its firmware or hardware does not answer"),
];

/// The refusal of a write, with what it means where that is known.
pub(super) fn refused_write(action: &Action, file: &HostFile, error: &io::Error) -> Trouble {
    let mut trouble = Trouble::io(format_args!("cannot {action}"), error);
    let name = file.as_path().file_name().and_then(|name| name.to_str());
    let meaning = MEANINGS.iter().find(|(of, errno, _)| Some(*of) == name && error.raw_os_error() == Some(*errno));
    if let Some((.., meaning)) = meaning {
        trouble.message = format!("{}: {meaning}", trouble.message);
    }
    trouble
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_refusal_says_what_to_do() {
        let file = HostFile::new("sys/bus/pci/devices/0000:3b:00.0/sriov_numvfs").unwrap();
        let action = Action::write(file.clone(), "8");
        let trouble = refused_write(&action, &file, &io::Error::from_raw_os_error(libc::ENOMEM));
        assert!(trouble.message.ends_with("or turn on Above 4G Decoding in the BIOS"), "{trouble}");
        assert_eq!(trouble.errno, Some(libc::ENOMEM));
        let trouble = refused_write(&action, &file, &io::Error::from_raw_os_error(libc::EIO));
        assert!(trouble.message.ends_with("(os error 5)"), "{trouble}");
    }
}
