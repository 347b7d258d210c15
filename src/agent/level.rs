//! How much the VMs of pods may lock, kept on disk: an agent that comes later holds it again, though neither sidecar nor node hook says it
//! a second time.
//!
//! `<state>/locks/<uid>` is `unlimited` or a number of bytes. It goes with the pod.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::base::{ByteSize, shown};
use crate::config::Memlock;

use super::promise::replace;
use super::tenancy::PodUid;

const UNLIMITED: &str = "unlimited";
/// No level is longer.
const LONGEST: usize = 32;

/// The levels of a node, a small file each. What cannot be written or read is said in the log and costs no VM its start.
#[derive(Debug)]
pub(super) struct Levels {
    folder: PathBuf,
}

impl Levels {
    /// Below the agent's state folder.
    pub(super) fn below(state: &Path) -> Self {
        Self { folder: state.join("locks") }
    }

    /// Keeps one.
    pub(super) fn keep(&self, uid: &str, level: Memlock) {
        let written = self.path(uid).and_then(|path| {
            let text = match level {
                Memlock::Unlimited => UNLIMITED.to_owned(),
                Memlock::Size(size) => size.as_bytes().to_string(),
            };
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            replace(&path, text.as_bytes())
        });
        if let Err(error) = written {
            tracing::warn!(pod = uid, reason = %error, "its memory lock cannot be kept: an agent that comes later will not know of it");
        }
    }

    /// The one of a pod, if it has one that can be read.
    pub(super) fn of(&self, uid: &str) -> Option<Memlock> {
        let read = self.path(uid).and_then(fs::read);
        let said = |reason: &str| tracing::warn!(pod = uid, reason, "its memory lock is not known any more");
        match read {
            Ok(bytes) => {
                let level = level(&bytes);
                if level.is_none() {
                    let text = String::from_utf8_lossy(bytes.get(..LONGEST).unwrap_or(&bytes));
                    said(&format!("its file says {:?}, which is no number of bytes", shown(&text)));
                }
                level
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    said(&error.to_string());
                }
                None
            }
        }
    }

    /// Forgets one.
    pub(super) fn forget(&self, uid: &str) {
        if let Err(error) = self.path(uid).and_then(fs::remove_file)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(pod = uid, reason = %error, "what it might lock cannot be forgotten");
        }
    }

    /// Forgets all but those of these pods, and half a file of a crash.
    pub(super) fn only(&self, pods: &BTreeSet<PodUid>) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_none_or(|name| !pods.contains(name)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The file of a pod: uids have neither dots nor slashes.
    fn path(&self, uid: &str) -> io::Result<PathBuf> {
        let fits = !uid.is_empty() && uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let other = || io::Error::new(io::ErrorKind::InvalidInput, format!("{:?} is no uid of a pod", shown(uid)));
        fits.then(|| self.folder.join(uid)).ok_or_else(other)
    }
}

/// What a file says.
fn level(bytes: &[u8]) -> Option<Memlock> {
    match std::str::from_utf8(bytes).ok()? {
        UNLIMITED => Some(Memlock::Unlimited),
        text => text.parse().ok().map(|bytes| Memlock::Size(ByteSize::bytes(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "1f2e3d4c-0a1b-4c5d-8e9f-001122334455";
    const OTHER: &str = "2f2e3d4c-0a1b-4c5d-8e9f-001122334455";

    #[test]
    fn they_are_there_again() {
        let state = tempfile::tempdir().unwrap();
        let again = || Levels::below(state.path());
        let names = || fs::read_dir(state.path().join("locks")).unwrap().count();
        assert_eq!(again().of(UID), None);
        again().forget(UID);
        for level in [Memlock::Unlimited, Memlock::Size(ByteSize::bytes(6 << 30))] {
            again().keep(UID, level);
            again().keep(OTHER, Memlock::Unlimited);
            assert_eq!(again().of(UID), Some(level));
        }
        assert_eq!(fs::read(state.path().join("locks").join(UID)).unwrap(), b"6442450944");
        fs::write(state.path().join("locks").join(format!("{UID}.new")), "6").unwrap();
        again().only(&[UID.to_owned()].into());
        assert_eq!((names(), again().of(OTHER)), (1, None));
        again().forget(UID);
        assert_eq!(names(), 0);
    }

    #[test]
    fn what_is_no_level_is_none() {
        let state = tempfile::tempdir().unwrap();
        let levels = Levels::below(state.path());
        levels.keep(UID, Memlock::Unlimited);
        for damaged in [&b""[..], b"unlimite", b"1Gi", b"-1", b"\xff\xff", &[b'9'; 100]] {
            fs::write(state.path().join("locks").join(UID), damaged).unwrap();
            assert_eq!(levels.of(UID), None, "{damaged:?}");
        }
        // Nothing is written beside the folder.
        levels.keep("../stray", Memlock::Unlimited);
        assert!(!state.path().join("stray").exists());
    }
}
