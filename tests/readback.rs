//! What libvirt and KubeVirt make of a hook's first answer, without either: the captured pairs of passes are the proof.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

use std::fs;

use virt_tailor::kubevirt::readback::{ReadBackError, add_ports, read_back};
use virt_tailor::kubevirt::reduce::{Release, reduce};

const NAMES: [&str; 6] = ["dpdk-worker", "gpu-workstation", "ignition", "plain", "sfc-onload", "vgpu-desktop"];

fn sample(name: &str) -> String {
    fs::read_to_string(format!("{}/tests/data/kubevirt/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Equality that shows where it ends.
fn same(one: &str, other: &str, name: &str) {
    if let Some((line, (one, other))) = (1..).zip(one.lines().zip(other.lines())).find(|(_, (one, other))| one != other)
    {
        panic!("{name}, line {line}:\n{one}\n{other}");
    }
    assert_eq!(one.len(), other.len(), "{name}");
}

/// The read-back of a sample whose first answer is an edit of the input.
fn edited(name: &str, from: &str, to: &str) -> Result<String, ReadBackError> {
    let sent = sample(&format!("{name}.pass1.xml"));
    let answer = sent.replacen(from, to, 1);
    assert_ne!(sent, answer, "{from} is not in {name}");
    read_back(sent.as_bytes(), answer.as_bytes(), Release::default())
}

/// The guest address of the device with an alias.
fn address(domain: &str, alias: &str) -> String {
    let document = roxmltree::Document::parse(domain).unwrap();
    let device = document
        .descendants()
        .find(|node| node.has_tag_name("alias") && node.attribute("name") == Some(alias))
        .and_then(|alias| alias.parent())
        .unwrap();
    let address = device.children().find(|node| node.has_tag_name("address")).unwrap();
    let part = |name| address.attribute(name).unwrap().trim_start_matches("0x");
    format!("{}:{}.{}", part("bus"), part("slot"), part("function"))
}

#[test]
fn an_answer_without_edits_comes_back_as_captured_byte_for_byte() {
    for name in NAMES {
        let sent = sample(&format!("{name}.pass1.xml"));
        let read = read_back(sent.as_bytes(), sent.as_bytes(), Release::default()).unwrap();
        same(&read, &sample(&format!("{name}.pass2.xml")), name);
    }
}

#[test]
fn a_pinned_address_stays_and_the_buses_before_it_are_root_ports() {
    let pin = "<address type=\"pci\" bus=\"0x14\" multifunction=\"on\"/><rom bar=\"off\"/><alias name=\"ua-gpu-gpu0\">";
    let read = edited("gpu-workstation", "<alias name=\"ua-gpu-gpu0\">", pin).unwrap();
    assert_eq!(address(&read, "ua-gpu-gpu0"), "14:00.0");
    assert_eq!(address(&read, "ua-hostdevice-usb"), "09:00.0");
    assert_eq!(read.matches("pcie-root-port").count(), 20, "no spare port then");
    assert!(!read.contains("multifunction") && !read.contains("<rom bar"));
}

#[test]
fn what_the_answer_changed_outside_of_devices_is_forgotten() {
    let read = edited("plain", "<acpi></acpi>", "<acpi></acpi><ioapic driver=\"qemu\"/>").unwrap();
    same(&read, &sample("plain.pass2.xml"), "plain");
}

#[test]
fn two_devices_at_one_address_are_refused_in_libvirts_words() {
    let pin = "<address type=\"pci\" bus=\"0\" slot=\"0x1f\"/><alias name=\"ua-gpu-gpu0\">";
    let error = edited("gpu-workstation", "<alias name=\"ua-gpu-gpu0\">", pin).unwrap_err();
    assert_eq!(error.to_string(), "XML error: Attempted double use of PCI Address 0000:00:1f.0");
}

#[test]
fn spare_ports_are_counted_as_kubevirt_documents_it() {
    let gpu = add_ports(&reduce(sample("gpu-workstation.pass2.xml").as_bytes()).unwrap(), 3).unwrap();
    // 16 GiB; NIC, SCSI, serial, disk, balloon and three host devices: 16 - 8 - 3.
    assert_eq!(gpu.added, 5);
    assert!(gpu.domain.contains("index=\"17\" model=\"pcie-root-port\""));
    // Disk, balloon, two controllers and three host devices sit on ports.
    assert_eq!(gpu.domain.matches("hotplug=\"off\"").count(), 7);
    assert_eq!(add_ports(&gpu.domain, 3).unwrap().added, 5);
}
