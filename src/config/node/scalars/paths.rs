//! Paths on the host.

use std::path::Path;
use std::str::FromStr;

use crate::config::tree::quote;

use super::{ScalarError, refuse, shown_as_is, written_as_text};

/// An absolute path of a folder of the host, below `/`, in one spelling: no `.`, no `..`, no empty part. Whether links lead out of it
/// is for whoever opens it to see.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPath(String);

shown_as_is!(HostPath);
written_as_text!(HostPath);

impl HostPath {
    /// As a path.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// Whether it is the other one or lies below it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.as_path().starts_with(other.as_path())
    }
}

impl FromStr for HostPath {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let no = |why: &str| refuse(format!("{} is not a folder of the host: {why}", quote(text)));
        let Some(below) = text.strip_prefix('/') else {
            return no("write an absolute path, e.g. /opt/sfc");
        };
        if text.len() > 1024 || text.chars().any(char::is_control) {
            return no("at most 1024 characters on one line are taken");
        }
        if below.is_empty() {
            return no("/ is the whole host");
        }
        let below = below.strip_suffix('/').unwrap_or(below);
        if below.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return no("write it out, without \".\", \"..\" and double /");
        }
        Ok(Self(format!("/{below}")))
    }
}
