//! Never the network that the node needs.

use super::Allowance;
use super::site::Site;
use crate::base::PciAddress;
use crate::config::node::Risk;
use crate::host::nics::{Role, Source};

/// Why a network function, or one behind a function (a NIC on USB), stays.
pub(super) fn refusals(site: &Site, address: PciAddress, allowance: Allowance<'_>) -> Vec<String> {
    let network = site.pci.get(address).is_some_and(|device| device.function.class >> 16 == 0x02);
    let acknowledged = |risk| allowance.config.acknowledged(address, risk).is_some();
    let mut refusals = Vec::new();
    let links = !site.nics.of(address).is_empty();
    if let Some(driver) = usb_elsewhere(site, address)
        && !acknowledged(Risk::HiddenInterface)
    {
        refusals.push(format!(
            "a NIC on USB at {address} is bound to {driver}, but its interface is not in the node's network namespace: some pod has it \
             (guards.acknowledge with risk: hiddenInterface for this address allows it)"
        ));
    }
    // Who reads only one reason reads the weightiest.
    let mut roles = site.nics.roles(address);
    roles.sort_by_key(|role| !matches!(role, Role::DefaultRoute { .. }));
    for role in roles {
        let (risk, why) = match role {
            Role::Address { link, address: ip, prefix } => {
                (Risk::Uplink, format!("{link} of {address} has the address {ip}/{prefix}"))
            }
            Role::DefaultRoute { link, v6 } => (
                Risk::Uplink,
                format!("the default route{} leads over {link} of {address}", if v6 { " of IPv6" } else { "" }),
            ),
            Role::Route { link, destination, prefix } => {
                (Risk::Uplink, format!("the route to {destination}/{prefix} leads over {link} of {address}"))
            }
            Role::Port { link, master } => (Risk::Uplink, format!("{link} of {address} is a port of {master}")),
            Role::Child { link, child } => (Risk::Uplink, format!("{child} stands on {link} of {address}")),
            Role::NetworkRoot { link } => {
                (Risk::Uplink, format!("the root file system comes over the network, and {link} of {address} is up"))
            }
            // Said where it is about the function and not its network.
            Role::VirtualFunctions { .. } => continue,
            Role::Elsewhere { driver } => (
                Risk::HiddenInterface,
                format!(
                    "{address} is bound to {driver}, but its interface is not in the node's network namespace: some pod has it"
                ),
            ),
            Role::Unknown if !network => continue,
            Role::Unknown => (
                Risk::HiddenInterface,
                format!(
                    "whose network {address} is cannot be seen: /sys shows another network namespace than process 1's"
                ),
            ),
        };
        if !acknowledged(risk) {
            let risk = if risk == Risk::Uplink { "uplink" } else { "hiddenInterface" };
            refusals.push(format!("{why} (guards.acknowledge with risk: {risk} for this address allows it)"));
        }
    }
    // Last: what is known says more.
    if allowance.resource.is_some() && (network || links) && !acknowledged(Risk::Uplink) {
        refusals.extend(unclear(site, address, links));
    }
    refusals
}

/// What keeps us from knowing whether a NIC is needed. Addresses that nobody could place are a reason only where there is a device they
/// could be on.
fn unclear(site: &Site, address: PciAddress, links: bool) -> Option<String> {
    let why = match (site.nics.source, site.nics.unplaced.first()) {
        (Source::Text, _) => {
            "addresses and routes of process 1's network namespace can be seen only in part from here (CAP_SYS_ADMIN is missing)".to_owned()
        }
        (Source::Netlink, Some(ip)) if links => format!("the node has the address {ip}, and on which device is not known"),
        (Source::Netlink, _) => return None,
    };
    Some(format!(
        "whether the node needs {address} is not known: {why} (guards.acknowledge with risk: uplink for this address allows it)"
    ))
}

/// Drivers that make network devices on USB (kernel: drivers/net/usb).
const USB_NICS: [&str; 12] = [
    "asix",
    "ax88179_178a",
    "aqc111",
    "cdc_ether",
    "cdc_mbim",
    "cdc_ncm",
    "lan78xx",
    "qmi_wwan",
    "r8152",
    "rndis_host",
    "smsc75xx",
    "smsc95xx",
];

/// The driver of a NIC on a USB controller of which no network device is to be seen.
fn usb_elsewhere(site: &Site, address: PciAddress) -> Option<&str> {
    if !site.nics.visible {
        return None;
    }
    let hidden = site.usb.controller(address)?.devices.iter().filter(|device| device.nics.is_empty());
    let mut drivers = hidden.flat_map(|device| &device.interfaces).filter_map(|interface| interface.driver.as_deref());
    drivers.find(|driver| USB_NICS.contains(driver))
}
