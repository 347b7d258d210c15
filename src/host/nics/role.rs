//! What a network function is for.

use std::net::IpAddr;

use super::Nics;
use crate::base::PciAddress;

/// A reason not to take a network function away.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase", tag = "role")]
pub enum Role {
    /// It has an address (link-local IPv6 addresses, which every device has that is up, do not count).
    Address {
        /// The device.
        link: String,
        /// The address.
        address: IpAddr,
        /// Length of its prefix.
        prefix: u8,
    },
    /// The default route leads over it, in some routing table.
    DefaultRoute {
        /// The device.
        link: String,
        /// Whether that of IPv6.
        v6: bool,
    },
    /// Another route leads over it.
    Route {
        /// The device.
        link: String,
        /// To where.
        destination: IpAddr,
        /// Length of its prefix.
        prefix: u8,
    },
    /// It is a port of a bond, bridge, team, VRF or Open vSwitch.
    Port {
        /// The device.
        link: String,
        /// Of what.
        master: String,
    },
    /// A VLAN, macvlan, ipvlan or the like stands on it.
    Child {
        /// The device.
        link: String,
        /// What stands on it.
        child: String,
    },
    /// It has virtual functions, which go when it goes.
    VirtualFunctions {
        /// How many.
        count: usize,
    },
    /// Its device is in another network namespace, so some pod has it.
    Elsewhere {
        /// The driver bound to it.
        driver: String,
    },
    /// The root file system or a disk comes over the network, and this device is up: it may be the one.
    NetworkRoot {
        /// The device.
        link: String,
    },
    /// Nothing can be said: `sys` shows another network namespace than PID 1's.
    Unknown,
}

impl Nics {
    /// What a network function is for; empty if for nothing. A function that is no network function has no role either, except that
    /// [`Role::Unknown`] is said of every function when nothing can be seen.
    pub fn roles(&self, function: PciAddress) -> Vec<Role> {
        if !self.visible {
            return vec![Role::Unknown];
        }
        let mut roles = Vec::new();
        for link in self.of(function) {
            let name = || link.name.clone();
            roles.extend(
                link.addresses.iter().filter(|address| !is_link_local(address.address)).map(|address| Role::Address {
                    link: name(),
                    address: address.address,
                    prefix: address.prefix,
                }),
            );
            for route in link
                .routes
                .iter()
                .filter(|route| !is_link_local(route.destination) && !route.destination.is_multicast())
            {
                let role = match route.prefix {
                    0 => Role::DefaultRoute { link: name(), v6: route.destination.is_ipv6() },
                    prefix => Role::Route { link: name(), destination: route.destination, prefix },
                };
                if !roles.contains(&role) {
                    roles.push(role);
                }
            }
            roles.extend(link.master.iter().map(|master| Role::Port { link: name(), master: master.clone() }));
            let children = link.upper.iter().filter(|upper| Some(*upper) != link.master.as_ref());
            roles.extend(children.map(|child| Role::Child { link: name(), child: child.clone() }));
            if link.virtual_functions > 0 && link.function() == Some(function) {
                roles.push(Role::VirtualFunctions { count: link.virtual_functions });
            }
            if self.network_root && link.up {
                roles.push(Role::NetworkRoot { link: name() });
            }
        }
        let elsewhere = self.elsewhere.iter().filter(|other| other.function == function);
        roles.extend(elsewhere.map(|other| Role::Elsewhere { driver: other.driver.clone() }));
        roles
    }
}

/// Whether an address is one that devices give themselves: fe80::/10.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}
