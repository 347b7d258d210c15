//! When something happens in a pod's folders.
//!
//! Every watch is for one event (IN_ONESHOT): a pod that makes files as fast as it can is told of once for each folder, until it is
//! looked at again. So no pod can fill the queue that all share. Where inotify is refused (no watches or instances left) or its queue
//! ran over nevertheless, everything is looked at once a second instead.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::io::unix::AsyncFd;

/// What is told of a folder.
const EVENTS: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_ONLYDIR);

/// What is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Pods in which something happened; the empty one is the folder of all.
    pub pods: Vec<String>,
    /// Something may have been missed.
    pub overflowed: bool,
}

/// Folders under watch.
#[derive(Debug)]
pub struct Watch {
    inotify: AsyncFd<Instance>,
    /// Each watch's pod, and each pod's watches.
    pods: HashMap<WatchDescriptor, String>,
    watches: HashMap<String, Vec<WatchDescriptor>>,
}

#[derive(Debug)]
struct Instance(Inotify);

impl AsRawFd for Instance {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Watch {
    /// Begins; must be called in a runtime.
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe; the descriptor is ours alone, and stays open as long as this"
        )]
        let inotify = AsyncFd::new(Instance(inotify))?;
        Ok(Self { inotify, pods: HashMap::new(), watches: HashMap::new() })
    }

    /// Watches an opened folder of a pod until something happens there, once.
    pub fn once(&mut self, folder: &OwnedFd, pod: &str) -> io::Result<()> {
        // By its descriptor: a path could lead elsewhere by now.
        let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let inotify = &self.inotify.get_ref().0;
        let watch = inotify.add_watch(path.as_str(), EVENTS | AddWatchFlags::IN_ONESHOT)?;
        // A folder that is watched already keeps its watch.
        if self.pods.insert(watch, pod.to_owned()).is_none() {
            self.watches.entry(pod.to_owned()).or_default().push(watch);
        }
        Ok(())
    }

    /// Ends all watches of a pod. Done before each look, or a pod could gather them by moving its folders away.
    pub fn forget(&mut self, pod: &str) {
        for watch in self.watches.remove(pod).into_iter().flatten() {
            if self.pods.remove(&watch).is_some() {
                // It may have ended by itself.
                let _ = self.inotify.get_ref().0.rm_watch(watch);
            }
        }
    }

    /// How many folders are watched.
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// Waits until something happens. May be dropped half way without losing anything.
    pub async fn news(&mut self) -> io::Result<News> {
        loop {
            let mut ready = self.inotify.readable_mut().await?;
            let events = match ready.get_inner().0.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => {
                    ready.clear_ready();
                    continue;
                }
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let mut news = News::default();
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    news.overflowed = true;
                }
                // With its event, or with its folder, a watch is gone.
                let Some(pod) = self.pods.remove(&event.wd) else { continue };
                if let Some(watches) = self.watches.get_mut(&pod) {
                    watches.retain(|watch| *watch != event.wd);
                }
                if !news.pods.contains(&pod) {
                    news.pods.push(pod);
                }
            }
            if news != News::default() {
                return Ok(news);
            }
        }
    }
}
