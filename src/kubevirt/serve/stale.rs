//! What processes of ours left behind that could not clean up: each such file costs virt-launcher two seconds per look.
//!
//! Only what is certainly ours is removed: sockets with our prefix that nobody listens on, and private folders that nobody has locked.
//! Others who start at the same time are safe: their sockets listen before they have a name in the folder.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use super::name::{PREFIX, SUFFIX};
use super::socket::{Address, INNER, PRIVATE};

/// How long somebody may take to be connected to; the kernel alone decides, so this is plenty.
const PATIENCE: Duration = Duration::from_millis(200);

/// Removes what was left in a folder. What cannot be read or removed stays.
pub(super) async fn remove(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let (Ok(kind), Some(name)) = (entry.file_type(), entry.file_name().to_str().map(str::to_owned)) else {
            continue;
        };
        if kind.is_socket() && name.starts_with(PREFIX) && name.ends_with(SUFFIX) && !answers(folder, &name).await {
            tracing::info!(socket = %entry.path().display(), "nobody listens on this socket of a former process; it is removed");
            let _ = fs::remove_file(entry.path());
        } else if kind.is_dir() && name.starts_with(PRIVATE) {
            let is_free = File::open(entry.path()).is_ok_and(|opened| opened.try_lock().is_ok());
            if is_free {
                remove_private(&entry.path());
            }
        }
    }
}

/// Whether somebody listens on a socket. Whoever cannot be asked counts as listening: nothing of his is ours to remove.
pub(super) async fn answers(folder: &Path, name: &str) -> bool {
    let connecting = async {
        let address = Address::of(folder, name)?;
        UnixStream::connect(address.path()).await.map(drop)
    };
    match timeout(PATIENCE, connecting).await {
        Ok(Err(error)) => !matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound),
        Ok(Ok(())) | Err(_) => true,
    }
}

/// Removes a private folder and what we put there, nothing else.
pub(super) fn remove_private(folder: &Path) {
    let inner = folder.join(INNER);
    // A link there would lead us into somebody else's folder.
    if fs::symlink_metadata(&inner).is_ok_and(|inner| !inner.is_dir()) {
        return;
    }
    for entry in fs::read_dir(&inner).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_socket()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    // A folder that is not empty stays: what is in it is not ours.
    let _ = fs::remove_dir(inner);
    let _ = fs::remove_dir(folder);
}
