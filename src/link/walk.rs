//! From kubelet's folder of pods to connected sockets, through folders that a pod may tamper with while we look.
//!
//! What belongs to whom. Down to `kubernetes.io~empty-dir` every folder is root's. `hook-sidecar-sockets` is the pod's: KubeVirt makes
//! it an emptyDir (`pkg/virt-controller/services/rendervolumes.go`, withSidecarVolumes, medium unset). Kubelet would mount a tmpfs
//! there for medium Memory, so at this one step, whose parent is root's, another mount is allowed. Everything below is the pod's.
//!
//! So every step opens one name below a folder that is open already, with openat2 (kernel: Documentation/filesystems/path-lookup.rst,
//! `man 2 openat2`): beneath it, no symbolic link, no magic link, no other mount. Whatever is renamed meanwhile, we stay where we are.
//! A socket is opened with `O_PATH`, looked at, and connected to through `/proc/self/fd`: what was looked at is what is connected to.
//! `O_PATH` also means that a FIFO or a device in the socket's place is never opened in earnest. Nothing is ever created or written.

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, RawDir, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use super::{SOCKET_PREFIX, SOCKET_SUFFIX};

/// The volume of hook sockets in a pod.
const VOLUME: &str = "hook-sidecar-sockets";

/// What the folders of sidecars' containers begin with (KubeVirt 1.6 and later); a number follows.
const CONTAINER: &str = "hook-sidecar-";

/// So many entries of a pod's folders are read at most, over all of them. virt-launcher itself dials whatever it finds, so a folder
/// with more is nothing that KubeVirt could use.
pub const MAX_ENTRIES: usize = 64;

/// So many sockets of a pod are connected to: with two it is refused already.
const MAX_CANDIDATES: usize = 2;

/// Kubelet's folder of pods.
#[derive(Debug)]
pub struct Pods {
    folder: OwnedFd,
}

/// What was found in a pod.
#[derive(Debug, Default)]
pub struct Found {
    /// Sockets of ours on which somebody listens, at most two.
    pub sockets: Vec<Socket>,
    /// Whether there were more entries than are read.
    pub crowded: bool,
}

/// A socket's file: device and inode.
pub type FileId = (u64, u64);

/// A socket.
#[derive(Debug)]
pub struct Socket {
    /// Its file.
    pub file: FileId,
    /// The connection, over which nothing was said yet; none to a socket that was known before, and none to one at which so many wait
    /// already that nobody else can now.
    pub stream: Option<UnixStream>,
}

/// What a look at a pod is told and tells.
#[derive(Debug)]
pub struct Look<'a, A> {
    /// The socket to which there is a connection already.
    pub known: Option<FileId>,
    /// Is given every folder on the way as soon as it is open and before it is read: whatever happens in it from then on is seen by
    /// the look or by whoever watches the folder.
    pub arm: &'a mut A,
}

/// The UID of a pod, as kubelet names folders by it: a Kubernetes UID, or the hash of a static pod.
pub fn is_uid(text: &str) -> bool {
    (8..=64).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c) || c == b'-')
}

impl Pods {
    /// Opens `<kubelet-root>/pods`. The path is the admin's; links in it are his.
    pub fn open(kubelet_root: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(kubelet_root.join("pods"), flags, Mode::empty())?;
        Ok(Self { folder })
    }

    /// The folder.
    pub fn folder(&self) -> &OwnedFd {
        &self.folder
    }

    /// The UIDs of all pods. The folder is root's, so all of it is read.
    pub fn uids(&self) -> io::Result<Vec<String>> {
        let mut out = Vec::new();
        // Every reading needs a position of its own.
        let folder = step(&self.folder, OsStr::new("."), FOLDER, INSIDE)?;
        each(&folder, |name, _| {
            if let Some(uid) = name.to_str().filter(|name| is_uid(name)) {
                out.push(uid.to_owned());
            }
            true
        })?;
        Ok(out)
    }

    /// Looks at one pod. A pod that is not there, or without the volume, has no sockets.
    pub fn look<A: FnMut(&OwnedFd)>(&self, uid: &str, look: Look<'_, A>) -> io::Result<Found> {
        let mut found = Found::default();
        if !is_uid(uid) {
            return Ok(found);
        }
        let Look { known, arm } = look;
        let mut above: Option<OwnedFd> = None;
        let way = [(uid, INSIDE), ("volumes", INSIDE), ("kubernetes.io~empty-dir", INSIDE), (VOLUME, MOUNTED)];
        for (name, resolve) in way {
            match step(above.as_ref().unwrap_or(&self.folder), OsStr::new(name), FOLDER, resolve) {
                Ok(folder) => {
                    arm(&folder);
                    above = Some(folder);
                }
                Err(error) if is_absent(&error) => return Ok(found),
                Err(error) => return Err(error),
            }
        }
        let Some(volume) = above else { return Ok(found) };
        let mut left = MAX_ENTRIES;
        let containers = found.gather(&volume, &mut left, known)?;
        for name in containers {
            // The pod may have put anything in its place meanwhile, and what it keeps from being read is its own affair.
            let Ok(folder) = step(&volume, &name, FOLDER, INSIDE) else { continue };
            arm(&folder);
            let _ = found.gather(&folder, &mut left, known);
        }
        Ok(found)
    }
}

impl Found {
    /// Connects to what is ours in a folder; gives the names that may be folders of containers.
    fn gather(&mut self, folder: &OwnedFd, left: &mut usize, known: Option<FileId>) -> io::Result<Vec<OsString>> {
        let (mut names, mut containers) = (Vec::new(), Vec::new());
        let crowded = &mut self.crowded;
        each(folder, |name, kind| {
            let Some(fewer) = left.checked_sub(1) else {
                *crowded = true;
                return false;
            };
            *left = fewer;
            if is_ours(name) && matches!(kind, FileType::Socket | FileType::Unknown) {
                names.push(name.to_owned());
            } else if is_container(name) {
                containers.push(name.to_owned());
            }
            true
        })?;
        for name in names {
            if self.sockets.len() < MAX_CANDIDATES {
                self.sockets.extend(connect(folder, &name, known));
            }
        }
        Ok(containers)
    }
}

/// Beneath, without links, in the same mount.
const INSIDE: ResolveFlags = MOUNTED.union(ResolveFlags::NO_XDEV);

/// The same, and something may be mounted there.
const MOUNTED: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// How often a step is tried.
const ATTEMPTS: u32 = 16;

/// To read a folder. Whatever else has the name is refused before it is opened in earnest.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);

/// Opens one name below a folder.
fn step(above: &OwnedFd, name: &OsStr, flags: OFlags, resolve: ResolveFlags) -> io::Result<OwnedFd> {
    for _ in 0..ATTEMPTS {
        match openat2(above, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // Something was renamed or mounted meanwhile and the kernel asks to try again; or a signal.
            Err(Errno::AGAIN | Errno::INTR) => {}
            outcome => return Ok(outcome?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Whether nothing of the kind is there (any more): a name that leads elsewhere is nothing.
fn is_absent(error: &io::Error) -> bool {
    let absent = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::XDEV].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|errno| absent.contains(&errno))
}

/// Hands over every entry until it is told to end.
fn each(folder: &OwnedFd, mut take: impl FnMut(&OsStr, FileType) -> bool) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 4 << 10];
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." && !take(OsStr::from_bytes(name), entry.file_type()) {
            break;
        }
    }
    Ok(())
}

fn is_ours(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(SOCKET_PREFIX) && name.ends_with(SOCKET_SUFFIX))
}

fn is_container(name: &OsStr) -> bool {
    let number = name.to_str().and_then(|name| name.strip_prefix(CONTAINER));
    number.is_some_and(|number| (1..=3).contains(&number.len()) && number.bytes().all(|c| c.is_ascii_digit()))
}

/// Connects to a socket by its name; none if it is no socket or nobody listens.
fn connect(folder: &OwnedFd, name: &OsStr, known: Option<FileId>) -> Option<Socket> {
    let opened = step(folder, name, OFlags::PATH | OFlags::NOFOLLOW, INSIDE).ok()?;
    let stat = fstat(&opened).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return None;
    }
    let file = (stat.st_dev, stat.st_ino);
    if known == Some(file) {
        return Some(Socket { file, stream: None });
    }
    match connect_to(&opened) {
        Ok(stream) => Some(Socket { file, stream: Some(stream) }),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(Socket { file, stream: None }),
        Err(_) => None,
    }
}

/// Connects without ever waiting: a listener whose queue is full (unix(7): EAGAIN) is tried again later.
fn connect_to(file: &OwnedFd) -> io::Result<UnixStream> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(format!("/proc/self/fd/{}", file.as_raw_fd()).as_str())?)?;
    Ok(socket.into())
}
