//! What comes between a hook's first and second call: KubeVirt defines the domain in libvirt, dumps it again and takes over the
//! devices.
//!
//! [`read_back()`] does so without a libvirt: it gives every PCI device its address by libvirt's rules (explicit addresses first, then
//! one root port per device in libvirt's order) and adds what libvirt adds. It knows q35 alone, and host devices as PCI Express.
//! [`take_over()`] does KubeVirt's part only, for a dump of a real libvirt. [`add_ports()`] prepares the third call.
//!
//! `tests/libvirt/readback.rs` shows that both ways give the same addresses.

mod assign;
mod buses;
mod defaults;
mod devices;
mod ports;
mod spelling;

use super::reduce::{self, ReduceError, Release};
use crate::xml::{Document, Limits, XmlError};

pub use ports::{Ports, add_ports};

/// Why there is no second call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadBackError {
    /// KubeVirt cannot read it.
    #[error(transparent)]
    Reduce(#[from] ReduceError),
    /// libvirt cannot read it.
    #[error("XML error: {0}")]
    Xml(#[from] XmlError),
    /// libvirt has no place for a device; in its own words.
    #[error("{0}")]
    Libvirt(String),
}

/// The input of the second call, from the first call's input and the hook's answer.
pub fn read_back(sent: &[u8], answer: &[u8], release: Release) -> Result<String, ReadBackError> {
    take_over(sent, dump(answer)?.as_bytes(), release)
}

/// The domain as libvirt would dump it, in so far as KubeVirt looks at it: its devices.
fn dump(domain: &[u8]) -> Result<String, ReadBackError> {
    let mut document = Document::parse(domain, &Limits::default())?;
    defaults::add(&mut document);
    spelling::spell_out(&mut document);
    defaults::add_for_drives(&mut document);
    assign::assign(&mut document).map_err(ReadBackError::Libvirt)?;
    spelling::ports(&mut document);
    Ok(String::from_utf8_lossy(&document.to_bytes()).into_owned())
}

/// The input of the second call, from the first call's input and libvirt's dump of the hook's answer.
pub fn take_over(sent: &[u8], dumped: &[u8], release: Release) -> Result<String, ReadBackError> {
    let before = reduce::parse(sent)?;
    let devices = reduce::devices(&reduce::parse(dumped)?, &before, release)?;
    // KubeVirt has kept its own structs for everything else: byte for byte what it sent.
    let text = String::from_utf8_lossy(before.source());
    let place = before.child(before.root(), "devices").and_then(|element| before.span(element));
    Ok(match place {
        Some(place) => format!("{}{devices}{}", &text[..place.start], &text[place.end..]),
        None => text.into_owned(),
    })
}
