//! Swap areas.

use std::path::{Path, PathBuf};

use super::super::error::HostError;
use super::super::mounts::unescape;
use super::super::root::Root;
use super::device::BlockDevice;
use super::mount::{Mount, devices_of, named};

/// A swap area.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swap {
    /// The device or the file.
    #[serde(serialize_with = "super::lossy")]
    pub path: PathBuf,
    /// The devices it stands on, by name; of a file those of its file system. Empty if that is not known.
    pub devices: Vec<String>,
}

/// Reads `/proc/swaps`: a heading, then path, type, size, used, priority (kernel: mm/swapfile.c, swap_show). A path with blanks is escaped.
pub(super) fn read(root: &Root, devices: &[BlockDevice], init: &[Mount]) -> Result<Vec<Swap>, HostError> {
    let text = root.text("proc/swaps")?.unwrap_or_default();
    let swap = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (path, kind) = (unescape(fields.next()?), fields.next()?);
        let on = match kind {
            "partition" => named(root, &path, devices).into_iter().collect(),
            _ => devices_of(Path::new(&path), init),
        };
        Some(Swap { path: path.into(), devices: on })
    };
    Ok(text.lines().skip(1).filter_map(swap).collect())
}
