//! Scalars with a shape of their own: on/off, on/off/auto, device selectors.

use std::fmt;
use std::str::FromStr;

use crate::base::{PciAddress, PciAddressError};

/// `on` or `off`; true and false are taken too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnOff {
    /// On.
    On,
    /// Off.
    Off,
}

impl OnOff {
    /// libvirt's `on`/`off`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }

    /// libvirt's `yes`/`no`.
    pub fn yes_no(self) -> &'static str {
        match self {
            Self::On => "yes",
            Self::Off => "no",
        }
    }

    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// `on`, `off` or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnOffAuto {
    /// On.
    On,
    /// Off.
    Off,
    /// As the rules say; never removes what is there.
    Auto,
}

/// How an item names its device; the shape of the text decides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceSelector {
    /// `dddd:bb:ss.f`: the host address.
    Host(PciAddress),
    /// `vvvv:dddd`: vendor and device id; needs host facts.
    Ids {
        /// PCI vendor id.
        vendor: u16,
        /// PCI device id.
        device: u16,
    },
    /// `ua-…` or `hostdevN`: the alias in the XML.
    Alias(String),
    /// A name in the VMI: `gpus[].name`, `hostDevices[].name`, an SR-IOV interface.
    Name(String),
}

/// Why a text selects no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceSelectorError {
    /// It looks like an address and is none.
    #[error(transparent)]
    Address(#[from] PciAddressError),
    /// It has a colon and is neither an address nor ids.
    #[error(
        "{0:?} names no device: write ids as vvvv:dddd with four hexadecimal digits each, or a host address as dddd:bb:ss.f"
    )]
    Ids(String),
    /// It has characters that libvirt drops from an alias.
    #[error(
        "{0:?} cannot be an alias: libvirt keeps only letters, digits, '-' and '_'; rename the device in the VM or select it by host address"
    )]
    Name(String),
}

/// Kubernetes' longest name, in bytes.
const LONGEST_NAME: usize = 253;

/// Whether libvirt would keep this text in an alias.
pub fn is_alias_text(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl FromStr for DeviceSelector {
    type Err = DeviceSelectorError;

    fn from_str(text: &str) -> Result<Self, DeviceSelectorError> {
        if text.len() > LONGEST_NAME {
            let start: String = text.chars().take(40).collect();
            return Err(DeviceSelectorError::Name(format!("{start}…")));
        }
        if PciAddress::looks_like(text) {
            return Ok(Self::Host(text.parse()?));
        }
        if let Some((vendor, device)) = text.split_once(':') {
            let hex = |s: &str| {
                (s.len() == 4 && s.bytes().all(|b| b.is_ascii_hexdigit()))
                    .then(|| u16::from_str_radix(s, 16).ok())
                    .flatten()
            };
            return match (hex(vendor), hex(device)) {
                (Some(vendor), Some(device)) => Ok(Self::Ids { vendor, device }),
                _ => Err(DeviceSelectorError::Ids(text.to_owned())),
            };
        }
        if !is_alias_text(text) {
            return Err(DeviceSelectorError::Name(text.to_owned()));
        }
        let numbered =
            text.strip_prefix("hostdev").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        if text.starts_with("ua-") || numbered {
            return Ok(Self::Alias(text.to_owned()));
        }
        Ok(Self::Name(text.to_owned()))
    }
}

impl fmt::Display for DeviceSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(address) => address.fmt(f),
            Self::Ids { vendor, device } => write!(f, "{vendor:04x}:{device:04x}"),
            Self::Alias(text) | Self::Name(text) => f.write_str(text),
        }
    }
}
