//! The root ports that KubeVirt adds before the third call, for devices that are hot-plugged later.

use super::devices::{Device, Kind, devices};
use super::{ReadBackError, reduce};
use crate::xml::{Document, Element};

/// From this memory on a VM counts as large.
const LARGE: u64 = 2 << 30;
/// KubeVirt goes no further.
const LAST_BUS: usize = 31;

/// What KubeVirt did to a domain before the third call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// The domain.
    pub domain: String,
    /// How many root ports were added.
    pub added: usize,
}

/// Adds the spare root ports: `max(16 − in use, 6)` for a large VM, else `max(8 − in use, 3)`, less the placeholders that there were
/// already; and switches hot-plugging off for ports that have a device other than a NIC.
pub fn add_ports(domain: &str, placeholders: usize) -> Result<Ports, ReadBackError> {
    let mut document = reduce::parse(domain.as_bytes())?;
    let Some(parent) = document.child(document.root(), "devices") else {
        return Ok(Ports { domain: domain.to_owned(), added: 0 });
    };
    let on_ports: Vec<Device> = devices(&document, parent).into_iter().filter(is_on_a_port).collect();
    let spare = match memory(&document) > LARGE {
        true => 16_usize.saturating_sub(on_ports.len()).max(6),
        false => 8_usize.saturating_sub(on_ports.len()).max(3),
    };
    occupied(&mut document, parent, &on_ports);
    let last = last_index(&document, parent);
    let added = spare.saturating_sub(placeholders).min(LAST_BUS.saturating_sub(last));
    for index in last + 1..=last + added {
        let port = document.append(parent, "controller");
        document.set_attribute(port, "type", "pci");
        document.set_attribute(port, "index", &index.to_string());
        document.set_attribute(port, "model", "pcie-root-port");
    }
    let text = reduce::reduce_for(&document.to_bytes(), KEEP)?;
    Ok(Ports { domain: text, added })
}

/// The structs once more, in KubeVirt's own order; what a release does not know is gone already.
const KEEP: reduce::Release =
    reduce::Release { keeps_qemu_commandline: true, keeps_nosharepages: true, knows_iommu: true };

fn is_on_a_port(device: &Device) -> bool {
    // NICs have no address yet and will get a port.
    device.kind != Kind::PciController && device.address.is_none_or(|address| address.bus != 0)
}

fn occupied(document: &mut Document, parent: Element, devices: &[Device]) {
    let taken: Vec<u8> = devices
        .iter()
        .filter(|device| device.kind != Kind::Nic)
        .filter_map(|device| device.address.map(|address| address.bus))
        .collect();
    let ports: Vec<Element> = document
        .children_named(parent, "controller")
        .filter(|it| document.attribute(*it, "model").as_deref() == Some("pcie-root-port"))
        .filter(|it| {
            let index = document.attribute(*it, "index").and_then(|index| index.parse().ok());
            index.is_some_and(|index: u8| taken.contains(&index))
        })
        .collect();
    for port in ports {
        let target = document.child(port, "target").unwrap_or_else(|| document.append(port, "target"));
        document.set_attribute(target, "hotplug", "off");
    }
}

fn last_index(document: &Document, parent: Element) -> usize {
    document
        .children_named(parent, "controller")
        .filter(|it| document.attribute(*it, "type").as_deref() == Some("pci"))
        .filter_map(|it| document.attribute(it, "index")?.parse().ok())
        .max()
        .unwrap_or(0)
}

/// The domain's memory in bytes.
fn memory(document: &Document) -> u64 {
    let Some(memory) = document.child(document.root(), "memory") else {
        return 0;
    };
    let unit: u64 = match document.attribute(memory, "unit").as_deref() {
        Some("b" | "bytes") => 1,
        Some("MiB" | "M") => 1 << 20,
        Some("GiB" | "G") => 1 << 30,
        _ => 1 << 10,
    };
    document.text(memory).trim().parse::<u64>().map_or(0, |number| number.saturating_mul(unit))
}
