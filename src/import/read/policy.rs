//! Objects of operators that bring drivers and functions: SriovNetworkNodePolicy, KMM's Module.

use crate::config::tree::Node;
use crate::import::action::{Action, Vfs};
use crate::import::place::Place;
use crate::import::verdict::Verdict;

use super::documents::{at, fields, is_empty, items, map, text, texts, told};
use super::{Reading, ignition};

fn hex(text: &str) -> Option<u16> {
    u16::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

/// SriovNetworkNodePolicy (sriovnetwork.openshift.io/v1).
pub(super) fn sriov(node: &Node, place: &Place, reading: &mut Reading<'_>) {
    let here = at(node, place);
    let Some(spec) = map(node, "spec", place, reading) else {
        reading.malformed(&here, "a SriovNetworkNodePolicy without spec: it has numVfs and nicSelector there");
        return;
    };
    let resource = text(spec, "resourceName").unwrap_or_default();
    let Some(count) = text(spec, "numVfs").and_then(|count| count.parse().ok()) else {
        reading.malformed(&at(spec, place), "numVfs is missing or no number: how many functions each port has");
        return;
    };
    let kind = text(spec, "deviceType").unwrap_or_else(|| "netdevice".to_owned());
    let place_of = |field: &str| spec.get(field).map_or_else(|| here.clone(), |node| at(node, place));
    let said = format!("{resource}: {count} functions, deviceType {kind}");
    if kind != "vfio-pci" {
        let why = "functions with a network device of the node are for pods, and the operator goes on making them; VMs need deviceType: vfio-pci";
        reading.found(&place_of("numVfs"), &said, Action::Told(Verdict::stays(why)));
    } else {
        let mut vfs = Vfs { count, name: Some(format!("openshift.io/{resource}")), ..Vfs::default() };
        if let Some(selector) = map(spec, "nicSelector", place, reading) {
            ports(selector, place, &mut vfs, reading);
        }
        reading.found(&place_of("numVfs"), &said, Action::Vfs(vfs));
    }
    for (field, place, value) in fields(Some(spec), place) {
        let said = format!("{field}: {}", told(value));
        let verdict = match field.as_str() {
            "numVfs" | "nicSelector" | "resourceName" | "deviceType" => continue,
            "nodeSelector" => {
                Verdict::aside("a NodeConfig names nodes by their names: write them in nodes of the resource")
            }
            "priority" => Verdict::aside("one port has one resource here: nothing is to be put in order"),
            "linkType" if told(value).eq_ignore_ascii_case("ib") => {
                Verdict::stays("InfiniBand's links are the node's own network: keep it there")
            }
            "linkType" => Verdict::aside("Ethernet is what functions have anyway"),
            "mtu" => Verdict::stays("the MTU of the physical port is the node's own network: keep it there"),
            "eSwitchMode" if told(value) != "legacy" => Verdict::stays(
                "the mode of the NIC's switch is changed with no function there, by the node's own network",
            ),
            "isRdma" | "needVhostNet" | "vdpaType" | "eSwitchMode" | "externallyManaged" | "excludeTopology" => {
                Verdict::aside("for pods' own network devices: it means nothing to a function that a VM has")
            }
            _ => Verdict::unclear("this field of a SriovNetworkNodePolicy is not read here"),
        };
        reading.found(&place, &said, Action::Told(verdict));
    }
}

/// `nicSelector`: which ports. What cannot be read of it is told, for without it other ports would be meant.
fn ports(selector: &Node, place: &Place, vfs: &mut Vfs, reading: &mut Reading<'_>) {
    for (place, text) in texts(selector, "rootDevices", place, reading) {
        match text.parse() {
            Ok(address) => vfs.addresses.push(address),
            Err(_) => {
                let why = "it is no PCI address dddd:bb:ss.f, e.g. 0000:3b:00.0: the port is not selected";
                reading.unclear(&place, &format!("rootDevices: {text}"), why);
            }
        }
    }
    for (place, name) in texts(selector, "pfNames", place, reading) {
        if let Some((port, part)) = name.split_once('#') {
            let why = format!(
                "functions {part} of {port} alone: a resource of kind sriov has all functions of a port, so that other policies for the same port must go"
            );
            reading.unclear(&place, &format!("pfNames: {name}"), &why);
        }
        // `ens1f0#0-3` is a part of the functions.
        vfs.interfaces.push(name.split('#').next().unwrap_or_default().to_owned());
    }
    for (field, id) in [("vendor", &mut vfs.vendor), ("deviceID", &mut vfs.device)] {
        let Some(text) = text(selector, field) else { continue };
        *id = hex(&text);
        if id.is_none() {
            let place = selector.get(field).map_or_else(|| place.clone(), |node| at(node, place));
            let why = "it is no id of four hexadecimal digits, e.g. \"8086\": ports are not selected by it";
            reading.unclear(&place, &format!("{field}: {text}"), why);
        }
    }
    for (field, place, value) in fields(Some(selector), place) {
        if !["rootDevices", "pfNames", "vendor", "deviceID"].contains(&field.as_str()) && !is_empty(value) {
            let said = format!("nicSelector.{field}: {}", told(value));
            reading.unclear(&place, &said, "ports are not selected by it here: give their addresses");
        }
    }
}

/// Module (kmm.sigs.x-k8s.io/v1beta1).
pub(super) fn kmm(node: &Node, place: &Place, reading: &mut Reading<'_>) {
    let here = at(node, place);
    let container =
        node.get("spec").and_then(|spec| spec.get("moduleLoader")).and_then(|loader| loader.get("container"));
    let Some((container, modprobe)) = container.and_then(|node| node.get("modprobe").map(|modprobe| (node, modprobe)))
    else {
        reading
            .malformed(&here, "a Module without spec.moduleLoader.container.modprobe: the module's name stands there");
        return;
    };
    let order = texts(modprobe, "modulesLoadingOrder", place, reading);
    let Some(module) = text(modprobe, "moduleName").or_else(|| order.first().map(|(_, name)| name.clone())) else {
        reading.malformed(&at(modprobe, place), "modprobe without moduleName: which module is loaded");
        return;
    };
    let parameters = texts(modprobe, "parameters", place, reading);
    for (place, text) in parameters.iter().filter(|(_, text)| !text.contains('=')) {
        reading.unclear(place, &format!("parameters: {text}"), "it is no NAME=VALUE: write the value, too");
    }
    let parameters =
        parameters.iter().filter_map(|(_, text)| text.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned()));
    let selector = node.get("spec").and_then(|spec| spec.get("selector"));
    let vendor = fields(selector, place).iter().find_map(|(label, ..)| label_vendor(label));
    let action = Action::Swap {
        module: module.replace('-', "_"),
        folder: text(modprobe, "dirName"),
        parameters: parameters.collect(),
        vendor,
    };
    reading.found(&at(modprobe, place), &format!("module {module}"), action);
    for (place, name) in order.iter().skip(1) {
        let why = "the modules it needs come and go with it";
        reading.found(place, &format!("modulesLoadingOrder: {name}"), Action::Told(Verdict::now(why)));
    }
    let mut removed: Vec<(Place, String)> = texts(container, "inTreeModulesToRemove", place, reading);
    removed.extend(
        container
            .get("inTreeModuleToRemove")
            .map(|node| (at(node, place), told(node)))
            .filter(|(_, name)| !name.is_empty()),
    );
    for (place, name) in removed {
        let why = "the exchange takes the in-tree module out, and puts it back when the VM has gone";
        reading.found(&place, &format!("inTreeModulesToRemove: {name}"), Action::Told(Verdict::now(why)));
    }
    if let Some(raw) = modprobe.get("rawArgs") {
        reading.unclear(
            &at(raw, place),
            &format!("rawArgs: {}", told(raw)),
            "what modprobe is given here is not followed",
        );
    }
    if let Some(path) = modprobe.get("firmwarePath") {
        let why = "firmware lies below /lib/firmware of the node: put it there with the module's build";
        reading.found(&at(path, place), &format!("firmwarePath: {}", told(path)), Action::Told(Verdict::now(why)));
    }
    let mappings = items(container, "kernelMappings", place, reading);
    for mapping in mappings {
        let why = "the builds for the kernels that nodes have are unpacked into the folder, once; lib/modules/<release> tells them apart";
        reading.found(
            &at(mapping, place),
            &format!("kernelMappings: {}", told(mapping)),
            Action::Told(Verdict::now(why)),
        );
    }
    unread_of_module(node, container, modprobe, place, reading);
    let plugin = node.get("spec").and_then(|spec| spec.get("devicePlugin"));
    if let Some(plugin) = plugin {
        let why = "a device plugin of its own, for pods: left as it is";
        reading.found(&at(plugin, place), "devicePlugin", Action::Told(Verdict::aside(why)));
    }
}

/// The fields of a Module that nobody reads, and those that say where builds come from.
fn unread_of_module(node: &Node, container: &Node, modprobe: &Node, place: &Place, reading: &mut Reading<'_>) {
    for (field, place, value) in fields(Some(container), place) {
        if ["containerImage", "build", "sign"].contains(&field.as_str()) && !is_empty(value) {
            let why = "the builds for the kernels that nodes have are unpacked into the folder, once; lib/modules/<release> tells them apart";
            reading.found(&place, &format!("{field}: {}", told(value)), Action::Told(Verdict::now(why)));
        }
    }
    let spec = node.get("spec");
    for (field, place, value) in fields(spec, place) {
        if field == "selector" && !is_empty(value) {
            let why = "a NodeConfig names nodes by their names: write them in nodes of the resource";
            reading.found(&place, &format!("selector: {}", told(value)), Action::Told(Verdict::aside(why)));
        }
    }
    let own = [
        (spec, "spec.", &["moduleLoader", "devicePlugin", "selector", "imageRepoSecret", "tolerations"][..]),
        (spec.and_then(|spec| spec.get("moduleLoader")), "moduleLoader.", &["container", "serviceAccountName"]),
        (
            Some(container),
            "container.",
            &[
                "modprobe",
                "kernelMappings",
                "inTreeModuleToRemove",
                "inTreeModulesToRemove",
                "containerImage",
                "build",
                "sign",
                "imagePullPolicy",
                "version",
                "registryTLS",
            ],
        ),
        (
            Some(modprobe),
            "modprobe.",
            &["moduleName", "modulesLoadingOrder", "parameters", "dirName", "firmwarePath", "rawArgs"],
        ),
    ];
    for (node, within, known) in own {
        ignition::tell_rest(node, place, within, known, reading);
    }
}

/// The vendor in a label of Node Feature Discovery: `feature.node.kubernetes.io/pci-0200_1924.present`, `…/pci-1924.present`.
fn label_vendor(label: &str) -> Option<u16> {
    let ids = label.strip_prefix("feature.node.kubernetes.io/pci-")?.split('.').next()?;
    hex(ids.rsplit('_').next()?).filter(|_| ids.rsplit('_').next().is_some_and(|id| id.len() == 4))
}
