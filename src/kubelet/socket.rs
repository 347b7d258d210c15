//! The socket of one resource: its name, its place, and whether it is still there.
//!
//! kubelet removes every socket of its folder when it starts (`CleanupPluginDirectory` in `devicemanager/manager.go`).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::sys::stat::{Mode, fchmod};

/// What the names of our sockets begin and end with.
const PREFIX: &str = "virt-tailor-";
const SUFFIX: &str = ".sock";

/// So much of a resource's name is in its socket's.
const READABLE: usize = 24;

/// Longest path that fits into a socket address, without the zero byte at its end. kubelet dials by path, so there is no way round.
const MAX_PATH: usize = 107;

/// Why a socket is not in its place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// The folder is too deep.
    #[error("{} has {} bytes, and nobody can dial a path of more than {MAX_PATH}: use a shorter one, e.g. a shorter kubelet root", .0.display(), .0.as_os_str().len())]
    Long(PathBuf),
    /// Something is there that is not ours to remove.
    #[error("{} is a folder: remove it", .0.display())]
    Folder(PathBuf),
    /// The system refuses.
    #[error("cannot listen at {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// The name of a resource's socket file: always the same, short, and another for each resource.
pub(super) fn file_name(resource: &str) -> String {
    let legible = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
    // The end of a resource's name says more than its domain.
    let last = resource.rsplit('/').next().unwrap_or_default();
    let readable: String = last.chars().map(legible).take(READABLE).collect();
    format!("{PREFIX}{:08x}-{readable}{SUFFIX}", crc32fast::hash(resource.as_bytes()))
}

/// A listening socket in its place, for root alone; its name is removed when this is dropped, if it is still ours.
#[derive(Debug)]
pub(crate) struct Placed {
    path: PathBuf,
    identity: (u64, u64),
    listener: UnixListener,
    /// Whether something had the name before: a former process of ours did not end in order.
    pub(super) replaced: bool,
}

impl Placed {
    pub(crate) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the name still leads to us. (The number of our inode is not given away while we have the socket open.)
    pub(crate) fn is_there(&self) -> bool {
        identity(&self.path).is_ok_and(|found| found == self.identity)
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if self.is_there() {
            // If it is gone, all the better; if the folder is not ours any more, nothing can be done.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Puts a listening socket into a folder. What had that name before is replaced: one agent per node, so nobody listens there.
pub(crate) fn place(folder: &Path, name: &str) -> Result<Placed, PlaceError> {
    let path = folder.join(name);
    if path.as_os_str().len() > MAX_PATH {
        return Err(PlaceError::Long(path));
    }
    let replaced = match fs::symlink_metadata(&path) {
        Ok(found) if found.is_dir() => return Err(PlaceError::Folder(path)),
        Ok(_) => fs::remove_file(&path).is_ok(),
        Err(_) => false,
    };
    match listen_at(&path).and_then(|listener| Ok((listener, identity(&path)?))) {
        Ok((listener, identity)) => Ok(Placed { path, identity, listener, replaced }),
        Err(error) => Err(PlaceError::Io { path, error }),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

fn listen_at(path: &Path) -> io::Result<UnixListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // A socket's file takes its mode from the socket (Linux: unix_bind_bsd in net/unix/af_unix.c), so it never has another.
    fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR)?;
    bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &UnixAddr::new(path)?)?;
    listen(&fd, Backlog::new(64)?)?;
    Ok(UnixListener::from(fd))
}

/// Which socket of kubelet's this is: another after each start of kubelet. Numbers of inodes are used again, so the time of birth counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    file: (u64, u64),
    born: Option<SystemTime>,
}

impl Identity {
    /// Whether an equal one is the same for certain: some file systems know no time of birth.
    pub(super) fn is_certain(&self) -> bool {
        self.born.is_some()
    }

    /// Of what is at a path, if something is.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self { file: (found.dev(), found.ino()), born: found.created().ok() })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn each_resource_has_a_name_of_its_own_that_fits() {
        assert_eq!(file_name("vendor.example/gpu"), file_name("vendor.example/gpu"));
        assert!(file_name("vendor.example/gpu").ends_with("-gpu.sock"));
        assert_ne!(file_name("a.example/b"), file_name("b.example/b"));
        assert_ne!(file_name("a.example/b.c"), file_name("a.example/b-c"));
        let longest = file_name(&format!("{}.example/{}", "a".repeat(200), "b".repeat(63)));
        assert!("/var/lib/kubelet/device-plugins/".len() + longest.len() <= MAX_PATH, "{longest}");
        assert!(!file_name("../../etc/pass\0wd").contains(['/', '\0']));
    }

    #[test]
    fn a_socket_is_for_root_alone_replaces_a_stale_one_and_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        drop(UnixListener::bind(folder.path().join("a.sock")).unwrap());
        let placed = place(folder.path(), "a.sock").unwrap();
        assert!(placed.replaced && placed.is_there());
        assert_eq!(fs::metadata(placed.path()).unwrap().permissions().mode() & 0o7777, 0o600);
        UnixStream::connect(placed.path()).unwrap();
        let path = placed.path().to_owned();
        drop(placed);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_is_not_ours_any_more_stays() {
        let folder = tempfile::tempdir().unwrap();
        let placed = place(folder.path(), "a.sock").unwrap();
        fs::remove_file(placed.path()).unwrap();
        assert!(!placed.is_there());
        let other = UnixListener::bind(placed.path()).unwrap();
        assert!(!placed.is_there());
        drop(placed);
        assert!(folder.path().join("a.sock").exists());
        drop(other);
    }

    #[test]
    fn what_cannot_be_is_said_in_a_line() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a.sock")).unwrap();
        assert!(place(folder.path(), "a.sock").unwrap_err().to_string().ends_with("a.sock is a folder: remove it"));
        let deep = folder.path().join("d".repeat(120));
        assert!(place(&deep, "a.sock").unwrap_err().to_string().contains("a shorter kubelet root"));
        let error = place(Path::new("/nonexistent"), "a.sock").unwrap_err().to_string();
        assert!(error.starts_with("cannot listen at /nonexistent/a.sock: "), "{error}");
    }
}
