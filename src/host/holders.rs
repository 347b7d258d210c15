//! Who holds device files. No device is ever opened to find out: `/dev/vfio/N` has a single opener, and others wake up or reset.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};

use super::device::{DevT, DeviceNode, NodeKind};
use super::error::HostError;
use super::mounts::{self, MountLine};
use super::process::{Process, alive, file, is_denied, pids, process};
use super::root::Root;

/// What a search for holders found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Holders {
    /// Who holds what, by process.
    pub found: Vec<Holder>,
    /// Processes whose files we were not allowed to see. Whether they hold something is unknown; with all capabilities in the machine's
    /// own PID namespace there are none.
    pub unseen: Vec<Process>,
}

/// A process that holds a device file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Who.
    pub process: Process,
    /// What; the name is that of the node asked for.
    pub node: DeviceNode,
    /// The open descriptor; of several the lowest.
    pub descriptor: u32,
}

/// File systems that may ask another machine, or a process that does not answer, before they say anything about a file.
const REMOTE: [&str; 13] =
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "9p", "afs", "lustre", "gpfs", "beegfs", "glusterfs", "ocfs2"];

/// What one process holds.
type Held<'a> = Vec<(&'a DeviceNode, u32)>;

/// Searches the processes of the machine for holders of these device files, by device number.
///
/// Processes that come or go meanwhile may be missed: who decides by the answer asks again right before acting. A thread that has left
/// its process's table of files (CLONE_FILES undone) is not looked at, nor is memory mapped from a device whose descriptor is closed:
/// `maps` waits for the process's lock of its memory, and whoever hangs on a device may hold that for ever.
///
/// # Errors
///
/// [`HostError`]: the list of processes could not be read.
pub fn holders(root: &Root, nodes: &[DeviceNode]) -> Result<Holders, HostError> {
    let mut holders = Holders::default();
    if nodes.is_empty() {
        return Ok(holders);
    }
    for pid in pids(root)? {
        let mut held = Vec::new();
        let denied = match descriptors(root, pid, nodes, &mut held) {
            Ok(()) => false,
            Err(error) if is_denied(&error) => true,
            Err(error) => return Err(error),
        };
        if held.is_empty() && !denied {
            continue;
        }
        let Some(process) = process(root, pid)? else { continue };
        let holder = |(node, descriptor): (&DeviceNode, u32)| Holder {
            process: process.clone(),
            node: node.clone(),
            descriptor,
        };
        holders.found.extend(held.into_iter().map(holder));
        if denied {
            holders.unseen.push(process);
        }
    }
    Ok(holders)
}

/// Adds what of the nodes a process holds open.
fn descriptors<'a>(root: &Root, pid: u32, nodes: &'a [DeviceNode], held: &mut Held<'a>) -> Result<(), HostError> {
    let names = alive(root.names(file(pid, "fd")).map(Some))?.unwrap_or_default();
    let mut descriptors: Vec<u32> = names.iter().filter_map(|name| super::values::number(name)).collect();
    descriptors.sort_unstable();
    let mut remote: Option<Vec<MountLine>> = None;
    for descriptor in descriptors {
        let path = file(pid, "fd").join(descriptor.to_string());
        // Pipes, sockets and the kernel's own files have no path. The link itself is read from memory.
        let Some(target) = alive(root.link(&path))? else { continue };
        if !target.is_absolute() {
            continue;
        }
        if !target.starts_with("/dev") {
            // Looking at a file on a dead server would hang for ever.
            let remote = match &mut remote {
                Some(remote) => remote,
                none => none.insert(remote_mounts(root, pid)?),
            };
            if remote.iter().any(|mount| target.starts_with(&mount.at)) {
                continue;
            }
        }
        take(&root.path(&path), descriptor, nodes, held);
    }
    Ok(())
}

/// Adds the node that a magic link leads to, unless the process is known to hold it.
fn take<'a>(link: &Path, descriptor: u32, nodes: &'a [DeviceNode], held: &mut Held<'a>) {
    let Some((kind, number)) = device_of(link) else { return };
    if let Some(node) = nodes.iter().find(|node| node.kind == kind && node.number == number)
        && !held.iter().any(|(other, _)| *other == node)
    {
        held.push((node, descriptor));
    }
}

/// The mounts of a process that may hang.
fn remote_mounts(root: &Root, pid: u32) -> Result<Vec<MountLine>, HostError> {
    let text = alive(root.text(file(pid, "mountinfo")))?.unwrap_or_default();
    let is_remote = |mount: &MountLine| REMOTE.contains(&mount.fs.as_str()) || mount.fs.starts_with("fuse");
    Ok(mounts::parse(&text).filter(is_remote).collect())
}

/// The device that a magic link leads to; `None` if it leads to something else, or is gone. Nothing is opened, and no file system is
/// asked to look up afresh.
fn device_of(path: &Path) -> Option<(NodeKind, DevT)> {
    let data = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE).ok()?;
    let kind = match FileType::from_raw_mode(u32::from(data.stx_mode)) {
        FileType::CharacterDevice => NodeKind::Char,
        FileType::BlockDevice => NodeKind::Block,
        _ => return None,
    };
    Some((kind, DevT { major: data.stx_rdev_major, minor: data.stx_rdev_minor }))
}
