//! Addresses and routes as rtnetlink tells them, in PID 1's network namespace.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteNextHop, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};

use super::super::error::HostError;
use super::super::folder::read_error;
use super::super::root::Root;
use super::tables::{Address, On, Route, Source, Tables};

/// Asks the kernel. `None` if the root is a captured tree, or PID 1's namespace is another than ours and closed to us.
pub(super) fn read(root: &Root) -> Result<Option<Tables>, HostError> {
    let (proc, ours) = (root.path("proc"), Path::new("/proc/self/net/dev"));
    if !statfs(&proc).is_ok_and(|data| data.filesystem_type() == PROC_SUPER_MAGIC) {
        return Ok(None);
    }
    // Every namespace has its own set of these files, so their inode says which it is, without the right to look at `ns/net` (kernel:
    // fs/proc/proc_net.c; generic.c, proc_alloc_inum).
    let inode = |path: &Path| std::fs::metadata(path).map(|data| data.ino()).map_err(|source| read_error(path, source));
    let theirs = root.path("proc/1/net/dev");
    if inode(&theirs)? == inode(ours)? {
        return dump().map(Some).map_err(|source| read_error(&theirs, source));
    }
    let path = root.path("proc/1/ns/net");
    let namespace = match File::open(&path) {
        Ok(namespace) => namespace,
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
        Err(source) => return Err(read_error(&path, source)),
    };
    // A thread of its own: nobody else's namespace changes, and it needs no way back.
    let thread = std::thread::Builder::new().name("netns".to_owned()).spawn(move || {
        match setns(namespace, CloneFlags::CLONE_NEWNET) {
            Ok(()) => dump().map(Some),
            Err(nix::errno::Errno::EPERM) => Ok(None),
            Err(error) => Err(error.into()),
        }
    });
    let gone = |_| io::Error::other("the thread that entered the namespace broke off");
    thread.and_then(|thread| thread.join().map_err(gone)?).map_err(|source| read_error(&path, source))
}

/// NLM_F_DUMP_INTR: something changed while the kernel was listing, so that entries may be missing (kernel: include/uapi/linux/netlink.h).
const INTERRUPTED: u16 = 0x10;

/// How often a list that changed meanwhile is asked for.
const ATTEMPTS: u32 = 8;

/// Everything, from the namespace of the calling thread.
fn dump() -> io::Result<Tables> {
    for _ in 0..ATTEMPTS {
        if let Some(tables) = dump_once()? {
            return Ok(tables);
        }
    }
    Err(io::Error::other("addresses and routes change faster than they can be listed"))
}

/// Everything; `None` if it changed meanwhile.
fn dump_once() -> io::Result<Option<Tables>> {
    let mut whole = true;
    let mut tables =
        Tables { addresses: Vec::new(), routes: Vec::new(), unplaced: Vec::new(), source: Source::Netlink };
    whole &= ask(RouteNetlinkMessage::GetAddress(AddressMessage::default()), |answer| {
        if let RouteNetlinkMessage::NewAddress(message) = answer {
            tables.addresses.extend(address(&message).map(|address| (On::Index(message.header.index), address)));
        }
    })?;
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        whole &= ask(RouteNetlinkMessage::GetRoute(request), |answer| {
            if let RouteNetlinkMessage::NewRoute(message) = answer {
                tables.routes.extend(routes(&message));
            }
        })?;
    }
    Ok(whole.then_some(tables))
}

/// Sends one request for everything of a kind, and hands out the answers. False if the list changed meanwhile.
fn ask(request: RouteNetlinkMessage, mut take: impl FnMut(RouteNetlinkMessage)) -> io::Result<bool> {
    let mut whole = true;
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    loop {
        let (bytes, _) = socket.recv_from_full()?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
            let length = usize::try_from(message.header.length).map_err(io::Error::other)?;
            whole &= message.header.flags & INTERRUPTED == 0;
            match message.payload {
                NetlinkPayload::InnerMessage(answer) => take(answer),
                NetlinkPayload::Done(_) => return Ok(whole),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => (),
            }
            // Messages begin at multiples of four.
            rest = rest.get(length.next_multiple_of(4).max(4)..).unwrap_or_default();
        }
    }
}

/// An address but for loopback ones; of a point-to-point link the local end.
fn address(message: &AddressMessage) -> Option<Address> {
    let find = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(wanted);
    let local = find(|attribute| if let AddressAttribute::Local(address) = attribute { Some(*address) } else { None });
    let plain =
        || find(|attribute| if let AddressAttribute::Address(address) = attribute { Some(*address) } else { None });
    let address = local.or_else(plain)?;
    (!address.is_loopback()).then_some(Address { address, prefix: message.header.prefix_len })
}

/// The devices of a route, each with it. Only routes that lead out: not those to our own addresses, broadcast, unreachable.
fn routes(message: &RouteMessage) -> Vec<(On, Route)> {
    if message.header.kind != RouteType::Unicast {
        return Vec::new();
    }
    let any = match message.header.address_family {
        AddressFamily::Inet => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        _ => return Vec::new(),
    };
    let (mut destination, mut devices) = (any, Vec::new());
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => destination = (*address).into(),
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => destination = (*address).into(),
            RouteAttribute::Oif(index) => devices.push(*index),
            RouteAttribute::MultiPath(hops) => {
                devices.extend(hops.iter().map(|hop: &RouteNextHop| hop.interface_index))
            }
            _ => (),
        }
    }
    let route = Route { destination, prefix: message.header.destination_prefix_length };
    devices.into_iter().map(|index| (On::Index(index), route.clone())).collect()
}
