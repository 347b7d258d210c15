//! A node's folders: kubelet's pods, and their logs.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use virt_tailor::link::dial::PING;
use virt_tailor::link::find::Places;

/// A node in a folder of its own.
pub(crate) struct Node {
    root: TempDir,
}

impl Node {
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("vt").tempdir().unwrap();
        for folder in ["kubelet/pods", "logs"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        Self { root }
    }

    pub(crate) fn kubelet(&self) -> PathBuf {
        self.root.path().join("kubelet")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn places(&self) -> Places {
        let (kubelet_root, pod_logs, node) = (self.kubelet(), self.path("logs"), "worker-1".to_owned());
        Places { kubelet_root, pod_logs, node, ping: PING }
    }

    /// A pod's volume of hook sockets, and its folder of logs.
    pub(crate) fn pod(&self, number: u32) -> PathBuf {
        let uid = uid(number);
        fs::create_dir_all(self.path("logs").join(format!("team-a_virt-launcher-vm{number}-abcde_{uid}"))).unwrap();
        let volume = self.volume(number);
        fs::create_dir_all(&volume).unwrap();
        volume
    }

    pub(crate) fn volume(&self, number: u32) -> PathBuf {
        self.kubelet().join("pods").join(uid(number)).join("volumes/kubernetes.io~empty-dir/hook-sidecar-sockets")
    }
}

/// The UID of a pod.
pub(crate) fn uid(number: u32) -> String {
    format!("0f9c2a7e-0000-4222-8333-{number:012x}")
}

/// Listens on a socket whose path may be longer than an address. It appears when somebody listens already, as a sidecar's does.
pub(crate) fn listen(folder: &Path, name: &str) -> UnixListener {
    use std::os::fd::AsRawFd as _;
    let opened = fs::File::open(folder).unwrap();
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/.{name}", opened.as_raw_fd())).unwrap();
    fs::rename(folder.join(format!(".{name}")), folder.join(name)).unwrap();
    listener
}

/// The same, with no room in its queue until somebody is taken out of it.
pub(crate) fn full(folder: &Path, name: &str) -> (UnixListener, UnixStream) {
    use std::os::fd::AsRawFd as _;
    let listener = listen(folder, name);
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let opened = fs::File::open(folder).unwrap();
    let waiting = UnixStream::connect(format!("/proc/self/fd/{}/{name}", opened.as_raw_fd())).unwrap();
    (listener, waiting)
}
