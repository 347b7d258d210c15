//! The folder of one rehearsal.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::commands::Failure;

/// What the path of the sidecar's socket has behind the base, at most.
const BEHIND: usize = 80;

/// A folder that goes when it is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// A new one, for us alone: who else could connect could end the sidecar. Its path is short, for a socket's may not have more than
    /// 107 bytes (unix(7)): where the folder for temporary files is too deep for that it lies in /tmp.
    pub(super) fn new() -> Result<Self, Failure> {
        let is_short = |base: &PathBuf| base.as_os_str().len() + BEHIND <= 107;
        let base = Some(std::env::temp_dir()).filter(is_short).unwrap_or_else(|| "/tmp".into());
        let mut attempt = 0_u32;
        loop {
            let path = base.join(format!("vt-{}-{attempt}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
                Err(error) => return Err(Failure::Write { path, error }),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is only litter.
        let _ = fs::remove_dir_all(&self.0);
    }
}
