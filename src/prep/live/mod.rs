//! What the live kernel and its systemd are told, beside plain writes.
//!
//! | file | what it is |
//! |---|---|
//! | [`modules`] | loading and unloading kernel modules |
//! | `units` | systemd's units |
//! | `bus` | one D-Bus connection, one call at a time |

mod bus;
pub(crate) mod modules;
pub(crate) mod units;

use std::io;

use rustix::process::{Pid, Resource, Rlimit};

use super::action::{Action, HostFile};
use super::hand::ProcessId;
use super::trouble::Trouble;
use crate::host::Root;

/// Carries out what is neither a write nor a module.
pub(super) fn carry_out(root: &Root, action: &Action) -> Result<(), Trouble> {
    let io = |error: io::Error| Trouble::io(format_args!("cannot {action}"), &error);
    match action {
        Action::MakeFolder { folder } => {
            control_group(folder, action).and_then(|()| match std::fs::create_dir(root.path(folder.as_path())) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                outcome => outcome.map_err(io),
            })
        }
        Action::RemoveFolder { folder } => {
            control_group(folder, action).and_then(|()| match std::fs::remove_dir(root.path(folder.as_path())) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                outcome => outcome.map_err(io),
            })
        }
        Action::Sync => {
            rustix::fs::sync();
            Ok(())
        }
        Action::SetMemlock { process, soft, hard } => set_memlock(root, *process, *soft, *hard).map_err(io),
        Action::StartUnit { unit } => units::start(root, unit),
        Action::StopUnit { unit } => units::stop(root, unit),
        Action::MaskUnit { unit } => units::mask(root, unit),
        Action::UnmaskUnit { unit } => units::unmask(root, unit),
        Action::ReturnAfter { unit, seconds, start } => units::return_after(root, unit, start, *seconds),
        Action::CancelReturn { unit } => units::cancel_return(root, unit),
        Action::Write { .. }
        | Action::Await { .. }
        | Action::Pause { .. }
        | Action::LoadModule { .. }
        | Action::UnloadModule { .. }
        | Action::SetVf { .. } => Err(Trouble::new(format!("cannot {action}: this is done elsewhere"))),
    }
}

/// Folders are made and removed among control groups only.
fn control_group(folder: &HostFile, action: &Action) -> Result<(), Trouble> {
    if folder.as_path().strip_prefix("sys/fs/cgroup").is_ok_and(|below| below.components().next().is_some()) {
        Ok(())
    } else {
        Err(Trouble::new(format!("cannot {action}: it is no control group below /sys/fs/cgroup")))
    }
}

/// Limits are of whoever has the number in our own process namespace, which has to be the host's.
fn set_memlock(root: &Root, process: ProcessId, soft: Option<u64>, hard: Option<u64>) -> io::Result<()> {
    let gone = || io::Error::from(nix::errno::Errno::ESRCH);
    if !process.is_alive(root) {
        return Err(gone());
    }
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    // Between the look and this the process may end and its number be given away; numbers come round only after tens of thousands.
    rustix::process::prlimit(Some(pid), Resource::Memlock, Rlimit { current: soft, maximum: hard })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_among_control_groups_only() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("sys/fs/cgroup")).unwrap();
        let root = Root::new(tree.path());
        let make = |path: &str| carry_out(&root, &Action::MakeFolder { folder: HostFile::new(path).unwrap() });
        make("sys/fs/cgroup/ours").unwrap();
        make("sys/fs/cgroup/ours").unwrap();
        assert!(root.has("sys/fs/cgroup/ours"));
        let remove = Action::RemoveFolder { folder: HostFile::new("sys/fs/cgroup/ours").unwrap() };
        carry_out(&root, &remove).unwrap();
        carry_out(&root, &remove).unwrap();
        assert!(!root.has("sys/fs/cgroup/ours"));
        for elsewhere in ["sys/fs/x", "sys/fs/cgroup", "sys/fs/cgroup2/x"] {
            assert!(make(elsewhere).unwrap_err().message.contains("no control group"), "{elsewhere}");
        }
    }

    #[test]
    fn the_limit_of_a_later_process_with_the_same_number_is_left_alone() {
        let root = Root::new("/");
        let ours = ProcessId::of(&root, std::process::id()).unwrap();
        let other = ProcessId { started: ours.started + 1, ..ours };
        let error = set_memlock(&root, other, Some(0), Some(0)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::errno::Errno::ESRCH as i32));
    }
}
