//! KubeVirt's list of devices, in its own object or in HyperConverged: what devices are called, and which mediated ones it makes.
//!
//! Sources: kubevirt.io/api/core/v1 `PermittedHostDevices`, `MediatedDevicesConfiguration`; hco.kubevirt.io/v1beta1 the same.

use crate::config::tree::Node;
use crate::import::action::Action;
use crate::import::place::Place;
use crate::import::verdict::Verdict;

use super::arguments::pair;
use super::documents::{at, fields, is_empty, items, map, text, texts, told, yes};
use super::{Reading, ignition};

const OWN: &str = "settings of the cluster's own: left as they are";

/// Reads the object.
pub(super) fn read(node: &Node, place: &Place, reading: &mut Reading<'_>) {
    let spec = map(node, "spec", place, reading);
    // KubeVirt has its settings one level deeper than HyperConverged.
    let configuration = spec.filter(|spec| spec.get("configuration").is_some());
    let configuration = configuration.and_then(|spec| map(spec, "configuration", place, reading));
    let mut others = Vec::new();
    for (field, here, value) in fields(spec, place).into_iter().chain(fields(configuration, place)) {
        match field.as_str() {
            _ if is_empty(value) => {}
            "configuration" => {}
            "permittedHostDevices" | "mediatedDevicesConfiguration" => {
                let within =
                    if configuration.is_some_and(|node| node.get(&field).is_some()) { configuration } else { spec };
                let Some(value) = within.and_then(|node| map(node, &field, &here, reading)) else { continue };
                if field == "permittedHostDevices" {
                    permitted(value, &here, reading)
                } else {
                    made(value, &here, reading)
                }
            }
            _ => others.push((field, here)),
        }
    }
    if let Some((_, here)) = others.first() {
        let names: Vec<&str> = others.iter().map(|(field, _)| field.as_str()).collect();
        reading.found(here, &names.join(", "), Action::Told(Verdict::aside(OWN)));
    }
    let metadata = node.get("metadata");
    for (key, here, value) in fields(metadata.and_then(|metadata| metadata.get("annotations")), place) {
        let value = told(value);
        if key.ends_with("jsonpatch") && ["HostDevices", "ediatedDevices"].iter().any(|word| value.contains(word)) {
            reading.unclear(
                &here,
                &format!("{key}: {value}"),
                "what is patched into KubeVirt so is not read here: import the patched object",
            );
        }
    }
    let has = |field: &str| [spec, configuration].into_iter().flatten().any(|node| node.get(field).is_some());
    if !has("permittedHostDevices") && !has("mediatedDevicesConfiguration") {
        let why = "it permits no host devices: it prepares nothing";
        reading.found(&at(node, place), "without permittedHostDevices", Action::Told(Verdict::aside(why)));
    }
}

/// `permittedHostDevices`.
fn permitted(devices: &Node, place: &Place, reading: &mut Reading<'_>) {
    // The second is HyperConverged's word, the third an older one of KubeVirt's.
    const PCI: [&str; 2] = ["pciHostDevices", "pciDevices"];
    let listed = PCI.map(|field| items(devices, field, place, reading));
    for device in listed.into_iter().flatten() {
        pci(device, &at(device, place), reading);
    }
    for device in items(devices, "mediatedDevices", place, reading) {
        let (place, said) = (at(device, place), told(device));
        let verdict = if yes(device, "disabled") {
            Verdict::aside("the entry is switched off")
        } else if yes(device, "externalResourceProvider") {
            Verdict::stays("KubeVirt's list of mediated devices stays")
        } else {
            Verdict::stays(
                "KubeVirt's list of mediated devices stays: set externalResourceProvider: true where a NodeConfig has the resource",
            )
        };
        reading.found(&place, &said, Action::Told(verdict));
        unread(
            device,
            &place,
            "mediatedDevices",
            &["mdevNameSelector", "resourceName", "externalResourceProvider", "disabled"],
            reading,
        );
    }
    for device in items(devices, "usb", place, reading).iter().chain(items(devices, "usbHostDevices", place, reading)) {
        let why = "KubeVirt hands single USB devices over by itself, and nothing is done at boot for it: left as it is. A whole controller is a resource";
        reading.found(&at(device, place), &told(device), Action::Told(Verdict::aside(why)));
    }
    let known = ["mediatedDevices", "usb", "usbHostDevices"].into_iter().chain(PCI).collect::<Vec<_>>();
    unread(devices, place, "permittedHostDevices", &known, reading);
}

fn pci(device: &Node, place: &Place, reading: &mut Reading<'_>) {
    const SELECTORS: [&str; 2] = ["pciDeviceSelector", "pciVendorSelector"];
    let selector = SELECTORS.iter().find_map(|field| text(device, field)).unwrap_or_default();
    let resource = text(device, "resourceName").unwrap_or_default();
    let said = format!("{resource}: {selector}");
    match pair(&selector) {
        _ if yes(device, "disabled") => {
            reading.found(place, &said, Action::Told(Verdict::aside("the entry is switched off")));
        }
        Some((vendor, device_id)) => {
            let external = yes(device, "externalResourceProvider");
            reading.found(place, &said, Action::Name { resource, vendor, device: device_id, external });
        }
        None => {
            reading.malformed(place, &format!("pciDeviceSelector {selector:?} is not vendor:device, e.g. 10DE:2206"));
        }
    }
    let known = SELECTORS.into_iter().chain(["resourceName", "externalResourceProvider", "disabled"]);
    unread(device, place, "pciHostDevices", &known.collect::<Vec<_>>(), reading);
}

/// `mediatedDevicesConfiguration`: KubeVirt makes them, and removes what it does not know.
fn made(configuration: &Node, place: &Place, reading: &mut Reading<'_>) {
    const TYPES: [&str; 2] = ["mediatedDeviceTypes", "mediatedDevicesTypes"];
    if text(configuration, "enabled").is_some_and(|text| text == "false") {
        let why = "KubeVirt makes and removes no mediated devices: so it must be where a resource of kind mdev does";
        reading.found(place, "mediatedDevicesConfiguration.enabled: false", Action::Told(Verdict::stays(why)));
    }
    let nodes = items(configuration, "nodeMediatedDeviceTypes", place, reading);
    for one in std::iter::once(configuration).chain(nodes) {
        for types in TYPES {
            for (place, type_name) in texts(one, types, place, reading) {
                let said = format!("{types}: {type_name}");
                reading.found(&place, &said, Action::MdevType(type_name));
            }
        }
        let Some(labels) = one.get("nodeSelector").filter(|node| !is_empty(node)) else { continue };
        let why = "a NodeConfig names nodes by their names: write them in nodes of the resource";
        reading.found(
            &at(labels, place),
            &format!("nodeSelector: {}", told(labels)),
            Action::Told(Verdict::aside(why)),
        );
    }
    for one in nodes {
        unread(one, &at(one, place), "nodeMediatedDeviceTypes", &["nodeSelector", TYPES[0], TYPES[1]], reading);
    }
    let known = ["enabled", "nodeMediatedDeviceTypes", "nodeSelector", TYPES[0], TYPES[1]];
    unread(configuration, place, "mediatedDevicesConfiguration", &known, reading);
}

/// Fields that nobody reads.
fn unread(node: &Node, place: &Place, within: &str, known: &[&str], reading: &mut Reading<'_>) {
    ignition::tell_rest(Some(node), place, &format!("{within}."), known, reading);
}
