//! The last configuration that was in force, kept on disk: an agent that starts beside one that is wrong serves what the one before it did.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::promise::replace;

/// Where it is, in the state folder.
pub fn kept_configuration(state: &Path) -> PathBuf {
    state.join("configuration.last")
}

/// Keeps a text, for root alone to read.
///
/// # Errors
///
/// It cannot be written; what was there stays.
pub fn keep_configuration(state: &Path, text: &str) -> io::Result<()> {
    let path = kept_configuration(state);
    if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    replace(&path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_last_one_stays_and_is_root_s() {
        let state = tempfile::tempdir().unwrap();
        for text in ["a: 1\n", "b\n", "b\n"] {
            keep_configuration(state.path(), text).unwrap();
            let path = kept_configuration(state.path());
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1, "no half of it is left");
    }
}
