//! What differs between KubeVirt's releases, as far as a hook can tell.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::kubevirt::reduce;

/// A release of KubeVirt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// The minor version of 1.x; none for the main branch.
    minor: Option<u8>,
}

/// The first that a Rust server can talk to: older ones send the socket's path as authority.
const FIRST: u8 = 1;
const LAST: u8 = 9;

/// A text that is no release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no release that can be played: write 1.{FIRST} to 1.{LAST}, or main (1.0 sends a socket path as authority, \
     which this sidecar refuses)"
)]
pub struct UnknownRelease(String);

impl Release {
    /// Whether a feature that came with a minor version is there.
    fn since(self, minor: u8) -> bool {
        self.minor.is_none_or(|own| own >= minor)
    }

    /// How long it sleeps between two looks for sockets.
    pub fn poll(self) -> Duration {
        if self.since(8) { Duration::from_millis(300) } else { Duration::from_secs(1) }
    }

    /// Whether each sidecar has a folder of its own; files beside these folders are not looked at then.
    pub fn has_folders(self) -> bool {
        self.since(6)
    }

    /// Whether it knows v1alpha3, and so Shutdown.
    pub fn knows_v1alpha3(self) -> bool {
        self.since(2)
    }

    /// Whether it adds root ports for hot-plugged devices and asks the hooks once more.
    pub fn adds_ports(self) -> bool {
        self.since(8)
    }

    /// Whether it asks once more even if no root port was added.
    pub fn always_asks_again(self) -> bool {
        self.minor.is_none()
    }

    /// What its structs keep.
    pub fn structs(self) -> reduce::Release {
        reduce::Release {
            keeps_qemu_commandline: self.minor.is_none(),
            keeps_nosharepages: !self.since(8),
            knows_iommu: self.since(8),
        }
    }
}

impl Default for Release {
    fn default() -> Self {
        Self { minor: Some(LAST) }
    }
}

impl FromStr for Release {
    type Err = UnknownRelease;

    fn from_str(text: &str) -> Result<Self, UnknownRelease> {
        if text == "main" {
            return Ok(Self { minor: None });
        }
        let minor = text.trim_start_matches('v').strip_prefix("1.").and_then(|rest| rest.split('.').next());
        minor
            .and_then(|minor| minor.parse().ok())
            .filter(|minor| (FIRST..=LAST).contains(minor))
            .map(|minor| Self { minor: Some(minor) })
            .ok_or_else(|| UnknownRelease(text.to_owned()))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minor {
            Some(minor) => write!(f, "1.{minor}"),
            None => f.write_str("main"),
        }
    }
}
