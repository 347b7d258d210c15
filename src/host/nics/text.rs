//! What `/proc/1/net` tells as text: works in a captured tree, and needs no right to enter the namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::error::HostError;
use super::super::root::Root;
use super::tables::{Address, On, Route, Source, Tables};

/// RTF_UP and, in IPv6, RTF_LOCAL and RTF_ANYCAST: routes to addresses of our own (kernel: include/uapi/linux/route.h, ipv6_route.h).
const RTF_UP: u32 = 0x1;
const RTF_OURS: u32 = 0x8000_0000 | 0x0010_0000;
/// RTF_REJECT: an unreachable destination, which the kernel hangs on `lo`.
const RTF_REJECT: u32 = 0x0200;

/// The devices of PID 1's namespace, sorted. From `dev`: two lines of heading, then `name: numbers` (kernel: net/core/net-procfs.c).
pub(super) fn names(root: &Root) -> Result<Vec<String>, HostError> {
    let text = root.text("proc/1/net/dev")?.unwrap_or_default();
    // A name may hold a colon (an old alias): the numbers after the last one begin with a digit or blank.
    let mut names: Vec<String> =
        text.lines().skip(2).filter_map(|line| Some(line.rsplit_once(':')?.0.trim().to_owned())).collect();
    names.sort();
    Ok(names)
}

/// Numbers and names of devices, as far as these texts name both: devices with an IPv6 address, or with a multicast hardware address.
pub(super) fn indices(root: &Root) -> Result<Vec<(u32, String)>, HostError> {
    let mut found = Vec::new();
    for line in root.text("proc/1/net/if_inet6")?.unwrap_or_default().lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        if let [_, index, _, _, _, name] = fields.as_slice()
            && let Ok(index) = u32::from_str_radix(index, 16)
        {
            found.push((index, (*name).to_owned()));
        }
    }
    for line in root.text("proc/1/net/dev_mcast")?.unwrap_or_default().lines() {
        let mut fields = line.split_ascii_whitespace();
        if let (Some(index), Some(name)) = (fields.next(), fields.next())
            && let Some(index) = super::super::values::number(index)
        {
            found.push((index, name.to_owned()));
        }
    }
    Ok(found)
}

/// Addresses and routes from the texts.
pub(super) fn read(root: &Root) -> Result<Tables, HostError> {
    let text = |name: &str| Ok::<_, HostError>(root.text(format!("proc/1/net/{name}"))?.unwrap_or_default());
    let routes4: Vec<(String, Ipv4Addr, u8)> = text("route")?.lines().skip(1).filter_map(route4).collect();
    let mut addresses = Vec::new();
    let mut unplaced = Vec::new();
    for address in local4(&text("fib_trie")?) {
        if address.is_loopback() {
            continue;
        }
        // The connected route that an address lies in names its device; the longest, as for a packet.
        let within =
            |(_, destination, prefix): &&(String, Ipv4Addr, u8)| *prefix > 0 && mask(address, *prefix) == *destination;
        match routes4.iter().filter(within).max_by_key(|(_, _, prefix)| *prefix) {
            Some((name, _, prefix)) => {
                addresses.push((On::Name(name.clone()), Address { address: address.into(), prefix: *prefix }))
            }
            None => unplaced.push(IpAddr::V4(address)),
        }
    }
    addresses.extend(text("if_inet6")?.lines().filter_map(address6));
    let mut routes: Vec<(On, Route)> = routes4
        .into_iter()
        .map(|(name, destination, prefix)| (On::Name(name), Route { destination: destination.into(), prefix }))
        .collect();
    routes.extend(text("ipv6_route")?.lines().filter_map(route6));
    Ok(Tables { addresses, routes, unplaced, source: Source::Text })
}

/// `name destination gateway flags refcnt use metric mask …`, numbers as the CPU stores them, which is little-endian on all that we run on
/// but s390x (kernel: net/ipv4/fib_trie.c, fib_route_seq_show).
fn route4(line: &str) -> Option<(String, Ipv4Addr, u8)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let number = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok();
    let (destination, flags, mask) = (number(1)?, number(3)?, number(7)?);
    let wanted = flags & RTF_UP != 0 && flags & RTF_REJECT == 0;
    let prefix = u8::try_from(mask.count_ones()).ok()?;
    wanted.then(|| Some(((*fields.first()?).to_owned(), Ipv4Addr::from(destination.to_ne_bytes()), prefix)))?
}

/// The machine's own IPv4 addresses: in the trie, a leaf `|-- a.b.c.d` below which stands `/32 host LOCAL`. Every table is shown, and an address
/// may be in several.
fn local4(trie: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut leaf = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = leaf
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// `address index prefix scope flags name` (kernel: net/ipv6/addrconf.c, if6_seq_show). The loopback address is nobody's role.
fn address6(line: &str) -> Option<(On, Address)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [address, _, prefix, _, _, name] = fields.as_slice() else { return None };
    let address = v6(address)?;
    let prefix = u8::from_str_radix(prefix, 16).ok()?;
    (!address.is_loopback()).then(|| (On::Name((*name).to_owned()), Address { address: address.into(), prefix }))
}

/// `destination prefix source prefix next-hop metric refcnt use flags name` (kernel: net/ipv6/route.c, rt6_native_seq_show).
fn route6(line: &str) -> Option<(On, Route)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [destination, prefix, .., flags, name] = fields.as_slice() else { return None };
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let destination = v6(destination)?;
    let prefix = u8::from_str_radix(prefix, 16).ok()?;
    let wanted = flags & RTF_UP != 0 && flags & (RTF_OURS | RTF_REJECT) == 0 && !destination.is_multicast();
    wanted.then(|| (On::Name((*name).to_owned()), Route { destination: destination.into(), prefix }))
}

fn v6(text: &str) -> Option<Ipv6Addr> {
    (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok().map(Ipv6Addr::from))?
}

fn mask(address: Ipv4Addr, prefix: u8) -> Ipv4Addr {
    let bits = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
    Ipv4Addr::from(u32::from(address) & bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_of_the_main_table() {
        let line = "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0";
        assert_eq!(route4(line), Some(("eth0".to_owned(), Ipv4Addr::new(192, 0, 2, 0), 24)));
        let default = "eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0";
        assert_eq!(route4(default), Some(("eth0".to_owned(), Ipv4Addr::UNSPECIFIED, 0)));
        assert_eq!(route4("eth0 00000000 010200C0 0002 0 0 0 00000000 0 0 0"), None, "not up");
    }

    #[test]
    fn own_addresses_in_the_trie() {
        let trie = "Main:\n  |-- 192.0.2.0\n     /24 link UNICAST\n  |-- 192.0.2.2\n     /32 host LOCAL\n  |-- 192.0.2.255\n     /32 link BROADCAST\nLocal:\n  |-- 192.0.2.2\n     /32 host LOCAL\n";
        assert_eq!(local4(trie), [Ipv4Addr::new(192, 0, 2, 2)]);
    }

    #[test]
    fn routes_of_ipv6_but_those_to_ourselves() {
        let zero = "00000000000000000000000000000000";
        let default = format!(
            "{zero} 00 {zero} 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0"
        );
        let (on, route) = route6(&default).unwrap();
        assert_eq!((on, route.prefix), (On::Name("eth0".to_owned()), 0));
        for flags in ["80200001", "00200200", "00000000"] {
            let line = format!(
                "fd000000000000000000000000000002 80 {zero} 00 {zero} 00000000 00000003 00000000 {flags}     eth0"
            );
            assert_eq!(route6(&line), None, "{flags}");
        }
    }
}
