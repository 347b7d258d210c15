//! What a VM gets of a selected device: the kind of a resource and the fields that belong to it.

use crate::base::PciAddress;
use crate::config::node::{
    CompanionName, Companions, Driver, Kind, LinkState, MacAddress, Macs, Mediated, Target, VirtualFunctions, Vlan,
    VlanProtocol,
};
use crate::config::problems::Place;
use crate::config::read::{Read, Section, integer, on_off, scalar, word};
use crate::config::tree::{Node, Value};

use super::values::{only_key, parsed, whole_list};

/// Most devices that one device is made into.
const MOST_PARTS: i128 = 256;

/// What a target names that nobody else may name.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// MAC addresses.
    pub macs: Vec<(Place, MacAddress)>,
    /// Companions by address.
    pub companions: Vec<(Place, PciAddress)>,
}

/// What a VM gets. A field or a section that another kind has is told.
pub(super) fn target(section: &mut Section<'_>, node: &Node, kind: Option<Kind>) -> (Option<Target>, Named) {
    let mut named = Named::default();
    let driver = section.take("driver", driver);
    let companions = companions(section, &mut named);
    let own: [(&str, &[Kind], &str); 5] = [
        ("driver", &[Kind::Pci, Kind::Sriov], "the device stays with its driver on the host"),
        ("companions", &[Kind::Pci], "only a whole function has companions (kind: pci)"),
        ("sriov", &[Kind::Sriov], "it needs kind: sriov"),
        ("mdev", &[Kind::Mdev], "it needs kind: mdev"),
        ("vgpu", &[Kind::Vgpu], "it needs kind: vgpu"),
    ];
    let functions = functions(section.section("sriov"), &mut named);
    let mdev = mediated(section.section("mdev"));
    let vgpu = mediated(section.section("vgpu"));
    let Some(kind) = kind else {
        return (None, named);
    };
    for (field, kinds, why) in own {
        let Some(place) = section.place_of(field).filter(|_| !kinds.contains(&kind)) else {
            continue;
        };
        section.problem(place, field, format!("is not for kind {}: {why}", word_of(kind)));
    }
    let needed = [
        (Kind::Sriov, "sriov", "at least sriov: {vfs: N}, how many functions each device is to have"),
        (Kind::Mdev, "mdev", "at least mdev: {type: …}, which type the devices are of"),
        (Kind::Vgpu, "vgpu", "at least vgpu: {type: …}, which type the virtual GPUs are of"),
    ];
    for (one, field, what) in needed {
        if one == kind && section.place_of(field).is_none() {
            section.problem(&node.place, field, format!("missing: {what}"));
        }
    }
    let target = match kind {
        Kind::Pci => {
            Some(Target::Pci { driver: driver.unwrap_or_default(), companions: companions.unwrap_or_default() })
        }
        Kind::Sriov => functions.map(|functions| Target::Sriov { driver: driver.unwrap_or_default(), functions }),
        Kind::Mdev => mdev.map(Target::Mdev),
        Kind::Vgpu => vgpu.map(Target::Vgpu),
    };
    (target, named)
}

fn word_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Pci => "pci",
        Kind::Sriov => "sriov",
        Kind::Mdev => "mdev",
        Kind::Vgpu => "vgpu",
    }
}

fn driver(node: &Node) -> Read<Driver> {
    let expected = "auto, vfio-pci or a variant of it";
    if scalar(node, expected)?.text == "auto" {
        return Ok(Driver::Auto);
    }
    parsed(expected)(node).map(Driver::Named)
}

fn companions(section: &mut Section<'_>, named: &mut Named) -> Option<Companions> {
    let node = section.node("companions")?;
    if matches!(node.value, Value::List(_)) {
        let names = whole_list(section, "companions", parsed::<CompanionName>("an address or ids"))?;
        named.companions.extend(names.iter().filter_map(|(place, name)| match name {
            CompanionName::Address(address) => Some((place.clone(), *address)),
            CompanionName::Ids { .. } => None,
        }));
        let mut names: Vec<CompanionName> = names.into_iter().map(|(_, name)| name).collect();
        names.sort_unstable();
        names.dedup();
        return Some(Companions::Only(names));
    }
    let auto = |node: &Node| {
        word(&[("auto", true), ("off", false)])(node)
            .map_err(|message| format!("{message}; or a list of addresses and ids, e.g. [0000:01:00.1]"))
    };
    section.take("companions", auto).map(|auto| if auto { Companions::Auto } else { Companions::Off })
}

/// `None` if it is absent or says no number of functions.
fn functions(mut section: Section<'_>, named: &mut Named) -> Option<VirtualFunctions> {
    let place = section.place().cloned();
    let vfs = section.take("vfs", integer::<u16>(1..=MOST_PARTS));
    if let Some(place) = &place
        && section.node("vfs").is_none()
    {
        section.problem(place, "vfs", "missing: how many functions each device is to have");
    }
    let mac = macs(&mut section, named);
    let vlan = vlan(section.section("vlan"));
    let functions = VirtualFunctions {
        vfs: vfs.unwrap_or(1),
        mac,
        vlan,
        trust: section.take("trust", on_off),
        spoof_check: section.take("spoofCheck", on_off),
        link_state: section.take(
            "linkState",
            word(&[("auto", LinkState::Auto), ("enable", LinkState::Enable), ("disable", LinkState::Disable)]),
        ),
        min_tx_rate: section.take("minTxRate", integer(1..=i128::from(u32::MAX))),
        max_tx_rate: section.take("maxTxRate", integer(1..=i128::from(u32::MAX))),
    };
    if let (Some(min), Some(max)) = (functions.min_tx_rate, functions.max_tx_rate)
        && min > max
        && let Some(place) = section.place_of("minTxRate")
    {
        section.problem(place, "minTxRate", format!("{min} Mbit/s are more than maxTxRate, {max}"));
    }
    section.finish();
    vfs.map(|_| functions)
}

fn macs(section: &mut Section<'_>, named: &mut Named) -> Option<Macs> {
    let node = section.node("mac")?;
    let report = section.report();
    let path = section.path_of("mac");
    let (key, _) = only_key(node, &path, "a rule for MAC addresses", &["prefix", "addresses"], report)?;
    let mut inner = Section::open(Some(node), path, report);
    if key == "prefix" {
        return inner.take("prefix", parsed("three octets")).map(Macs::Prefix);
    }
    let addresses = whole_list(&mut inner, "addresses", parsed::<MacAddress>("a MAC address"))?;
    named.macs.extend(addresses.iter().cloned());
    Some(Macs::Addresses(addresses.into_iter().map(|(_, address)| address).collect()))
}

fn vlan(mut section: Section<'_>) -> Option<Vlan> {
    let place = section.place().cloned();
    let id = section.take("id", integer::<u16>(1..=4094));
    if let Some(place) = &place
        && section.node("id").is_none()
    {
        section.problem(place, "id", "missing: the VLAN's id, 1 to 4094");
    }
    let proto = word(&[("802.1Q", VlanProtocol::Dot1q), ("802.1ad", VlanProtocol::Dot1ad)]);
    let (qos, proto) = (section.take("qos", integer(0..=7)), section.take("proto", proto));
    section.finish();
    id.map(|id| Vlan { id, qos: qos.unwrap_or_default(), proto: proto.unwrap_or_default() })
}

fn mediated(mut section: Section<'_>) -> Option<Mediated> {
    let place = section.place().cloned();
    let type_name = section.take("type", parsed("a type by its id or its name"));
    if let Some(place) = &place
        && section.node("type").is_none()
    {
        section.problem(place, "type", "missing: a type by its id or its name, as the driver shows it");
    }
    let count = section.take("count", integer(1..=MOST_PARTS));
    section.finish();
    type_name.map(|type_name| Mediated { type_name, count })
}
