//! What is known of devices and modules by their names alone, and of devices by a live node.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::PciAddress;
use crate::host::{Machine, PciDevice};

/// What a function is for, by vendor and device id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::import) enum Role {
    /// A graphics card, as far as its vendor makes nothing else that VMs are given.
    Display,
    /// Sound, USB or UCSI on a graphics card: it shares the card's IOMMU group.
    OfCard,
    /// A USB controller: its driver is commonly built into the kernel.
    Usb,
    /// A virtual function, with the module that drives it.
    Virtual(&'static str),
    /// Something else.
    Other,
}

/// NVIDIA's functions beside a GPU (pci.ids): HDMI audio, USB 3.1 host, UCSI.
const NVIDIA_OF_CARD: [u16; 42] = [
    0x0be2, 0x0be3, 0x0be4, 0x0be5, 0x0be9, 0x0bea, 0x0beb, 0x0bee, 0x0e08, 0x0e09, 0x0e0a, 0x0e0b, 0x0e0c, 0x0e0f,
    0x0e1a, 0x0e1b, 0x0fb0, 0x0fb8, 0x0fb9, 0x0fba, 0x0fbb, 0x0fbc, 0x10ef, 0x10f0, 0x10f1, 0x10f7, 0x10f8, 0x10f9,
    0x10fa, 0x1ad6, 0x1ad7, 0x1ad8, 0x1ad9, 0x1ada, 0x1adb, 0x1aeb, 0x1aec, 0x1aed, 0x1aef, 0x228b, 0x228e, 0x22ba,
];

/// USB controllers on boards (pci.ids): AMD's Matisse, Starship, Renoir and chipsets, Intel's, ASMedia's, Renesas'.
const USB: [(u16, u16); 18] = [
    (0x1022, 0x149c),
    (0x1022, 0x148c),
    (0x1022, 0x1639),
    (0x1022, 0x145f),
    (0x1022, 0x15b6),
    (0x1022, 0x43d5),
    (0x1022, 0x43ee),
    (0x1022, 0x43b9),
    (0x8086, 0xa12f),
    (0x8086, 0xa36d),
    (0x8086, 0xa2af),
    (0x8086, 0x43ed),
    (0x8086, 0x7ae0),
    (0x8086, 0x9d2f),
    (0x1b21, 0x1242),
    (0x1b21, 0x2142),
    (0x1b21, 0x3242),
    (0x1912, 0x0014),
];

/// Virtual functions and their drivers (kernel: the id tables of iavf, ixgbevf, igbvf, mlx5_core, bnxt_en, sfc).
const VIRTUAL: [(u16, u16, &str); 15] = [
    (0x8086, 0x154c, "iavf"),
    (0x8086, 0x1571, "iavf"),
    (0x8086, 0x37cd, "iavf"),
    (0x8086, 0x1889, "iavf"),
    (0x8086, 0x10ed, "ixgbevf"),
    (0x8086, 0x1515, "ixgbevf"),
    (0x8086, 0x1565, "ixgbevf"),
    (0x8086, 0x15a8, "ixgbevf"),
    (0x8086, 0x10ca, "igbvf"),
    (0x8086, 0x1520, "igbvf"),
    (0x15b3, 0x1014, "mlx5_core"),
    (0x15b3, 0x1016, "mlx5_core"),
    (0x15b3, 0x1018, "mlx5_core"),
    (0x15b3, 0x101e, "mlx5_core"),
    (0x14e4, 0x16dc, "bnxt_en"),
];

/// What a function is for, by its ids alone.
fn role(vendor: u16, device: u16) -> Role {
    if let Some((.., module)) = VIRTUAL.iter().find(|(v, d, _)| (*v, *d) == (vendor, device)) {
        return Role::Virtual(module);
    }
    if USB.contains(&(vendor, device)) {
        return Role::Usb;
    }
    match vendor {
        0x10de if NVIDIA_OF_CARD.contains(&device) => Role::OfCard,
        0x10de => Role::Display,
        // AMD's HDMI audio (pci.ids: 1002:aa00 to ab40).
        0x1002 if matches!(device, 0xaa00..=0xab40) => Role::OfCard,
        0x1002 => Role::Display,
        _ => Role::Other,
    }
}

/// What functions are for: by their ids, and where these say nothing, by what the live node shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::import) struct Roles {
    displays: BTreeSet<(u16, u16)>,
    addresses: BTreeSet<PciAddress>,
    /// Ids of what is in one slot with a display, and the display's vendor.
    of_cards: BTreeMap<(u16, u16), u16>,
}

impl Roles {
    /// With what a node shows: displays are told by their class, and what is of a card by its slot.
    pub(in crate::import) fn on(machine: &Machine) -> Self {
        let ids = |device: &PciDevice| (device.function.vendor, device.function.device);
        let mut roles = Self::default();
        let displays: Vec<&PciDevice> =
            machine.pci.functions.values().filter(|device| device.function.class >> 16 == 0x03).collect();
        for display in displays {
            roles.displays.insert(ids(display));
            roles.addresses.insert(display.address());
            // Sound, USB, UCSI.
            let beside = machine.pci.functions.values().filter(|device| {
                device.address().same_slot(display.address())
                    && matches!(device.function.class >> 8, 0x0403 | 0x0c03 | 0x0c80)
            });
            roles.of_cards.extend(beside.map(|device| (ids(device), display.function.vendor)));
        }
        roles
    }

    /// What a function is for.
    pub(in crate::import) fn role(&self, vendor: u16, device: u16) -> Role {
        match role(vendor, device) {
            Role::Other if self.displays.contains(&(vendor, device)) => Role::Display,
            Role::Other if self.of_cards.contains_key(&(vendor, device)) => Role::OfCard,
            role => role,
        }
    }

    /// Whether a function at an address is known to be a display.
    pub(in crate::import) fn is_display(&self, address: PciAddress) -> bool {
        self.addresses.contains(&address)
    }

    /// The vendor of the card that something is of: mostly its own.
    pub(in crate::import) fn vendor_of_card(&self, vendor: u16, device: u16) -> u16 {
        self.of_cards.get(&(vendor, device)).copied().unwrap_or(vendor)
    }
}

/// Makers of boards, whose ids stand in the subsystem of other makers' chips (pci.ids).
const BOARDS: [(u16, &str); 14] = [
    (0x1043, "ASUS"),
    (0x1458, "Gigabyte"),
    (0x1462, "MSI"),
    (0x1849, "ASRock"),
    (0x3842, "EVGA"),
    (0x19da, "Zotac"),
    (0x196e, "PNY"),
    (0x1569, "Palit"),
    (0x1682, "XFX"),
    (0x1da2, "Sapphire"),
    (0x148c, "PowerColor"),
    (0x15d9, "Supermicro"),
    (0x17aa, "Lenovo"),
    (0x7377, "Colorful"),
];

/// Who makes boards under this id, and no chips.
pub(in crate::import) fn board_maker(vendor: u16) -> Option<&'static str> {
    BOARDS.iter().find(|(id, _)| *id == vendor).map(|(_, name)| *name)
}

/// Drivers of graphics cards, and their companions: keeping them away is for the sake of a card.
const GRAPHICS: [&str; 14] = [
    "nouveau",
    "nvidia",
    "nvidia_drm",
    "nvidia_modeset",
    "nvidia_uvm",
    "nvidia_fb",
    "nvidiafb",
    "rivafb",
    "amdgpu",
    "radeon",
    "i915",
    "snd_hda_intel",
    "nova_core",
    "xe",
];

/// Whether a module drives graphics cards.
pub(in crate::import) fn is_graphics(module: &str) -> bool {
    GRAPHICS.contains(&module)
}

/// Drivers of virtual functions.
pub(in crate::import) fn is_virtual_driver(module: &str) -> bool {
    VIRTUAL.iter().any(|(.., driver)| *driver == module && *driver != "mlx5_core" && *driver != "bnxt_en")
}

/// The vendor whose cards a module drives, where that is one.
pub(in crate::import) fn vendor_of(module: &str) -> Option<u16> {
    Some(match module {
        "sfc" | "onload" | "sfc_resource" | "sfc_char" | "sfc_driverlink" => 0x1924,
        "mlx5_core" | "mlx4_core" => 0x15b3,
        "ixgbe" | "i40e" | "ice" | "igb" | "e1000e" | "igc" => 0x8086,
        "nvidia" | "nouveau" => 0x10de,
        "amdgpu" => 0x1002,
        _ => return None,
    })
}

/// A vendor's domain, for the names of resources.
pub(in crate::import) fn domain(vendor: u16) -> &'static str {
    match vendor {
        0x10de => "nvidia.com",
        0x1002 | 0x1022 => "amd.com",
        0x8086 => "intel.com",
        0x15b3 => "mellanox.com",
        0x1924 => "solarflare.com",
        0x14e4 => "broadcom.com",
        _ => "example.com",
    }
}
