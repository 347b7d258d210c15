//! What devices are called by: ids, classes, drivers, types of mediated devices; and sizes of pages.

use std::fmt;
use std::str::FromStr;

use crate::base::{ByteSize, PciAddress};
use crate::config::tree::quote;

use super::{ScalarError, refuse, shown_as_is, written_as_text};

/// A PCI vendor or device id: four hexadecimal digits, as written with or without `0x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HexId(pub u16);

/// `vvvv:dddd`: subsystem vendor and subsystem device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubsystemId {
    /// Subsystem vendor id.
    pub vendor: u16,
    /// Subsystem device id.
    pub device: u16,
}

/// The first bytes of a PCI class: `03` is any display, `0300` a VGA controller, `0c0330` an xHCI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassPrefix {
    /// The bytes, in the low end.
    value: u32,
    /// How many: 1 to 3.
    bytes: u8,
}

/// An endpoint that goes with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CompanionName {
    /// The one at this address.
    Address(PciAddress),
    /// Those with these ids, `vvvv:dddd`.
    Ids {
        /// PCI vendor id.
        vendor: u16,
        /// PCI device id.
        device: u16,
    },
}

/// A VFIO driver by the name of its folder in `/sys/bus/pci/drivers`; it has "vfio" in it, as all of them have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DriverName(String);

/// The id or the name of a type of mediated devices. It is compared with what the driver offers and never part of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeName(String);

/// A size of huge pages: a power of two from 64Ki (arm64) to 16Gi.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageSize(ByteSize);

shown_as_is!(DriverName, TypeName);
written_as_text!(HexId, SubsystemId, ClassPrefix, CompanionName, DriverName, TypeName, PageSize);

/// Exactly four hexadecimal digits.
fn id(text: &str) -> Option<u16> {
    let good = text.len() == 4 && text.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| u16::from_str_radix(text, 16).ok()).flatten()
}

fn ids(text: &str) -> Option<(u16, u16)> {
    let (vendor, device) = text.split_once(':')?;
    Some((id(vendor)?, id(device)?))
}

impl FromStr for HexId {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        id(text.strip_prefix("0x").unwrap_or(text)).map(Self).map_or_else(
            || refuse(format!("{} is not a PCI id: write four hexadecimal digits, e.g. \"10de\"", quote(text))),
            Ok,
        )
    }
}

impl fmt::Display for HexId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

impl FromStr for SubsystemId {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        ids(text).map(|(vendor, device)| Self { vendor, device }).map_or_else(
            || {
                refuse(format!(
                    "{} is not a subsystem: write vvvv:dddd with four hexadecimal digits each, e.g. \"1043:87c0\"",
                    quote(text)
                ))
            },
            Ok,
        )
    }
}

impl fmt::Display for SubsystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.device)
    }
}

impl ClassPrefix {
    /// Whether a class, all three bytes of it, begins so.
    pub fn matches(self, class: u32) -> bool {
        class >> (8 * (3 - u32::from(self.bytes))) == self.value
    }

    /// The first byte, the base class: 1 is storage, 2 network, 3 display, 6 bridges.
    pub fn base(self) -> u8 {
        u8::try_from(self.value >> (8 * (u32::from(self.bytes) - 1))).unwrap_or(u8::MAX)
    }
}

impl FromStr for ClassPrefix {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let bytes = match digits.len() {
            2 => 1,
            4 => 2,
            6 => 3,
            _ => 0,
        };
        let value =
            digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok()).flatten();
        match value {
            Some(value) if bytes > 0 => Ok(Self { value, bytes }),
            _ => refuse(format!(
                "{} is not the beginning of a PCI class: write 2, 4 or 6 hexadecimal digits, e.g. \"0300\"",
                quote(text)
            )),
        }
    }
}

impl fmt::Display for ClassPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$x}", self.value, width = 2 * usize::from(self.bytes))
    }
}

impl FromStr for CompanionName {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        if let Some((vendor, device)) = ids(text) {
            return Ok(Self::Ids { vendor, device });
        }
        text.parse().map(Self::Address).or_else(|_| {
            refuse(format!(
                "{} names no companion: write its address, e.g. 0000:01:00.1, or its ids, e.g. \"10de:1aef\"",
                quote(text)
            ))
        })
    }
}

impl fmt::Display for CompanionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Ids { vendor, device } => write!(f, "{vendor:04x}:{device:04x}"),
        }
    }
}

impl FromStr for DriverName {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let good =
            (1..=55).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !good {
            return refuse(format!(
                "{} is not the name of a driver: write auto, vfio-pci or a variant of it",
                quote(text)
            ));
        }
        if !text.contains("vfio") {
            return refuse(format!(
                "{} is not a VFIO driver (they all have vfio in their name): write auto, vfio-pci or a variant, e.g. mlx5_vfio_pci",
                quote(text)
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for TypeName {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let good = (1..=64).contains(&text.len())
            && text.bytes().all(|b| (b.is_ascii_graphic() && b != b'/') || b == b' ')
            && text.trim() == text
            && !matches!(text, "." | "..");
        if good {
            return Ok(Self(text.to_owned()));
        }
        refuse(format!(
            "{} is not a type: write its id or its name as the driver shows it, e.g. nvidia-63 or \"GRID T4-2A\"",
            quote(text)
        ))
    }
}

impl PageSize {
    /// In bytes.
    pub fn as_bytes(self) -> u64 {
        self.0.as_bytes()
    }

    /// In kB, as the folder `hugepages-<kB>kB` has it.
    pub fn as_kib(self) -> u64 {
        self.0.as_kib_up()
    }
}

impl FromStr for PageSize {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let size: Option<ByteSize> = text.parse().ok();
        size.filter(|size| size.as_bytes().is_power_of_two() && (64 << 10..=16 << 30).contains(&size.as_bytes()))
            .map(Self)
            .map_or_else(|| refuse(format!("{} is not a size of huge pages: write e.g. 2Mi or 1Gi", quote(text))), Ok)
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_matched_by_its_beginning() {
        for (prefix, class, fits, base) in [
            ("03", 0x03_0000, true, 3),
            ("03", 0x02_0300, false, 3),
            ("0300", 0x03_0000, true, 3),
            ("0300", 0x03_0200, false, 3),
            ("0x0c0330", 0x0c_0330, true, 12),
            ("0C0330", 0x0c_0320, false, 12),
            ("00", 0x00_0100, true, 0),
        ] {
            let prefix: ClassPrefix = prefix.parse().unwrap();
            assert_eq!((prefix.matches(class), prefix.base()), (fits, base), "{prefix} {class:06x}");
        }
        assert_eq!("0x0C0330".parse::<ClassPrefix>().unwrap().to_string(), "0c0330");
    }

    #[test]
    fn ids_are_four_digits() {
        for (text, id) in [("10de", 0x10de), ("0x10DE", 0x10de), ("8086", 0x8086), ("1e84", 0x1e84)] {
            assert_eq!(text.parse::<HexId>().unwrap().0, id);
        }
        for text in ["", "86", "10def", "0x", "+0de", "4318d", "10:de"] {
            assert!(text.parse::<HexId>().is_err(), "{text}");
        }
    }
}
