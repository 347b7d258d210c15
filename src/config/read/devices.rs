//! Items of `hostDevices`.

use std::collections::BTreeMap;

use crate::config::scalars::DeviceSelector;
use crate::config::spec::{Driver, HostDevice, Rom};
use crate::config::tree::{Node, Value, quote};

use super::profile::{auto_off, named};
use super::values::{
    Read, absolute_path, guest_address, integer, on_off, property, selector, some_text,
};
use super::{Report, Section};

/// Reads the items; an item without a device, or for a device that has one already, is told and left out.
pub(super) fn host_devices(nodes: &[Node], report: &Report) -> Vec<HostDevice> {
    let mut items: Vec<HostDevice> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let Some(item) = host_device(node, index, report) else {
            continue;
        };
        let same = |other: &HostDevice| other.device == item.device;
        if items.iter().any(same) {
            let message = "has an item in this list already: write all its fields in one";
            report.add(&node.place, &item_path(&item.device), message);
        } else {
            items.push(item);
        }
    }
    items
}

/// `hostDevices[gpu0]`, the device in its canonical form.
pub(in crate::config) fn item_path(device: &DeviceSelector) -> String {
    format!("hostDevices[{device}]")
}

/// The device an item is for, if it says.
pub(in crate::config) fn device_of(item: &Node) -> Option<DeviceSelector> {
    match &item.get("device")?.value {
        Value::Scalar(scalar) => scalar.text.parse().ok(),
        _ => None,
    }
}

fn host_device(node: &Node, index: usize, report: &Report) -> Option<HostDevice> {
    let path = device_of(node).map_or_else(
        || format!("hostDevices[{index}]"),
        |device| item_path(&device),
    );
    if node.value == Value::Null {
        report.add(&node.place, &path, "an item is empty: give at least device");
        return None;
    }
    let mut section = Section::open(Some(node), path, report);
    if section.is_present() && !super::profile::is_given(node.get("device")) {
        let message =
            "device is missing: a KubeVirt name, an alias, a host address or vendor:device";
        section.problem(&node.place, "", message);
    }
    let device = section.take("device", selector);
    let item = HostDevice {
        address: section.take("address", guest_address),
        functions: functions(&mut section, device.as_ref()),
        companions: section.take("companions", auto_off),
        rom: rom(section.section("rom")),
        boot_order: section.take("bootOrder", integer(1..=i128::from(u32::MAX))),
        acpi_index: section.take("acpiIndex", integer(1..=16383)),
        driver: driver(section.section("driver")),
        properties: section.map("properties", property_name, property),
        device: device
            .clone()
            .unwrap_or(DeviceSelector::Name(String::new())),
    };
    section.finish();
    device.map(|_| item)
}

fn functions(section: &mut Section<'_>, own: Option<&DeviceSelector>) -> BTreeMap<String, u8> {
    let name = |text: &str| {
        let device: DeviceSelector = text
            .parse()
            .map_err(|error: crate::config::scalars::DeviceSelectorError| error.to_string())?;
        match device {
            DeviceSelector::Ids { .. } => Err(format!(
                "{device} may be several devices: name the one by its KubeVirt name, alias or host address"
            )),
            _ if Some(&device) == own => Err(format!(
                "{device} is the item's own device: it is function 0"
            )),
            _ => Ok(device.to_string()),
        }
    };
    let functions = section.map("functions", name, integer::<u8>(1..=7));
    let mut taken: BTreeMap<u8, &str> = BTreeMap::new();
    for (device, function) in &functions {
        if let Some(other) = taken.insert(*function, device)
            && let Some(place) = section.place_of("functions")
        {
            let message = format!("{other} and {device} both want function {function}");
            section.problem(place, "functions", message);
        }
    }
    functions
}

fn rom(mut section: Section<'_>) -> Rom {
    let rom = Rom {
        bar: section.take("bar", on_off),
        file: section.take("file", absolute_path),
    };
    section.finish();
    rom
}

fn driver(mut section: Section<'_>) -> Driver {
    let model = |node: &Node| {
        let name = some_text(node)?;
        named(&name, "a host driver", |c| {
            c.is_ascii_alphanumeric() || c == '-' || c == '_'
        })
    };
    let driver = Driver {
        iommufd: section.take("iommufd", on_off),
        model: section.take("model", model),
    };
    section.finish();
    driver
}

/// Properties that libvirt itself decides, and what to write instead: overriding them would contradict its own view of the device.
const NOT_OVERRIDDEN: [(&str, &str); 14] = [
    ("id", "it is the alias, and libvirt forbids it"),
    ("driver", "it is what the device is"),
    ("host", "KubeVirt chooses the host device"),
    ("sysfsdev", "KubeVirt chooses the host device"),
    ("vf-token", "KubeVirt chooses the host device"),
    ("fd", "libvirt opens the device"),
    ("iommufd", "use driver.iommufd"),
    ("bus", "use address"),
    ("addr", "use address"),
    ("multifunction", "use functions"),
    ("rombar", "use rom.bar"),
    ("romfile", "use rom.file"),
    ("bootindex", "use bootOrder"),
    ("acpi-index", "use acpiIndex"),
];

fn property_name(name: &str) -> Read<String> {
    if let Some((_, instead)) = NOT_OVERRIDDEN.iter().find(|(n, _)| *n == name) {
        return Err(format!("{} cannot be overridden: {instead}", quote(name)));
    }
    named(name, "a QEMU property", |c| {
        c.is_ascii_alphanumeric() || "-_.[]".contains(c)
    })
}
