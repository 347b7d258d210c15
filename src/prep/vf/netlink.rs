//! VF attributes over rtnetlink: `RTM_GETLINK` with `IFLA_EXT_MASK`, `RTM_SETLINK` with `IFLA_VFINFO_LIST` (rtnetlink(7),
//! kernel: include/uapi/linux/if_link.h, net/core/rtnetlink.c).

use std::fs::File;
use std::io;
use std::thread;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage, LinkVfInfo, VfInfo, VfInfoLinkState, VfInfoMac, VfInfoRate,
    VfInfoSpoofCheck, VfInfoTrust, VfInfoVlan, VfLinkState, VfVlan, VfVlanInfo, VlanProtocol as Tag,
};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::sched::{CloneFlags, setns};

use super::{LinkState, Mac, Rate, VfAttributes, VfSetting, Vlan, VlanProtocol};
use crate::host::Root;

/// What a PF's network interface says of itself and of one VF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::prep) struct VfReport {
    /// Whether the PF's interface is up.
    pub(in crate::prep) up: bool,
    /// The VF's attributes; `None` if there is no such VF.
    pub(in crate::prep) attributes: Option<VfAttributes>,
}

/// Reads the attributes of a VF from the PF whose interface has this index in PID 1's network namespace.
pub(in crate::prep) fn read(root: &Root, interface: u32, index: u32) -> io::Result<VfReport> {
    report(ask(root, RouteNetlinkMessage::GetLink(question(interface)), NLM_F_REQUEST)?, index)
}

fn question(interface: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = interface;
    // Without the statistics, a PF may have many VFs before their list outgrows an attribute (64 KiB).
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::Vf, LinkExtentMask::SkipStats]));
    message
}

fn report(answer: Option<RouteNetlinkMessage>, index: u32) -> io::Result<VfReport> {
    let Some(RouteNetlinkMessage::NewLink(link)) = answer else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel answered something else"));
    };
    let vfs = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::VfInfoList(vfs) => Some(vfs.as_slice()),
        _ => None,
    });
    let attributes = vfs.unwrap_or_default().iter().find_map(|vf| attributes_of(vf, index));
    Ok(VfReport { up: link.header.flags.contains(LinkFlags::Up), attributes })
}

/// Makes one change.
pub(in crate::prep) fn set(root: &Root, interface: u32, index: u32, setting: VfSetting) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = interface;
    message.attributes.push(LinkAttribute::VfInfoList(vec![LinkVfInfo(vec![info(index, setting)])]));
    ask(root, RouteNetlinkMessage::SetLink(message), NLM_F_REQUEST | NLM_F_ACK).map(drop)
}

/// One VF's attributes, if it is the one.
fn attributes_of(LinkVfInfo(list): &LinkVfInfo, index: u32) -> Option<VfAttributes> {
    let mut all = VfAttributes::default();
    let mut found = false;
    for info in list {
        match info {
            VfInfo::Mac(mac) => {
                // The first attribute of each, and the one that names it.
                found = mac.vf_id == index;
                let mut bytes = [0; 6];
                bytes.copy_from_slice(&mac.mac[..6]);
                all.mac = Some(Mac(bytes));
            }
            VfInfo::Vlan(vlan) => all.vlan = all.vlan.or(tag(vlan.vlan_id, vlan.qos, Tag::Ieee8021Q)),
            VfInfo::VlanList(list) => {
                all.vlan = list.iter().find_map(|vlan| match vlan {
                    VfVlan::Info(vlan) => tag(vlan.vlan_id, vlan.qos, vlan.protocol),
                    _ => None,
                });
            }
            VfInfo::Rate(rate) => all.rate = Some(Rate { min: rate.min_tx_rate, max: rate.max_tx_rate }),
            VfInfo::SpoofCheck(check) => all.spoof_check = Some(check.enabled),
            VfInfo::Trust(trust) => all.trust = Some(trust.enabled),
            VfInfo::LinkState(link) => {
                all.link_state = match link.state {
                    VfLinkState::Auto => Some(LinkState::Auto),
                    VfLinkState::Enable => Some(LinkState::Enable),
                    VfLinkState::Disable => Some(LinkState::Disable),
                    _ => None,
                };
            }
            _ => (),
        }
    }
    found.then_some(all)
}

fn tag(id: u32, qos: u32, protocol: Tag) -> Option<Vlan> {
    let protocol = match protocol {
        Tag::Ieee8021Ad => VlanProtocol::Provider,
        _ => VlanProtocol::Customer,
    };
    Some(Vlan { id: id.try_into().ok()?, qos: qos.try_into().ok()?, protocol })
}

/// A change as the kernel reads it.
fn info(index: u32, setting: VfSetting) -> VfInfo {
    match setting {
        VfSetting::Mac(mac) => VfInfo::Mac(VfInfoMac::new(index, &mac.0)),
        VfSetting::Vlan(Vlan { id, qos, protocol: VlanProtocol::Customer }) => {
            VfInfo::Vlan(VfInfoVlan::new(index, id.into(), qos.into()))
        }
        VfSetting::Vlan(Vlan { id, qos, protocol: VlanProtocol::Provider }) => {
            VfInfo::VlanList(vec![VfVlan::Info(VfVlanInfo::new(index, id.into(), qos.into(), Tag::Ieee8021Ad))])
        }
        VfSetting::Rate(Rate { min, max }) => VfInfo::Rate(VfInfoRate::new(index, min, max)),
        VfSetting::SpoofCheck(on) => VfInfo::SpoofCheck(VfInfoSpoofCheck::new(index, on)),
        VfSetting::Trust(on) => VfInfo::Trust(VfInfoTrust::new(index, on)),
        VfSetting::LinkState(state) => {
            let state = match state {
                LinkState::Auto => VfLinkState::Auto,
                LinkState::Enable => VfLinkState::Enable,
                LinkState::Disable => VfLinkState::Disable,
            };
            VfInfo::LinkState(VfInfoLinkState::new(index, state))
        }
    }
}

/// One question and its answer, in PID 1's network namespace; `None` is a bare acknowledgement.
fn ask(root: &Root, message: RouteNetlinkMessage, flags: u16) -> io::Result<Option<RouteNetlinkMessage>> {
    let host = File::open(root.path("proc/1/ns/net"))?;
    // Whoever changes its namespace keeps it: a thread that ends with the question.
    thread::spawn(move || {
        setns(host, CloneFlags::CLONE_NEWNET)?;
        talk(message, flags)
    })
    .join()
    .unwrap_or_else(|_| Err(io::Error::other("the thread that asked the kernel is gone")))
}

fn talk(message: RouteNetlinkMessage, flags: u16) -> io::Result<Option<RouteNetlinkMessage>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut question = NetlinkMessage::new(header, NetlinkPayload::from(message));
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (bytes, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    match answer.payload {
        NetlinkPayload::Error(error) => match error.code {
            Some(_) => Err(error.to_io()),
            None => Ok(None),
        },
        NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood_as_it_is_spoken_to() {
        let vlan = Vlan { id: 100, qos: 3, protocol: VlanProtocol::Provider };
        let asked = VfAttributes {
            mac: Some(Mac([0x52, 0x54, 0, 0, 0, 1])),
            vlan: Some(vlan),
            rate: Some(Rate { min: 10, max: 100 }),
            spoof_check: Some(true),
            trust: Some(true),
            link_state: Some(LinkState::Disable),
        };
        let mut list: Vec<VfInfo> =
            asked.changes_from(&VfAttributes::default()).into_iter().map(|setting| info(3, setting)).collect();
        // The kernel reports the MAC first.
        list.swap(0, 1);
        let vf = LinkVfInfo(list);
        assert_eq!(attributes_of(&vf, 3), Some(asked));
        assert_eq!(attributes_of(&vf, 2), None);
    }

    fn reported(interface: u32) -> io::Result<VfReport> {
        report(talk(RouteNetlinkMessage::GetLink(question(interface)), NLM_F_REQUEST)?, 0)
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_error_with_its_number() {
        let error = reported(2_000_000_000).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENODEV), "{error}");
    }

    #[test]
    fn what_has_no_vfs_says_so() {
        // The loopback interface is the first of every namespace.
        assert_eq!(reported(1).unwrap().attributes, None);
    }
}
