//! Items of `resources`.

use crate::base::PciAddress;
use crate::config::node::{
    ClassPrefix, CompanionName, Companions, Globs, Kind, Limits, MacAddress, Macs, Period, Release, Resource,
    ResourceName, Selector, Target, VirtualFunctions,
};
use crate::config::problems::Place;
use crate::config::read::{Read, Report, Section, integer, on_off, word};
use crate::config::tree::{Node, Value};

use super::steps::{Steps, required};
use super::target::{Named, target};
use super::values::{line, list_or_one, only_key, parsed};
use super::{item_path, values};

/// An item as far as it could be read: what is compared with other items.
#[derive(Debug)]
pub(super) struct Draft {
    /// Where it stands.
    pub place: Place,
    /// How messages call it.
    pub path: String,
    /// Its name.
    pub name: Option<ResourceName>,
    /// Its nodes, if they could be read.
    pub nodes: Option<Globs>,
    /// The addresses in its selector and among its companions.
    pub addresses: Vec<(Place, PciAddress)>,
    /// The serial number in its selector.
    pub serial: Option<(Place, String)>,
    /// The MAC addresses it names.
    pub macs: Vec<(Place, MacAddress)>,
    /// The whole, if all that it must have could be read.
    pub resource: Option<Resource>,
}

/// Reads the items.
pub(super) fn resources(nodes: &[Node], limits: &Limits, report: &Report) -> Vec<Draft> {
    nodes.iter().enumerate().map(|(index, node)| resource(node, index, limits, report)).collect()
}

fn resource(node: &Node, index: usize, limits: &Limits, report: &Report) -> Draft {
    let known: Option<ResourceName> = node.get("name").and_then(|name| parsed("a name")(name).ok());
    let path = item_path("resources", index, known.as_ref().map(ResourceName::as_str));
    if node.value == Value::Null {
        report.add(&node.place, &path, "the item is empty: give at least name and selector");
    }
    let mut section = Section::open(Some(node), path.clone(), report);
    let name =
        required(&mut section, node, "name", "domain/name, e.g. example.com/gpu", parsed("the name of a resource"));
    if section.node("selector").is_none() && section.is_present() {
        section.problem(
            &node.place,
            "selector",
            "missing: which devices, e.g. selector: {vendor: \"10de\", device: \"2206\"}",
        );
    }
    let (selector, mut addresses) = selector(section.section("selector"));
    let kind = match section.node("kind") {
        None => Some(Kind::Pci),
        Some(_) => section.take(
            "kind",
            word(&[("pci", Kind::Pci), ("sriov", Kind::Sriov), ("mdev", Kind::Mdev), ("vgpu", Kind::Vgpu)]),
        ),
    };
    let serial_place = section.node_of("selector").and_then(|node| node.get("serial")).map(|node| node.place.clone());
    let serial = serial_place.zip(selector.serial.clone());
    let (target, named) = target(&mut section, node, kind);
    let steps = Steps { limits, report };
    let prepare = section.items("prepare");
    let prepare = steps.prepare(prepare, &section.path_of("prepare"), kind);
    let release = release(&mut section, report);
    let may_hold_data = section.take("mayHoldData", on_off).is_some_and(|answer| answer.is_on());
    let namespaces = values::namespaces(&mut section);
    let nodes = values::nodes(&mut section);
    let wholes = Wholes { section: &section, kind, selector: &selector, addresses: &addresses, named: &named };
    wholes.selector();
    wholes.companions();
    wholes.named_nodes(target.as_ref(), nodes.as_ref());
    wholes.macs(target.as_ref(), nodes.as_ref());
    if may_hold_data {
        wholes.may_hold_data();
    }
    section.finish();
    let Named { macs, companions } = named;
    addresses.extend(companions);
    let resource =
        name.clone().zip(target).zip(namespaces.zip(nodes.clone())).map(|((name, target), (namespaces, nodes))| {
            Resource { name, selector, target, prepare, release, may_hold_data, namespaces, nodes }
        });
    Draft { place: node.place.clone(), path, name, nodes, addresses, serial, macs, resource }
}

fn selector(mut section: Section<'_>) -> (Selector, Vec<(Place, PciAddress)>) {
    let mut selector = Selector {
        vendor: section.take("vendor", parsed("a PCI vendor id")),
        device: section.take("device", parsed("a PCI device id")),
        subsystem: section.take("subsystem", parsed("a subsystem, vvvv:dddd")),
        class: section.take("class", class),
        addresses: Vec::new(),
        serial: None,
        numa: None,
    };
    let addresses = list_or_one(&mut section, "address", parsed("a PCI address")).unwrap_or_default();
    selector.serial = section.take("serial", line(64));
    selector.numa = section.take("numa", integer(0..=1023));
    for (i, (place, address)) in addresses.iter().enumerate() {
        if addresses[..i].iter().any(|(_, other)| other == address) {
            section.problem(place, "address", format!("{address} stands here twice"));
        }
    }
    selector.addresses = addresses.iter().map(|(_, address)| *address).collect();
    selector.addresses.sort_unstable();
    section.finish();
    (selector, addresses)
}

/// Bridges have no function a VM could drive (class 06xx), and on the SMBus sit the board's own sensors (0c05).
fn class(node: &Node) -> Read<ClassPrefix> {
    let class: ClassPrefix = parsed("the beginning of a PCI class")(node)?;
    if class.base() == 6 || class.to_string().starts_with("0c05") {
        return Err(format!("{class} are bridges or the board's own bus: these are never handed over"));
    }
    Ok(class)
}

fn release(section: &mut Section<'_>, report: &Report) -> Release {
    let Some(node) = section.node("release") else {
        return Release::Restore;
    };
    let path = section.path_of("release");
    if let Value::Map(_) = &node.value {
        let after = only_key(node, &path, "a policy", &["afterIdle"], report);
        let mut inner = Section::open(after.map(|_| node), path, report);
        let period: Option<Period> = inner.take("afterIdle", parsed("a length of time"));
        return period.map_or(Release::Restore, Release::AfterIdle);
    }
    let words = word(&[("restore", Release::Restore), ("keep", Release::Keep)]);
    let read = |node: &Node| words(node).map_err(|message| format!("{message}; or afterIdle: 10m"));
    section.take("release", read).unwrap_or_default()
}

/// What the fields of one item mean for each other.
struct Wholes<'a> {
    section: &'a Section<'a>,
    kind: Option<Kind>,
    selector: &'a Selector,
    addresses: &'a [(Place, PciAddress)],
    named: &'a Named,
}

impl Wholes<'_> {
    fn field(&self, field: &str, message: impl AsRef<str>) {
        if let Some(place) = self.section.place_of(field) {
            self.section.problem(place, field, message);
        }
    }

    fn selector(&self) {
        let Some(node) = self.section.node_of("selector") else {
            return;
        };
        let given = |field: &str| crate::config::read::is_given(node.get(field));
        let named = given("address") || given("serial");
        let misspelt = self.section.report().is_misspelt(&self.section.path_of("selector"));
        if given("device") && !given("vendor") && !given("address") {
            self.field("selector", "device is a number of the vendor's own: give vendor too");
        } else if !named && !given("vendor") && !given("subsystem") && !given("class") && !misspelt {
            self.field("selector", "selects everything: give vendor and device, a class, address or serial");
        }
        if self.selector.class.is_some_and(|class| class.base() == 1) && !named {
            self.field("selector", "storage is handed over disk by disk: give address or serial");
        }
        if given("serial") && self.kind.is_some_and(|kind| kind != Kind::Pci) {
            self.field(
                "selector",
                "serial is that of a storage device, which is handed over whole: it needs kind: pci",
            );
        }
    }

    /// A device does not go with itself.
    fn companions(&self) {
        for (place, address) in &self.named.companions {
            if self.selector.addresses.contains(address) {
                self.section.problem(
                    place,
                    "companions",
                    format!("{address} is what the selector names: it is no companion"),
                );
            }
        }
    }

    /// The same address is another device on another node.
    fn named_nodes(&self, target: Option<&Target>, nodes: Option<&Globs>) {
        if nodes.is_none_or(|nodes| !nodes.is_any()) {
            return;
        }
        let by_companion = match target {
            Some(Target::Pci { companions: Companions::Only(names), .. }) => {
                names.iter().any(|name| matches!(name, CompanionName::Address(_)))
            }
            _ => false,
        };
        let field = if !self.addresses.is_empty() || self.selector.serial.is_some() {
            "selector"
        } else if by_companion {
            "companions"
        } else {
            return;
        };
        let message = "names single devices, and what has this address or serial on one node is another on the next: name the nodes, e.g. nodes: [worker-1]";
        self.field(field, message);
    }

    fn macs(&self, target: Option<&Target>, nodes: Option<&Globs>) {
        let Some(Target::Sriov { functions: VirtualFunctions { mac: Some(Macs::Addresses(given)), vfs, .. }, .. }) =
            target
        else {
            return;
        };
        let Some((place, _)) = self.named.macs.first() else {
            return;
        };
        let path = self.section.path_of("sriov") + ".mac.addresses";
        let problem = |message: String| self.section.report().add(place, &path, message);
        if given.len() != usize::from(*vfs) {
            problem(format!("{} for vfs: {vfs}: each function has its own", given.len()));
        }
        if self.addresses.len() != 1 || nodes.is_some_and(|nodes| nodes.only_name().is_none()) {
            problem(
                "a MAC address is on the network once: the selector must have one address, and nodes one name; or give a prefix"
                    .to_owned(),
            );
        }
    }

    fn may_hold_data(&self) {
        if self.kind.is_some_and(|kind| kind != Kind::Pci) {
            self.field("mayHoldData", "is for storage that is handed over whole (kind: pci)");
        } else if !self.selector.names_devices() {
            self.field("mayHoldData", "is for single disks: give the selector their address or serial");
        } else if self.selector.class.is_some_and(|class| class.base() != 1) {
            self.field("mayHoldData", "is for storage, and the selector's class is none (01)");
        }
    }
}
