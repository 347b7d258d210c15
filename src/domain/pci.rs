//! Guest PCI addresses, buses and controllers.

use crate::base::PciAddress;
use crate::config::AutoSize;
use crate::xml::{Document, Element};

use super::editor::{Editor, Why};
use super::units::{Machine, bytes, number};

/// The highest bus on which KubeVirt still adds spare hot-plug ports (KubeVirt docs/pci-topology.md).
const KUBEVIRT_LAST_BUS: u8 = 31;

/// A PCI address given in attributes `domain bus slot function`; missing ones are 0. `None` if one is not in range.
pub(super) fn read_address(doc: &Document, address: Element) -> Option<PciAddress> {
    let part = |name| doc.attribute(address, name).map_or(Some(0), |text| number(&text));
    PciAddress::new(
        part("domain")?,
        u8::try_from(part("bus")?).ok()?,
        u8::try_from(part("slot")?).ok()?,
        u8::try_from(part("function")?).ok()?,
    )
}

/// The `<address>` child of a device.
pub(super) fn address_element(doc: &Document, device: Element) -> Option<Element> {
    doc.child(device, "address")
}

/// The guest PCI address of a device. All zeros means "please assign" to libvirt (libvirt docs/pci-addresses.rst), so that is none.
pub(super) fn guest_address(doc: &Document, device: Element) -> Option<PciAddress> {
    let address = address_element(doc, device)?;
    let pci = doc.attribute(address, "type").is_none_or(|kind| kind == "pci");
    let zero = PciAddress::new(0, 0, 0, 0);
    pci.then(|| read_address(doc, address)).flatten().filter(|found| Some(*found) != zero)
}

/// Writes the four parts as libvirt dumps them (KubeVirt parses them as hexadecimal).
pub(super) fn write_address(editor: &mut Editor<'_>, element: Element, address: PciAddress, why: &Why) {
    let parts = [
        ("domain", format!("0x{:04x}", address.domain), address.domain),
        ("bus", format!("0x{:02x}", address.bus), u32::from(address.bus)),
        ("slot", format!("0x{:02x}", address.slot()), u32::from(address.slot())),
        ("function", format!("0x{:x}", address.function()), u32::from(address.function())),
    ];
    for (name, text, value) in parts {
        let old = editor.doc.attribute(element, name).and_then(|old| number(&old));
        if old != Some(value) {
            editor.set(element, name, &text, why);
        }
    }
}

/// Gives a device a guest PCI address.
pub(super) fn set_guest_address(editor: &mut Editor<'_>, device: Element, address: PciAddress, why: &Why) {
    let element = match address_element(&editor.doc, device) {
        Some(element) => element,
        None => {
            let element = editor.add(device, "address", why);
            editor.set(element, "type", "pci", why);
            element
        }
    };
    if editor.doc.attribute(element, "type").as_deref() != Some("pci") {
        editor.set(element, "type", "pci", why);
    }
    write_address(editor, element, address, why);
}

/// The devices of a domain. Several `<devices>` are one to libvirt.
pub(super) fn devices(doc: &Document) -> impl Iterator<Item = Element> + '_ {
    doc.children_named(doc.root(), "devices").flat_map(|devices| doc.children(devices))
}

/// Whether a device has, or may get from libvirt, an address on a PCI bus. Too many is harmless, too few is not.
fn takes_pci_slot(doc: &Document, device: Element) -> bool {
    let attribute = |name| doc.attribute(device, name);
    let model_none =
        || doc.child(device, "model").is_some_and(|model| doc.attribute(model, "type").as_deref() == Some("none"));
    match doc.local_name(device) {
        "interface" | "hostdev" | "sound" | "rng" | "vsock" | "filesystem" | "shmem" | "crypto" | "serial"
        | "panic" | "tpm" | "watchdog" | "memory" | "iommu" => true,
        "disk" => {
            let bus = doc.child(device, "target").and_then(|target| doc.attribute(target, "bus"));
            bus.is_none_or(|bus| bus == "virtio")
        }
        "input" => attribute("bus").as_deref() == Some("virtio"),
        "controller" => attribute("model").is_none_or(|model| model != "none" && model != "pcie-root"),
        "memballoon" => attribute("model").is_none_or(|model| model != "none"),
        "video" => !model_none(),
        _ => false,
    }
}

/// A bus that nothing libvirt assigns later can reach: behind every bus and controller that is named, and behind as many more as
/// there are devices that may take a slot. So pinning a group of functions there pushes nothing around.
pub(super) fn free_bus(doc: &Document) -> Option<u8> {
    let mut highest = 0;
    let mut takers = 0;
    for device in devices(doc) {
        if let Some(address) = guest_address(doc, device) {
            highest = highest.max(u32::from(address.bus));
        }
        if let Some(index) = pci_controller_index(doc, device) {
            highest = highest.max(index);
        }
        takers += u32::from(takes_pci_slot(doc, device));
    }
    u8::try_from(1 + highest.max(takers)).ok()
}

/// The index of a PCI controller; `None` for anything else.
pub(super) fn pci_controller_index(doc: &Document, device: Element) -> Option<u32> {
    let pci = doc.local_name(device) == "controller" && doc.attribute(device, "type").as_deref() == Some("pci");
    pci.then(|| doc.attribute(device, "index").and_then(|index| number(&index))).flatten()
}

/// Says so when a bus lies beyond what KubeVirt reckons with.
pub(super) fn note_high_bus(editor: &mut Editor<'_>, device: &str, address: PciAddress) {
    if address.bus > KUBEVIRT_LAST_BUS {
        editor.note(format!(
            "{device} is on bus {:#04x}: above bus 31 KubeVirt adds no spare ports, so nothing can be hot-plugged into this VM",
            address.bus
        ));
    }
}

/// `pci.rootPorts`: at least so many root ports that no device sits on.
pub(super) fn root_ports(editor: &mut Editor<'_>, wanted: u8) {
    if wanted == 0 {
        return;
    }
    if !matches!(Machine::of(&editor.doc), Machine::Q35 | Machine::Virt) {
        let machine = Machine::text(&editor.doc);
        editor.refuse(format!("pci.rootPorts: the machine type ({machine}) has no PCI Express root ports; use q35"));
        return;
    }
    let why = editor.why("pci.rootPorts", format!("free root ports for hot-plugging are asked for: {wanted}"));
    let doc = &editor.doc;
    let used: Vec<u8> = devices(doc).filter_map(|device| guest_address(doc, device)).map(|at| at.bus).collect();
    let mut highest = 0;
    let mut free = 0;
    let mut last = None;
    for device in devices(doc) {
        let Some(index) = pci_controller_index(doc, device) else { continue };
        highest = highest.max(index);
        last = Some(device);
        let port = doc.attribute(device, "model").as_deref() == Some("pcie-root-port");
        free += u32::from(port && !used.iter().any(|bus| u32::from(*bus) == index));
    }
    // Before libvirt has assigned addresses, every device still waits for a port of its own.
    let waiting = devices(doc)
        .filter(|device| takes_pci_slot(doc, *device) && guest_address(doc, *device).is_none())
        .filter(|device| pci_controller_index(doc, *device).is_none())
        .count();
    let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
    let missing = (u32::from(wanted) + waiting).saturating_sub(free);
    highest = used.iter().fold(highest, |highest, bus| highest.max(u32::from(*bus)));
    if highest + missing > 255 {
        editor.refuse(format!("pci.rootPorts: {wanted} more root ports do not fit: there are only 256 PCI buses"));
        return;
    }
    let parent = editor.devices(&why);
    for index in highest + 1..=highest + missing {
        let port = match last {
            Some(last) => editor.add_after(last, "controller", &why),
            None => editor.add(parent, "controller", &why),
        };
        editor.set(port, "type", "pci", &why);
        editor.set(port, "index", &index.to_string(), &why);
        editor.set(port, "model", "pcie-root-port", &why);
        last = Some(port);
    }
}

/// `pci.hole64`: the 64-bit hole of the root controller, in KiB.
pub(super) fn hole64(editor: &mut Editor<'_>, wanted: AutoSize, need: Option<u64>) {
    let model = match Machine::of(&editor.doc) {
        Machine::Q35 => "pcie-root",
        Machine::I440fx => "pci-root",
        Machine::Virt | Machine::Other if wanted == AutoSize::Auto => {
            editor.note("pci.hole64: the machine type has no 64-bit hole to set; auto does nothing");
            return;
        }
        Machine::Virt | Machine::Other => {
            let machine = Machine::text(&editor.doc);
            editor.refuse(format!("pci.hole64: the machine type ({machine}) has no 64-bit hole to set; use q35"));
            return;
        }
    };
    let doc = &editor.doc;
    let root = devices(doc).find(|device| pci_controller_index(doc, *device) == Some(0));
    let hole = root.and_then(|root| doc.child(root, "pcihole64"));
    let existing = hole.and_then(|hole| bytes(doc, hole));
    let (size, reason) = match wanted {
        AutoSize::Size(size) => (size.as_bytes(), "this size is asked for".to_owned()),
        AutoSize::Auto => match (need, existing) {
            (None, _) => return,
            (_, Some(0)) => {
                editor.note("pci.hole64: the domain turns the 64-bit hole off; auto leaves it so");
                return;
            }
            (Some(need), existing) if existing.is_some_and(|existing| existing >= need) => return,
            (Some(need), _) => (need, "the BARs of the assigned devices need so much".to_owned()),
        },
    };
    if existing == Some(size.div_ceil(1024) * 1024) {
        return;
    }
    let why = editor.why("pci.hole64", reason);
    let parent = editor.devices(&why);
    let root = root.unwrap_or_else(|| {
        let root = editor.add(parent, "controller", &why);
        editor.set(root, "type", "pci", &why);
        editor.set(root, "index", "0", &why);
        editor.set(root, "model", model, &why);
        root
    });
    let hole = editor.child_or_new(root, "pcihole64", &why);
    editor.set(hole, "unit", "KiB", &why);
    editor.set_text(hole, &size.div_ceil(1024).to_string(), &why);
}
