//! MAC addresses.

use std::fmt;
use std::str::FromStr;

use crate::config::tree::quote;

use super::{ScalarError, refuse, written_as_text};

/// A MAC address that a NIC may have: not all zeros, not a group's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress([u8; 6]);

/// The first three octets of MAC addresses that we make up: locally administered, not a group's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacPrefix([u8; 3]);

written_as_text!(MacAddress, MacPrefix);

impl MacAddress {
    /// The octets.
    pub fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl MacPrefix {
    /// The octets.
    pub fn octets(self) -> [u8; 3] {
        self.0
    }
}

fn octets<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut octets = [0; N];
    let mut parts = text.split(':');
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *octet = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(octets)
}

fn show(octets: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (i, octet) in octets.iter().enumerate() {
        if i > 0 {
            f.write_str(":")?;
        }
        write!(f, "{octet:02x}")?;
    }
    Ok(())
}

impl FromStr for MacAddress {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let no = |why: &str| refuse(format!("{} is not the MAC address of a NIC: {why}", quote(text)));
        match octets(text) {
            None => no("write six octets, e.g. 02:76:74:00:00:01"),
            Some([0, 0, 0, 0, 0, 0]) => no("all zeros mean that there is none"),
            Some(octets) if octets[0] & 1 == 1 => no("it is that of a group, its first octet is odd"),
            Some(octets) => Ok(Self(octets)),
        }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.0, f)
    }
}

impl FromStr for MacPrefix {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let no = |why: &str| refuse(format!("{} is not the beginning of MAC addresses: {why}", quote(text)));
        match octets(text) {
            None => no("write three octets, e.g. 02:76:74"),
            Some(octets) if octets[0] & 3 != 2 => {
                no("what we make up is locally administered: the first octet ends in 2, 6, a or e")
            }
            Some(octets) => Ok(Self(octets)),
        }
    }
}

impl fmt::Display for MacPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.0, f)
    }
}
