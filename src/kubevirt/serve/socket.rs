//! Putting a socket in its place so that nobody ever sees it half ready.
//!
//! virt-launcher takes everything in its folder for a socket: a lock, a temporary file or a socket that refuses costs it two seconds
//! each time it looks. A socket is visible from `bind` on and ready from `listen` on. So both happen in a private folder, and the
//! socket is then renamed into place, listening.
//!
//! The private folder stands in the socket's folder (a rename needs the same file system, and there is no other that we share) for
//! some ten microseconds. What a reader makes of it:
//!
//! - Since 1.6 virt-launcher lists its folder and, one level deep, the folders in it, ours among them as `hook-sidecar-N`. The private
//!   folder is one level below that, and folders there are skipped.
//! - Before 1.6 it lists only its own folder, which we share. There it would take a folder for a socket that is not ready yet, and ask
//!   again later; the socket in it cannot be seen.
//! - Somebody who reads one level deep where we bind (virt-launcher, if 1.6's way of reading met the older layout) must not find the
//!   socket in the private folder: the path would be remembered, and lead nowhere at the next call. So it is not in that folder but in
//!   a second one below, and all that such a reader finds is a folder, to be skipped.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::name::random;
use super::stale;

/// What the names of our private folders begin with.
pub(super) const PRIVATE: &str = ".virt-tailor-";

/// The folder in the private folder.
pub(super) const INNER: &str = "s";

/// Longest path that fits into a socket address, without the zero byte at its end.
const MAX_ADDRESS: usize = 107;

/// How often another private folder is made when somebody takes it for one of the past.
const ATTEMPTS: u32 = 16;

/// Why a socket cannot be put in its place.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The folder of hook sockets is not there.
    #[error("{} is not there: KubeVirt mounts it into hook sidecars; on a desk use rehearse", folder.display())]
    Missing {
        /// Where.
        folder: PathBuf,
    },
    /// The folder is not there, or not ours to write.
    #[error("cannot make a socket in {}: {what}: {error}", folder.display())]
    Folder {
        /// Where.
        folder: PathBuf,
        /// What was being done.
        what: &'static str,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Somebody serves there already.
    #[error("{} is served already, by another process", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
}

/// A socket in its place; removed when dropped.
#[derive(Debug)]
pub(super) struct Placed {
    path: PathBuf,
    /// Device and inode: somebody may have put another one in its place.
    identity: (u64, u64),
    listener: UnixListener,
    removed: bool,
}

impl Placed {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The listening socket. Whoever has it need not care for this value but to keep it.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }

    /// Removes the socket's name, if it is still ours.
    pub(super) fn remove(&mut self) {
        let is_ours =
            || fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if !std::mem::replace(&mut self.removed, true) && is_ours() {
            // If it is gone, all the better; if the folder is not ours any more, nothing can be done.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Puts a listening socket into the folder of hook sockets under a name. What had that name before is replaced.
pub(super) fn place(folder: &Path, name: &str) -> Result<Placed, SocketError> {
    match put(folder, name) {
        Err(SocketError::Folder { error, .. }) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => {
            Err(SocketError::Missing { folder: folder.to_owned() })
        }
        outcome => outcome,
    }
}

/// As [`place`], in any folder.
fn put(folder: &Path, name: &str) -> Result<Placed, SocketError> {
    let failed = |what| move |error| SocketError::Folder { folder: folder.to_owned(), what, error };
    let private = Private::make(folder).map_err(failed("its private folder"))?;
    let listener = bind(&private.inner(), name).map_err(failed("bind"))?;
    let before = private.inner().join(name);
    // Who may come to the folder may also connect: a container beside us need not run as our user.
    fs::set_permissions(&before, Permissions::from_mode(0o666)).map_err(failed("its mode"))?;
    let metadata = fs::symlink_metadata(&before).map_err(failed("its identity"))?;
    let path = folder.join(name);
    fs::rename(&before, &path).map_err(failed("rename"))?;
    Ok(Placed { path, identity: (metadata.dev(), metadata.ino()), listener, removed: false })
}

/// As [`place`], but not where somebody answers: for a name that is fixed.
pub(super) async fn place_only(folder: &Path, name: &str) -> Result<Placed, SocketError> {
    stale::remove(folder).await;
    let path = folder.join(name);
    if stale::answers(folder, name).await {
        return Err(SocketError::Taken { path });
    }
    put(folder, name)
}

/// Binds and listens, whatever the length of the path.
fn bind(folder: &Path, name: &str) -> io::Result<UnixListener> {
    UnixListener::bind(Address::of(folder, name)?.path())
}

/// A path to a socket that fits into a socket address.
#[derive(Debug)]
pub(super) struct Address {
    path: PathBuf,
    /// Of a path through `/proc/self/fd`: what keeps it valid.
    _folder: Option<File>,
}

impl Address {
    /// The path of a name in a folder; if it is too long, the one through the opened folder.
    pub(super) fn of(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        if path.as_os_str().len() <= MAX_ADDRESS {
            return Ok(Self { path, _folder: None });
        }
        let opened = File::open(folder)?;
        let path = Path::new("/proc/self/fd").join(opened.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _folder: Some(opened) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The private folder while it is there. It is locked, so that others can tell it from one of the past.
#[derive(Debug)]
struct Private {
    path: PathBuf,
    _lock: File,
}

impl Private {
    fn make(folder: &Path) -> io::Result<Self> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Self::attempt(folder) {
                // Between our making and locking it, another process that cleans up may have removed it or have it locked.
                Err(error)
                    if attempt < ATTEMPTS
                        && folder.is_dir()
                        && matches!(
                            error.kind(),
                            io::ErrorKind::NotFound | io::ErrorKind::WouldBlock | io::ErrorKind::AlreadyExists
                        ) => {}
                outcome => return outcome,
            }
        }
    }

    fn attempt(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!("{PRIVATE}{:08x}", random() >> 32));
        let private = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        private(&path)?;
        let lock = File::open(&path)?;
        if lock.try_lock().is_err() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let made = Self { path, _lock: lock };
        private(&made.inner())?;
        Ok(made)
    }

    fn inner(&self) -> PathBuf {
        self.path.join(INNER)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        stale::remove_private(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_socket_is_alone_in_its_folder_and_leaves_it_empty() {
        let folder = tempfile::tempdir().unwrap();
        let placed = place(folder.path(), "a.sock").unwrap();
        assert_eq!(entries(folder.path()), ["a.sock"]);
        UnixStream::connect(placed.path()).unwrap();
        assert_eq!(fs::metadata(placed.path()).unwrap().mode() & 0o777, 0o666);
        drop(placed);
        assert!(entries(folder.path()).is_empty());
    }

    #[test]
    fn what_took_our_place_stays() {
        let folder = tempfile::tempdir().unwrap();
        let first = place(folder.path(), "a.sock").unwrap();
        let second = place(folder.path(), "a.sock").unwrap();
        drop(first);
        assert_eq!(entries(folder.path()), ["a.sock"]);
        drop(second);
        assert!(entries(folder.path()).is_empty());
    }

    #[test]
    fn a_path_longer_than_an_address_works() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(200));
        fs::create_dir(&deep).unwrap();
        let placed = place(&deep, "a.sock").unwrap();
        assert_eq!(entries(&deep), ["a.sock"]);
        UnixStream::connect(Address::of(&deep, "a.sock").unwrap().path()).unwrap();
        drop(placed);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = place(Path::new("/nonexistent/hooks"), "a.sock").unwrap_err();
        let said = "/nonexistent/hooks is not there: KubeVirt mounts it into hook sidecars; on a desk use rehearse";
        assert_eq!(error.to_string(), said);
        // Another folder is not KubeVirt's.
        let error = put(Path::new("/nonexistent/plugin"), "a.sock").unwrap_err().to_string();
        let said = "cannot make a socket in /nonexistent/plugin: its private folder: No such file";
        assert!(error.starts_with(said), "{error}");
    }
}
