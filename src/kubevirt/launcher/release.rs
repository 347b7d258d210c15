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
    /// The patch, which is shown if it was given.
    patch: Option<u8>,
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

    /// Whether it looks at its time limit even while there is no socket at all.
    pub fn always_looks_at_the_time(self) -> bool {
        self.since(6)
    }

    /// Whether it adds root ports for hot-plugged devices and asks the hooks once more: since 1.8, and since late patches of 1.6 and 1.7
    /// (seen in 1.6.5 and 1.7.4).
    pub fn adds_ports(self) -> bool {
        let patch = self.patch.unwrap_or(0);
        self.since(8) || (self.minor == Some(6) && patch >= 5) || (self.minor == Some(7) && patch >= 4)
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
        Self { minor: Some(LAST), patch: None }
    }
}

impl FromStr for Release {
    type Err = UnknownRelease;

    fn from_str(text: &str) -> Result<Self, UnknownRelease> {
        if text == "main" {
            return Ok(Self { minor: None, patch: None });
        }
        let unknown = || UnknownRelease(text.to_owned());
        let number = |text: &str| text.parse::<u8>().map_err(|_| unknown());
        let rest = text.strip_prefix('v').unwrap_or(text).strip_prefix("1.").ok_or_else(unknown)?;
        let (minor, patch) = rest.split_once('.').map_or((rest, None), |(minor, patch)| (minor, Some(patch)));
        let minor = number(minor)?;
        if !(FIRST..=LAST).contains(&minor) {
            return Err(unknown());
        }
        // As in "1.9.0-rc.1".
        let patch = patch.map(|patch| number(patch.split('-').next().unwrap_or(patch))).transpose()?;
        Ok(Self { minor: Some(minor), patch })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.minor, self.patch) {
            (Some(minor), Some(patch)) => write!(f, "1.{minor}.{patch}"),
            (Some(minor), None) => write!(f, "1.{minor}"),
            (None, _) => f.write_str("main"),
        }
    }
}
