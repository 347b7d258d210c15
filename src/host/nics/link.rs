//! One network device as sysfs shows it.

use std::path::Path;

use super::super::error::HostError;
use super::super::place::{function_folder, functions_on, resolve};
use super::super::root::Root;
use super::super::values;
use super::tables::{Address, On, Route, Tables};
use crate::base::PciAddress;

/// IFF_UP (kernel: include/uapi/linux/if.h).
const UP: u64 = 1;

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its number in its namespace.
    pub index: u32,
    /// What it is.
    pub kind: LinkKind,
    /// Hardware address, as the kernel writes it.
    pub mac: Option<String>,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// Whether it was switched on.
    pub up: bool,
    /// Whether its cable is connected; `None` while it is not up, for then the kernel does not say.
    pub carrier: Option<bool>,
    /// The PCI functions on the way to it, nearest to the root complex first; empty for what the kernel made up.
    pub functions: Vec<PciAddress>,
    /// The driver of the nearest function (of a virtio device, virtio's own).
    pub driver: Option<String>,
    /// Whether it hangs on USB.
    pub usb: bool,
    /// The bond, bridge, team, VRF or Open vSwitch that it is a port of.
    pub master: Option<String>,
    /// Devices that stand on it: its master, VLANs, macvlans …
    pub upper: Vec<String>,
    /// Devices that it stands on.
    pub lower: Vec<String>,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// Routes over it.
    pub routes: Vec<Route>,
    /// How many virtual functions its function has now.
    pub virtual_functions: usize,
    /// If its function is a virtual one: the physical function.
    pub physical_function: Option<PciAddress>,
}

/// What a network device is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LinkKind {
    /// A device with hardware beneath.
    Hardware,
    /// Something the kernel made up, by its own word: `bridge`, `bond`, `vlan`, `macvlan`, `wlan`; empty where it has none (veth, dummy, lo).
    Virtual(String),
}

impl Link {
    /// The PCI function nearest to the device.
    pub fn function(&self) -> Option<PciAddress> {
        self.functions.last().copied()
    }
}

/// Whether `sys/class/net` shows the namespace that these names are from. Every namespace has its own mount of sysfs; names alone would take
/// a pod's `eth0` for the machine's, so the numbers that `/proc/1/net` tells are compared, too.
pub(super) fn same_namespace(root: &Root, names: &[String]) -> Result<bool, HostError> {
    let class = Path::new("sys/class/net");
    // Not every entry is a device: bonding_masters is a file.
    let mut shown = Vec::new();
    for name in root.names(class)? {
        if root.has(class.join(&name).join("ifindex")) {
            shown.push(name);
        }
    }
    if names.iter().collect::<std::collections::BTreeSet<_>>() != shown.iter().collect() {
        return Ok(false);
    }
    for (index, name) in super::text::indices(root)? {
        let there = root.value(class.join(&name).join("ifindex"), "a number", values::number)?;
        if there.is_some_and(|there| there != index) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads the devices of these names.
pub(super) fn read(root: &Root, names: &[String], tables: &Tables) -> Result<Vec<Link>, HostError> {
    let mut links = Vec::new();
    for name in names {
        if let Some(folder) = resolve(root, &Path::new("sys/class/net").join(name))? {
            links.extend(link(root, name, &folder, tables)?);
        }
    }
    Ok(links)
}

/// Reads one; `None` if it is gone.
fn link(root: &Root, name: &str, folder: &Path, tables: &Tables) -> Result<Option<Link>, HostError> {
    let Some(index) = root.value(folder.join("ifindex"), "a number", values::number)? else { return Ok(None) };
    let flags = root.value(folder.join("flags"), "flags", values::hexadecimal)?.unwrap_or_default();
    let functions = functions_on(folder);
    let function = match functions.last() {
        Some(function) => function_folder(root, *function)?,
        None => None,
    };
    let (virtual_functions, physical_function) = match &function {
        Some(function) => (
            // Not by `sriov_numvfs`: reading that waits for the device's lock, which a hung unbind holds (kernel: drivers/pci/iov.c).
            root.names(function)?.iter().filter(|name| name.starts_with("virtfn")).count(),
            root.link_name(function.join("physfn"))?.and_then(|name| name.parse().ok()),
        ),
        None => (0, None),
    };
    let uevent = root.text(folder.join("uevent"))?.unwrap_or_default();
    let word = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE=")).unwrap_or_default().to_owned();
    let kind = if root.has(folder.join("device")) { LinkKind::Hardware } else { LinkKind::Virtual(word) };
    let entries = root.names(folder)?;
    let linked =
        |prefix: &str| entries.iter().filter_map(|name| name.strip_prefix(prefix).map(str::to_owned)).collect();
    let is_it = |on: &On| match on {
        On::Index(other) => *other == index,
        On::Name(other) => other == name,
    };
    Ok(Some(Link {
        name: name.to_owned(),
        index,
        kind,
        mac: root.text(folder.join("address"))?.filter(|mac| !mac.is_empty()),
        mtu: root.value(folder.join("mtu"), "a number", values::number)?.unwrap_or_default(),
        up: flags & UP != 0,
        // Of a device that is not up the kernel says EINVAL.
        carrier: root.value(folder.join("carrier"), "0 or 1", values::switch).unwrap_or_default(),
        driver: match &function {
            Some(function) => root.link_name(function.join("driver"))?,
            None => root.link_name(folder.join("device/driver"))?,
        },
        usb: folder.components().any(|part| {
            part.as_os_str().to_string_lossy().strip_prefix("usb").is_some_and(|bus| values::number(bus).is_some())
        }),
        functions,
        master: root.link_name(folder.join("master"))?,
        upper: linked("upper_"),
        lower: linked("lower_"),
        addresses: tables.addresses.iter().filter(|(on, _)| is_it(on)).map(|(_, address)| address.clone()).collect(),
        routes: tables.routes.iter().filter(|(on, _)| is_it(on)).map(|(_, route)| route.clone()).collect(),
        virtual_functions,
        physical_function,
    }))
}
