//! Never the network that the node needs.

use super::Allowance;
use super::site::Site;
use crate::base::PciAddress;
use crate::config::node::Risk;
use crate::host::nics::Role;

/// Why a network function, or one behind a function (a NIC on USB), stays.
pub(super) fn refusals(site: &Site, address: PciAddress, allowance: Allowance<'_>) -> Vec<String> {
    let network = site.pci.get(address).is_some_and(|device| device.function.class >> 16 == 0x02);
    let acknowledged = |risk| allowance.config.acknowledged(address, risk).is_some();
    let mut refusals = Vec::new();
    for role in site.nics.roles(address) {
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
    refusals
}
