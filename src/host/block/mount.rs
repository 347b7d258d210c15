//! Mounts that stand on block devices, in every mount namespace a process is in.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::super::device::DevT;
use super::super::error::HostError;
use super::super::mounts::{MountLine, parse};
use super::super::process::{alive, file, is_denied, pids};
use super::super::root::Root;
use super::Pooled;
use super::device::{BlockDevice, BlockKind};
use super::dm::Dm;

/// A mount that stands on a block device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Where, as a process of that namespace sees it.
    #[serde(serialize_with = "super::lossy")]
    pub at: PathBuf,
    /// Type of the file system.
    pub fs: String,
    /// The devices it stands on, by name.
    pub devices: Vec<String>,
    /// A process that sees it: the first of its namespace.
    pub pid: u32,
    /// The mount namespace, `mnt:[4026531841]`; `None` if we were not allowed to see which it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// The mounts of every namespace, each namespace once. A process confined to a folder (chroot) sees only what is below it, so it
/// speaks for its folder alone.
pub(super) fn read(root: &Root, devices: &[BlockDevice], pooled: &[Pooled]) -> Result<Vec<Mount>, HostError> {
    let mut seen: BTreeSet<(String, PathBuf)> = BTreeSet::new();
    let mut unnamed: BTreeSet<String> = BTreeSet::new();
    let mut mounts = Vec::new();
    for pid in pids(root)? {
        let namespace = link(root, pid, "ns/mnt")?.map(|target| target.to_string_lossy().into_owned());
        let folder = link(root, pid, "root")?;
        if let (Some(namespace), Some(folder)) = (&namespace, folder)
            && !seen.insert((namespace.clone(), folder))
        {
            continue;
        }
        // A dead process that was not waited for has no namespace any more, which the kernel says as EINVAL.
        let Some(text) = readable(alive(root.text(file(pid, "mountinfo"))))? else { continue };
        if namespace.is_none() && !unnamed.insert(text.clone()) {
            continue;
        }
        mounts.extend(parse(&text).filter_map(|line| mount(root, line, devices, pooled, pid, namespace.as_deref())));
    }
    Ok(mounts)
}

/// The mounts PID 1 sees, those without a block device included (their `devices` are empty): the deepest one that a path begins with
/// tells where a file lies.
pub(super) fn of_init(root: &Root, devices: &[BlockDevice], pooled: &[Pooled]) -> Result<Vec<Mount>, HostError> {
    let text = readable(alive(root.text(file(1, "mountinfo"))))?.unwrap_or_default();
    let place = |line: MountLine| {
        let devices = stands_on(root, &line, devices, pooled);
        Mount { at: line.at, fs: line.fs, devices, pid: 1, namespace: None }
    };
    Ok(parse(&text).map(place).collect())
}

/// The devices a file lies on: those of the deepest mount above it, and of several at one place the last, which hides the others.
pub(super) fn devices_of(path: &Path, init: &[Mount]) -> Vec<String> {
    let above = init.iter().filter(|mount| path.starts_with(&mount.at));
    above.max_by_key(|mount| mount.at.components().count()).map(|mount| mount.devices.clone()).unwrap_or_default()
}

fn mount(
    root: &Root,
    line: MountLine,
    devices: &[BlockDevice],
    pooled: &[Pooled],
    pid: u32,
    namespace: Option<&str>,
) -> Option<Mount> {
    let devices = stands_on(root, &line, devices, pooled);
    let namespace = namespace.map(str::to_owned);
    (!devices.is_empty()).then_some(Mount { at: line.at, fs: line.fs, devices, pid, namespace })
}

/// The devices a mount stands on. A file system of its own device has that device's number; one that may have several (btrfs, bcachefs) has
/// a number without a device, and its source names one or more of them.
fn stands_on(root: &Root, line: &MountLine, devices: &[BlockDevice], pooled: &[Pooled]) -> Vec<String> {
    if let Some(device) = devices.iter().find(|device| device.number == line.number) {
        return vec![device.name.clone()];
    }
    if line.number.major != 0 || !line.source.starts_with("/dev/") || is_anybodys(&line.fs) {
        return Vec::new();
    }
    let mut names: Vec<String> = line.source.split(':').filter_map(|path| named(root, path, devices)).collect();
    if let Some(pool) =
        pooled.iter().find(|pool| pool.fs == line.fs && pool.devices.iter().any(|device| names.contains(device)))
    {
        names.extend(pool.devices.iter().filter(|device| !names.contains(device)).cloned().collect::<Vec<_>>());
    }
    names
}

/// Whether a file system is one that a user namespace may mount (kernel: FS_USERNS_MOUNT): its source is any text that somebody likes, and
/// it stands on no device.
fn is_anybodys(fs: &str) -> bool {
    const THEM: [&str; 12] = [
        "tmpfs",
        "ramfs",
        "overlay",
        "devpts",
        "mqueue",
        "proc",
        "sysfs",
        "cgroup",
        "cgroup2",
        "bpf",
        "binfmt_misc",
        "fuse",
    ];
    THEM.contains(&fs) || fs.starts_with("fuse.")
}

/// The device that a path below `/dev` means.
pub(super) fn named(root: &Root, path: &str, devices: &[BlockDevice]) -> Option<String> {
    let name = path.strip_prefix("/dev/")?;
    let is = |device: &&BlockDevice| match (&device.kind, name.strip_prefix("mapper/")) {
        (BlockKind::Dm(dm), Some(map)) => match dm {
            Dm::Lvm { group, volume } => format!("{}-{}", group.replace('-', "--"), volume.replace('-', "--")) == map,
            Dm::Multipath { name } | Dm::Crypt { name } | Dm::Other { name, .. } => name == map,
        },
        (BlockKind::Dm(Dm::Lvm { group, volume }), None) => format!("{group}/{volume}") == name || device.name == name,
        _ => device.name == name,
    };
    if let Some(device) = devices.iter().find(is) {
        return Some(device.name.clone());
    }
    // Not out of /dev and into a file system that answers when it likes.
    if name.split('/').any(|part| part == "..") {
        return None;
    }
    // A link of udev's, or a node of somebody's own: looked at, not opened.
    let number = std::fs::metadata(root.path(path)).ok()?.rdev();
    let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
    let number = DevT { major: u32::try_from(major).ok()?, minor: u32::try_from(minor).ok()? };
    devices.iter().find(|device| device.number == number).map(|device| device.name.clone())
}

/// A link of a process; `None` also if we may not see it.
fn link(root: &Root, pid: u32, name: &str) -> Result<Option<PathBuf>, HostError> {
    match alive(root.link(file(pid, name))) {
        Err(error) if is_denied(&error) => Ok(None),
        link => link,
    }
}

/// A text; `None` also if the process has no mounts to show any more.
fn readable(text: Result<Option<String>, HostError>) -> Result<Option<String>, HostError> {
    match text {
        Err(HostError::Read { source, .. }) if source.kind() == std::io::ErrorKind::InvalidInput => Ok(None),
        text => text,
    }
}
