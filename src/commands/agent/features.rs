//! What Node Feature Discovery is told, in a file of its `local` source (NFD: docs, customization guide, "local feature source": a line
//! `key=value` each).

use std::io;
use std::path::Path;

use crate::agent::Status;
use crate::host::{Groups, Iommu, Root};

/// The file's name.
const FILE: &str = "virt-tailor";

/// Writes what is so now, if there is somebody to read it.
pub(super) fn tell(folder: &Path, root: &Root, status: &Status) -> io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let groups = Groups::read(root).map_err(io::Error::other)?;
    let works = Iommu::read(root, &groups).map_err(io::Error::other)?.works();
    let text = text(works, status);
    let path = folder.join(FILE);
    if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    // Hidden files are passed over, so nobody reads half of it.
    let fresh = folder.join(format!(".{FILE}"));
    std::fs::write(&fresh, text)?;
    std::fs::rename(fresh, path)
}

fn text(iommu: bool, status: &Status) -> String {
    let healthy = status.devices.values().any(|device| device.unhealthy.is_none());
    format!("virt-tailor.io/agent=true\nvirt-tailor.io/iommu={iommu}\nvirt-tailor.io/ready={}\n", iommu && healthy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_each() {
        let text = text(true, &Status::default());
        assert_eq!(text, "virt-tailor.io/agent=true\nvirt-tailor.io/iommu=true\nvirt-tailor.io/ready=false\n");
    }
}
