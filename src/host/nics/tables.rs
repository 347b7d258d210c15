//! Addresses and routes of PID 1's network namespace.

use std::net::IpAddr;

use super::super::error::HostError;
use super::super::root::Root;
use super::{live, text};

/// An address of a device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// Length of its prefix.
    pub prefix: u8,
}

/// A route over a device, of whatever routing table; those to the machine's own addresses, broadcast and multicast are left out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// To where; with a prefix of length 0 the default route.
    pub destination: IpAddr,
    /// Length of the prefix.
    pub prefix: u8,
}

/// Where addresses and routes were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// From rtnetlink in PID 1's network namespace: complete.
    Netlink,
    /// From the texts below `/proc/1/net`: IPv4 routes of the main table only, IPv4 addresses by the connected route they lie in.
    Text,
}

/// What was read, by device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) addresses: Vec<(On, Address)>,
    pub(super) routes: Vec<(On, Route)>,
    pub(super) unplaced: Vec<IpAddr>,
    pub(super) source: Source,
}

/// A device, as the source names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum On {
    Index(u32),
    Name(String),
}

/// Reads them from the kernel if the root is a running machine, and from the texts if not.
pub(super) fn read(root: &Root) -> Result<Tables, HostError> {
    match live::read(root)? {
        Some(tables) => Ok(tables),
        None => text::read(root),
    }
}
