//! A PCI address, `dddd:bb:ss.f`, as Linux and people write it.

use std::fmt;
use std::str::FromStr;

/// Domain, bus, slot (0–31) and function (0–7) of a PCI function, on a host or in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    /// PCI domain (segment).
    pub domain: u32,
    /// Bus number.
    pub bus: u8,
    slot: u8,
    function: u8,
}

/// Why a text is not a PCI address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a PCI address: write dddd:bb:ss.f in hexadecimal, e.g. 0000:3b:00.0 (slot 00-1f, function 0-7)"
)]
pub struct PciAddressError {
    /// What was given.
    pub text: String,
}

impl PciAddress {
    /// An address from its parts; `None` if the slot is above 31 or the function above 7.
    pub fn new(domain: u32, bus: u8, slot: u8, function: u8) -> Option<Self> {
        (slot < 32 && function < 8).then_some(Self { domain, bus, slot, function })
    }

    /// Slot (device number), 0–31.
    pub fn slot(self) -> u8 {
        self.slot
    }

    /// Function, 0–7.
    pub fn function(self) -> u8 {
        self.function
    }

    /// The same slot with another function; `None` above 7.
    pub fn with_function(self, function: u8) -> Option<Self> {
        Self::new(self.domain, self.bus, self.slot, function)
    }

    /// Whether both are functions of one slot.
    pub fn same_slot(self, other: Self) -> bool {
        (self.domain, self.bus, self.slot) == (other.domain, other.bus, other.slot)
    }

    /// Whether a text has the shape of an address (so that a typo in one is not taken for a name).
    pub fn looks_like(text: &str) -> bool {
        text.contains(':') && text.contains('.')
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, bus, slot, function } = self;
        write!(f, "{domain:04x}:{bus:02x}:{slot:02x}.{function:x}")
    }
}

impl serde::Serialize for PciAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for PciAddress {
    type Err = PciAddressError;

    fn from_str(text: &str) -> Result<Self, PciAddressError> {
        fn hex(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
            let well_formed = digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
            well_formed.then(|| u32::from_str_radix(text, 16).ok()).flatten()
        }
        let parse = || {
            let (domain, rest) = text.split_once(':')?;
            let (bus, rest) = rest.split_once(':')?;
            let (slot, function) = rest.split_once('.')?;
            Self::new(
                hex(domain, 4..=8)?,
                u8::try_from(hex(bus, 2..=2)?).ok()?,
                u8::try_from(hex(slot, 2..=2)?).ok()?,
                u8::try_from(hex(function, 1..=1)?).ok()?,
            )
        };
        parse().ok_or_else(|| PciAddressError { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["0000:3b:00.0", "0000:00:1f.7", "10000:e1:00.0"] {
            assert_eq!(text.parse::<PciAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_none() {
        for text in
            ["", "3b:00.0", "0000:3b:20.0", "0000:3b:00.8", "0000:3b:00", "0000:3g:00.0", "+000:3b:00.0", "0000:3b:0.0"]
        {
            assert!(text.parse::<PciAddress>().is_err(), "{text}");
        }
    }
}
