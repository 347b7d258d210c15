//! Where a path of the host's lies on our own file system.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use crate::host::Root;

/// A path below the host's root, with all links resolved as the host itself would: an absolute one leads below the root again, and none
/// leads out of it (openat2(2), RESOLVE_IN_ROOT).
pub(super) fn real(root: &Root, below: &Path) -> io::Result<PathBuf> {
    if root.folder() == Path::new("/") {
        return std::fs::canonicalize(root.path(below));
    }
    let top = File::open(root.folder())?;
    let below = below.strip_prefix("/").unwrap_or(below);
    let found = openat2(&top, below, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)?;
    std::fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

/// Opens a path below a root to be read, with the same rules; the root may be that of another mount namespace.
pub(super) fn open(root: &Root, below: &Path) -> io::Result<File> {
    let top = File::open(root.folder())?;
    let below = below.strip_prefix("/").unwrap_or(below);
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(openat2(&top, below, flags, Mode::empty(), ResolveFlags::IN_ROOT)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_leads_out() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join("etc")).unwrap();
        std::fs::write(tree.path().join("etc/ours"), "").unwrap();
        std::os::unix::fs::symlink("/etc/ours", tree.path().join("absolute")).unwrap();
        std::os::unix::fs::symlink("../../../../etc/ours", tree.path().join("climbing")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", tree.path().join("foreign")).unwrap();
        let root = Root::new(tree.path());
        let ours = tree.path().canonicalize().unwrap().join("etc/ours");
        assert_eq!(real(&root, Path::new("/absolute")).unwrap(), ours);
        assert_eq!(real(&root, Path::new("climbing")).unwrap(), ours);
        assert_eq!(real(&root, Path::new("foreign")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
