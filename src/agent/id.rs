//! The name of a device-plugin id: the same after every restart and every boot.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::host::Pci;
use crate::prep::{Offered, Owner};

/// kubelet's name for one thing that can be given away: `0000:3b:00.0-5e1f0a9c`, `0000:3b:00.0-vf3-5e1f0a9c`,
/// `0000:00:02.0-mdev0-5e1f0a9c`. At most 63 characters of `0-9 a-z : . -`, so that it is a file's name, too.
///
/// The last part tells another device in the same slot: of vendor, device and card, whatever resource it is in. The card's own serial number
/// is not in it: it stands behind the part of config space that can be read without waking the device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId(String);

/// What is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no id of a device")]
pub struct DeviceIdError {
    /// What was given.
    pub text: String,
}

/// What the owners of our ids begin with.
const PREFIX: &str = "device/";

impl DeviceId {
    /// The id of something; a physical function is the identity of its virtual ones, a parent that of its mediated devices.
    pub(super) fn of(pci: &Pci, offered: &Offered) -> Self {
        let (from, which) = match *offered {
            Offered::Function(address) | Offered::Vgpu { vf: address } => (address, String::new()),
            Offered::Vf { pf, index, .. } => (pf, format!("-vf{index}")),
            Offered::Mdev { parent, index, .. } => (parent, format!("-mdev{index}")),
        };
        let make = pci.get(from).map_or_else(String::new, |device| {
            let card = device.subsystem.map_or((0, 0), |card| (card.vendor, card.device));
            format!("{:04x}:{:04x}:{:04x}:{:04x}", device.function.vendor, device.function.device, card.0, card.1)
        });
        Self(format!("{from}{which}-{:08x}", crc32fast::hash(make.as_bytes())))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As whom the engine knows what is done for it. `None` never comes: every id is an owner's name.
    pub fn owner(&self) -> Option<Owner> {
        format!("{PREFIX}{}", self.0).parse().ok()
    }

    /// The id that an owner stands for.
    pub fn of_owner(owner: &Owner) -> Option<Self> {
        owner.as_str().strip_prefix(PREFIX)?.parse().ok()
    }
}

impl FromStr for DeviceId {
    type Err = DeviceIdError;

    fn from_str(text: &str) -> Result<Self, DeviceIdError> {
        let allowed = |c: u8| c.is_ascii_digit() || c.is_ascii_lowercase() || b":.-".contains(&c);
        let fits = (1..=63).contains(&text.len()) && text.as_bytes()[0].is_ascii_hexdigit();
        if fits && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(DeviceIdError { text: crate::base::shown(text).chars().take(63).collect() })
        }
    }
}

impl TryFrom<String> for DeviceId {
    type Error = DeviceIdError;

    fn try_from(text: String) -> Result<Self, DeviceIdError> {
        text.parse()
    }
}

impl From<DeviceId> for String {
    fn from(id: DeviceId) -> Self {
        id.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_name_for_a_file_and_for_an_owner() {
        let id: DeviceId = "0000:3b:00.0-vf255-5e1f0a9c".parse().unwrap();
        assert_eq!(DeviceId::of_owner(&id.owner().unwrap()), Some(id));
        for bad in ["", "../x", "a/b", "A", ".hidden", &"0".repeat(64)] {
            assert!(bad.parse::<DeviceId>().is_err(), "{bad}");
        }
        assert_eq!(DeviceId::of_owner(&"resource/a.com/b/0000:3b:00.0".parse().unwrap()), None);
    }
}
