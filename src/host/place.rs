//! Where a device stands in sysfs: a link of a class resolved, and the PCI functions on the way to it.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::error::HostError;
use super::root::Root;
use crate::base::PciAddress;

/// The path below the root that a link in sysfs leads to; `None` if there is no such link, or it leads out of the root.
///
/// Resolved by the letters of it: sysfs links are relative and lead to folders of `sys/devices`, on whose path there are no links
/// (kernel: fs/sysfs/symlink.c).
pub(super) fn resolve(root: &Root, link: &Path) -> Result<Option<PathBuf>, HostError> {
    let Some(target) = root.link(link)? else { return Ok(None) };
    let mut path = link.parent().unwrap_or(Path::new("")).to_owned();
    for part in target.components() {
        match part {
            Component::ParentDir if path.pop() => (),
            Component::Normal(name) => path.push(name),
            Component::CurDir => (),
            _ => return Ok(None),
        }
    }
    Ok(Some(path))
}

/// The PCI functions on a path, the nearest to the root complex first. Bridges are among them, and so is what makes a PCI bus of its own
/// behind a function (Intel VMD): whoever takes one of them away takes what is below.
pub(super) fn functions_on(path: &Path) -> Vec<PciAddress> {
    path.components().filter_map(|part| part.as_os_str().to_str()?.parse().ok()).collect()
}

/// The folder of a PCI function; `None` if there is no such function. In a captured tree of plain folders it is the entry itself.
pub(super) fn function_folder(root: &Root, address: PciAddress) -> Result<Option<PathBuf>, HostError> {
    let entry = Path::new("sys/bus/pci/devices").join(address.to_string());
    if std::fs::symlink_metadata(root.path(&entry)).is_ok_and(|data| data.is_dir()) {
        return Ok(Some(entry));
    }
    resolve(root, &entry)
}

/// Every folder from `top` downwards, itself included, without following links. Sorted.
pub(super) fn folders(root: &Root, top: &Path) -> Result<Vec<PathBuf>, HostError> {
    let mut found = Vec::new();
    let mut open = vec![top.to_owned()];
    while let Some(folder) = open.pop() {
        for name in root.names(&folder)? {
            let path = folder.join(name);
            if std::fs::symlink_metadata(root.path(&path)).is_ok_and(|data| data.is_dir()) {
                open.push(path);
            }
        }
        found.push(folder);
    }
    found.sort();
    Ok(found)
}

/// The last name of a path as text.
pub(super) fn last(path: &Path) -> String {
    path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
}
