//! PCI classes in words (PCI Code and ID Assignment Specification): what a person calls such a device, not the standard's own text.

use crate::host::PciDevice;

use super::report::{Device, Report};

const WORDS: [(u32, u32, &str); 47] = [
    (0xff_ffff, 0x01_0802, "NVMe disk"),
    (0xff_ffff, 0x0c_0300, "USB 1 controller (UHCI)"),
    (0xff_ffff, 0x0c_0310, "USB 1 controller (OHCI)"),
    (0xff_ffff, 0x0c_0320, "USB 2 controller"),
    (0xff_ffff, 0x0c_0330, "USB 3 controller"),
    (0xff_ffff, 0x0c_0340, "USB4 controller"),
    (0xff_ff00, 0x00_0100, "old VGA display"),
    (0xff_ff00, 0x01_0000, "SCSI controller"),
    (0xff_ff00, 0x01_0100, "IDE controller"),
    (0xff_ff00, 0x01_0400, "RAID controller"),
    (0xff_ff00, 0x01_0600, "SATA controller"),
    (0xff_ff00, 0x01_0700, "SAS controller"),
    (0xff_ff00, 0x01_0800, "flash memory"),
    (0xff_0000, 0x01_0000, "storage controller"),
    (0xff_ff00, 0x02_0000, "Ethernet"),
    (0xff_ff00, 0x02_0700, "InfiniBand"),
    (0xff_ff00, 0x02_8000, "network"),
    (0xff_0000, 0x02_0000, "network"),
    (0xff_ff00, 0x03_0000, "VGA display"),
    (0xff_ff00, 0x03_0200, "3D accelerator"),
    (0xff_0000, 0x03_0000, "display"),
    (0xff_ff00, 0x04_0100, "sound"),
    (0xff_ff00, 0x04_0300, "sound (HDA)"),
    (0xff_0000, 0x04_0000, "multimedia"),
    (0xff_0000, 0x05_0000, "memory controller"),
    (0xff_ff00, 0x06_0000, "host bridge"),
    (0xff_ff00, 0x06_0100, "ISA bridge"),
    (0xff_ff00, 0x06_0400, "PCI bridge"),
    (0xff_0000, 0x06_0000, "bridge"),
    (0xff_ff00, 0x07_0000, "serial port"),
    (0xff_0000, 0x07_0000, "communication"),
    (0xff_ff00, 0x08_0500, "SD card reader"),
    (0xff_ff00, 0x08_0600, "IOMMU"),
    (0xff_ff00, 0x08_0700, "root complex events"),
    (0xff_0000, 0x08_0000, "system peripheral"),
    (0xff_0000, 0x09_0000, "input device"),
    (0xff_ff00, 0x0c_0000, "FireWire"),
    (0xff_ff00, 0x0c_0300, "USB controller"),
    (0xff_ff00, 0x0c_0500, "system management bus"),
    (0xff_0000, 0x0c_0000, "serial bus"),
    (0xff_ff00, 0x0d_1100, "Bluetooth"),
    (0xff_0000, 0x0d_0000, "wireless"),
    (0xff_0000, 0x10_0000, "encryption"),
    (0xff_0000, 0x11_0000, "signal processing"),
    (0xff_0000, 0x12_0000, "processing accelerator"),
    (0xff_0000, 0x00_0000, "device of no class"),
    (0xff_0000, 0xff_0000, "device of no class"),
];

/// What a function is, in words; a class without words by its number.
pub(super) fn class(device: &PciDevice) -> String {
    let class = device.function.class;
    let words = WORDS.iter().find(|(mask, is, _)| class & mask == *is).map(|(_, _, words)| *words);
    words.map_or_else(|| format!("class {class:06x}"), str::to_owned)
}

/// Whether it never goes anywhere: bridges, and what belongs to the platform as they do.
pub(super) fn is_platform(device: &PciDevice) -> bool {
    let class = device.function.class >> 8;
    device.function.is_bridge() || class >> 8 == 0x06 || matches!(class, 0x0806 | 0x0807 | 0x0c05)
}

/// Names in one line: at most `most` of them, and how many more there are.
pub(super) fn names<T: ToString>(names: impl IntoIterator<Item = T>, most: usize) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    match names.len().checked_sub(most) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names.iter().take(most).cloned().collect::<Vec<_>>().join(", ")),
    }
}

/// `1 device`, `2 devices`.
pub(super) fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The reason a device stays in a few words, if it is one that holds for the whole node and is said at the top.
pub(super) fn everywhere(report: &Report, device: &Device) -> Option<&'static str> {
    let iommu = &report.machine.iommu;
    match device.unit.refusals.first()?.as_str() {
        why if why == iommu.sentence() => Some("not without an IOMMU"),
        why if Some(why) == iommu.interrupt_sentence() => Some("not without interrupt remapping"),
        _ => None,
    }
}
