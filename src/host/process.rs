//! Processes: who they are, and to what they belong. They come and go while one looks, so what is gone is left out.

use std::path::PathBuf;

use super::error::HostError;
use super::root::Root;
use super::units::{Owner, owner};

/// A process as a person would look for it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Its number in the PID namespace that `proc` of the root shows.
    pub pid: u32,
    /// Its short name; whoever it is may have written it.
    pub comm: String,
    /// When it was started, in clock ticks since boot: with the number it names a process once and for all.
    pub start_time: u64,
    /// Real user id.
    pub uid: Option<u32>,
    /// To which unit, pod or container it belongs.
    pub owner: Owner,
}

/// The numbers of all processes, in order.
pub(super) fn pids(root: &Root) -> Result<Vec<u32>, HostError> {
    let mut pids: Vec<u32> = root.names("proc")?.iter().filter_map(|name| super::values::number(name)).collect();
    pids.sort_unstable();
    Ok(pids)
}

/// A file of a process.
pub(super) fn file(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("proc/{pid}/{name}"))
}

/// Reads a process; `None` if it is gone.
///
/// # Errors
///
/// [`HostError::Read`]: the system refused.
pub fn process(root: &Root, pid: u32) -> Result<Option<Process>, HostError> {
    let Some(stat) = alive(root.text(file(pid, "stat")))? else { return Ok(None) };
    let Some((comm, start_time)) = parse_stat(&stat) else { return Ok(None) };
    let status = alive(root.text(file(pid, "status")))?.unwrap_or_default();
    let uid = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|ids| super::values::number(ids.split_ascii_whitespace().next()?));
    let cgroup = alive(root.text(file(pid, "cgroup")))?.unwrap_or_default();
    Ok(Some(Process { pid, comm, start_time, uid, owner: owner(&cgroup) }))
}

/// Name and start time in `stat`: `pid (name) state …`, start time is field 22 (kernel: filesystems/proc.rst). A name may hold
/// brackets and blanks, so the last bracket counts.
fn parse_stat(stat: &str) -> Option<(String, u64)> {
    let (begin, end) = (stat.find('(')?, stat.rfind(')')?);
    let start_time = stat.get(end + 1..)?.split_ascii_whitespace().nth(19)?.parse().ok()?;
    Some((stat.get(begin + 1..end)?.to_owned(), start_time))
}

/// What was read of a process; `None` also if it went away while it was read, which the kernel says as ESRCH.
pub(super) fn alive<T>(read: Result<Option<T>, HostError>) -> Result<Option<T>, HostError> {
    const ESRCH: i32 = 3;
    match read {
        Err(HostError::Read { source, .. }) if source.raw_os_error() == Some(ESRCH) => Ok(None),
        other => other,
    }
}

/// Whether the system refused for lack of rights: of PID 1 or a process with more capabilities, `fd` and `ns` are closed to us.
pub(super) fn is_denied(error: &HostError) -> bool {
    matches!(error, HostError::Read { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_brackets_and_blanks() {
        let stat = "42 (a) S (b) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9876 1 2";
        assert_eq!(parse_stat(stat), Some(("a) S (b".to_owned(), 9876)));
        assert_eq!(parse_stat("42 (a) S 1"), None);
    }

    #[test]
    fn reads_itself() {
        let me = process(&Root::new("/"), std::process::id()).unwrap().unwrap();
        assert_eq!(me.pid, std::process::id());
        assert_eq!(me.uid, Some(nix::unistd::getuid().as_raw()));
        assert_ne!(me.start_time, 0);
    }
}
