//! Watching kubelet's device plugin folder: the system tells of changes, and where it does not, we look.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

/// How often to look where the system does not tell.
const BLIND: Duration = Duration::from_secs(1);

/// A watched folder. It need not be there yet.
#[derive(Debug)]
pub(super) struct Watch {
    folder: PathBuf,
    events: Option<AsyncFd<Events>>,
    rescan: Duration,
}

/// inotify, as tokio wants it.
#[derive(Debug)]
struct Events(Inotify);

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Watch {
    pub(super) fn new(folder: &Path, rescan: Duration) -> Self {
        Self { folder: folder.to_owned(), events: open(folder).ok(), rescan: rescan.max(BLIND) }
    }

    /// Waits until something may have changed. Says whether a file of a given name was certainly made anew.
    pub(super) async fn changed(&mut self, name: &str) -> bool {
        let Some(events) = &self.events else {
            // The folder was not there, or there are no more watches to be had.
            sleep(BLIND).await;
            self.events = open(&self.folder).ok();
            return false;
        };
        tokio::select! {
            seen = read(events, OsStr::new(name)) => match seen {
                Some(made) => made,
                None => {
                    self.events = open(&self.folder).ok();
                    false
                }
            },
            () = sleep(self.rescan) => false,
        }
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe, for descriptors that are closed while they are registered; this one is owned, and closed after"
)]
fn open(folder: &Path) -> io::Result<AsyncFd<Events>> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let changes = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVE;
    let itself = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_ONLYDIR;
    inotify.add_watch(folder, changes | itself)?;
    AsyncFd::new(Events(inotify))
}

/// What the next events say: whether `name` was made; nothing if the folder itself has gone.
async fn read(events: &AsyncFd<Events>, name: &OsStr) -> Option<bool> {
    loop {
        let mut ready = events.readable().await.ok()?;
        let seen = match ready.get_inner().0.read_events() {
            Ok(seen) => seen,
            Err(Errno::EAGAIN | Errno::EINTR) => {
                ready.clear_ready();
                continue;
            }
            Err(_) => return None,
        };
        let gone = AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
        if seen.iter().any(|event| event.mask.intersects(gone)) {
            return None;
        }
        let made = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
        return Some(seen.iter().any(|event| event.mask.intersects(made) && event.name.as_deref() == Some(name)));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_folder_is_watched_through_its_own_removal() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("plugins");
        fs::create_dir(&folder).unwrap();
        let mut watch = Watch::new(&folder, Duration::from_secs(600));
        fs::write(folder.join("other"), "").unwrap();
        assert!(!watch.changed("kubelet.sock").await);
        fs::write(folder.join("kubelet.sock"), "").unwrap();
        assert!(watch.changed("kubelet.sock").await);
        fs::remove_dir_all(&folder).unwrap();
        while watch.events.is_some() {
            watch.changed("kubelet.sock").await;
        }
        fs::create_dir(&folder).unwrap();
        while watch.events.is_none() {
            watch.changed("kubelet.sock").await;
        }
        fs::write(folder.join("kubelet.sock"), "").unwrap();
        assert!(watch.changed("kubelet.sock").await);
    }
}
