//! What fields mean for each other. Told on the merged result: each layer may be right by itself.
//!
//! Rules that need the domain (its machine type, what it already has) are the domain's own.

use std::collections::BTreeMap;

use crate::base::PciAddress;
use crate::config::problems::Place;
use crate::config::scalars::{DeviceSelector, OnOff, OnOffAuto};
use crate::config::spec::{
    AutoSize, DomainProfile, FirmwareType, HostDevice, Ioapic, MaxPhysAddr, Viommu, ViommuModel,
};
use crate::config::tree::{Node, Value};

use super::devices::{device_of, item_path};
use super::profile::is_given;
use super::values::one_of;
use super::{Report, join};

/// Tells every contradiction in a merged profile; `tree` is what it was read from.
pub(in crate::config) fn check(tree: &Node, profile: &DomainProfile, report: &Report) {
    let checks = Checks { tree, report };
    checks.viommu(profile);
    checks.firmware(profile);
    checks.cpu(profile);
    checks.unique_numbers(&profile.host_devices);
    checks.functions(&profile.host_devices);
    checks.guest_addresses(&profile.host_devices);
    checks.guest_modules(profile);
}

struct Checks<'a> {
    tree: &'a Node,
    report: &'a Report,
}

use ViommuModel::{Amd, Intel, Smmuv3, Virtio};

/// Which model knows which field (libvirt docs/formatdomain.rst, "IOMMU devices"); `virtioDevices` suits all.
const VIOMMU_FIELDS: [(&str, &[ViommuModel]); 13] = [
    ("interruptRemapping", &[Intel, Amd]),
    ("cachingMode", &[Intel]),
    ("eim", &[Intel]),
    ("iotlb", &[Intel, Amd]),
    ("awBits", &[Intel, Virtio]),
    ("dmaTranslation", &[Intel]),
    ("xtsup", &[Amd]),
    ("pciBus", &[Smmuv3]),
    ("accel", &[Smmuv3]),
    ("ats", &[Smmuv3]),
    ("ril", &[Smmuv3]),
    ("ssidSize", &[Smmuv3]),
    ("oas", &[Smmuv3]),
];

impl Checks<'_> {
    /// Tells a mistake in a field of a section; it stands where the field, or else the section, stands.
    fn section(&self, section: &str, field: &str, message: impl AsRef<str>) {
        let node = self.tree.get(section);
        let node = node.and_then(|node| node.get(field)).or(node).unwrap_or(self.tree);
        self.report.add(&node.place, &join(section, field), message);
    }

    /// The node of a field of an item.
    fn item_node(&self, device: &DeviceSelector, field: &str) -> &Node {
        let Some(Value::List(items)) = self.tree.get("hostDevices").map(|node| &node.value) else {
            return self.tree;
        };
        let item = items.iter().find(|item| device_of(item).as_ref() == Some(device));
        item.and_then(|item| item.get(field)).or(item).unwrap_or(self.tree)
    }

    fn item(&self, device: &DeviceSelector, field: &str, message: impl AsRef<str>) {
        let node = self.item_node(device, field);
        let path = join(&item_path(device), field);
        self.report.add(&node.place, &path, message);
    }

    fn item_place(&self, device: &DeviceSelector, field: &str) -> &Place {
        &self.item_node(device, field).place
    }

    fn viommu(&self, profile: &DomainProfile) {
        let node = self.tree.get("viommu").filter(
            |node| matches!(&node.value, Value::Map(entries) if entries.iter().any(|(_, value)| is_given(Some(value)))),
        );
        let Some(node) = node else {
            return;
        };
        if !is_given(node.get("model")) && !self.report.is_misspelt("viommu") {
            self.section(
                "viommu",
                "model",
                "missing: one of intel, virtio, amd and smmuv3 must be said before a vIOMMU has settings",
            );
        }
        let Some(viommu) = &profile.viommu else {
            return;
        };
        for (field, models) in VIOMMU_FIELDS {
            if is_given(node.get(field)) && !models.contains(&viommu.model) {
                let names: Vec<&str> = models.iter().map(|model| model.as_str()).collect();
                let message = format!(
                    "model {} does not have it, only {} does: reset it with null",
                    viommu.model.as_str(),
                    one_of(&names)
                );
                self.section("viommu", field, message);
            }
        }
        match viommu.model {
            Intel => self.intel(viommu, profile),
            Smmuv3 => self.smmuv3(viommu),
            Virtio | Amd => self.remapping(viommu, profile),
        }
    }

    fn remapping(&self, viommu: &Viommu, profile: &DomainProfile) {
        if viommu.interrupt_remapping == Some(OnOffAuto::On) && profile.features.ioapic == Some(Ioapic::Kvm) {
            self.section("viommu", "interruptRemapping", "on needs features.ioapic qemu, not kvm");
        }
    }

    fn intel(&self, viommu: &Viommu, profile: &DomainProfile) {
        self.remapping(viommu, profile);
        if let Some(bits) = viommu.aw_bits
            && ![39, 48, 57].contains(&bits)
        {
            let message = format!("{bits} is not a width that intel has: 39, 48 or 57");
            self.section("viommu", "awBits", message);
        }
        if viommu.eim != Some(OnOffAuto::On) {
            return;
        }
        let kvm = profile.features.ioapic == Some(Ioapic::Kvm);
        match viommu.interrupt_remapping {
            Some(OnOffAuto::Off) => {
                self.section("viommu", "eim", "on needs interrupt remapping, and viommu.interruptRemapping is off")
            }
            Some(OnOffAuto::Auto) if kvm => {
                self.section("viommu", "eim", "on needs interrupt remapping, which features.ioapic kvm rules out")
            }
            _ => {}
        }
    }

    /// `accel` without `pciBus` is accepted by libvirt and silently lost (libvirt 12.8): refused here.
    fn smmuv3(&self, viommu: &Viommu) {
        let accelerated = viommu.accel == Some(OnOff::On);
        if accelerated && viommu.pci_bus.is_none() {
            self.section(
                "viommu",
                "accel",
                "on needs viommu.pciBus, the PCI controller the SMMU serves: libvirt drops it silently without",
            );
        }
        let given = [
            ("ats", viommu.ats.is_some()),
            ("ril", viommu.ril.is_some()),
            ("ssidSize", viommu.ssid_size.is_some()),
            ("oas", viommu.oas.is_some()),
        ];
        for (field, given) in given {
            if given && !accelerated {
                self.section("viommu", field, "needs viommu.accel on");
            }
        }
    }

    fn firmware(&self, profile: &DomainProfile) {
        let firmware = &profile.firmware;
        if firmware.stateless == Some(OnOff::On) && firmware.nvram_template.is_some() {
            self.section(
                "firmware",
                "stateless",
                "on means no variable store, and firmware.nvramTemplate gives one: keep one of the two",
            );
        }
        if firmware.kind != Some(FirmwareType::Bios) {
            return;
        }
        let efi_only = [
            ("loader", firmware.loader.is_some()),
            ("nvramTemplate", firmware.nvram_template.is_some()),
            ("secureBoot", firmware.secure_boot == Some(OnOff::On)),
            ("stateless", firmware.stateless == Some(OnOff::On)),
            ("mmio64", matches!(firmware.mmio64, Some(AutoSize::Size(_)))),
        ];
        for (field, given) in efi_only {
            if given {
                self.section("firmware", field, "is for EFI, and firmware.type is bios");
            }
        }
    }

    fn cpu(&self, profile: &DomainProfile) {
        let cpu = &profile.cpu;
        if cpu.max_phys_addr_limit.is_some() && cpu.max_phys_addr != Some(MaxPhysAddr::Passthrough) {
            self.section(
                "cpu",
                "maxPhysAddrLimit",
                "is a limit of cpu.maxPhysAddr passthrough, which is not asked for",
            );
        }
    }

    /// Boot orders and ACPI indexes are one device's each.
    fn unique_numbers(&self, items: &[HostDevice]) {
        type Number = fn(&HostDevice) -> Option<u32>;
        let fields: [(&str, Number); 2] =
            [("bootOrder", |item| item.boot_order), ("acpiIndex", |item| item.acpi_index)];
        for (field, number) in fields {
            let mut taken: BTreeMap<u32, &DeviceSelector> = BTreeMap::new();
            for item in items {
                let Some(number) = number(item) else { continue };
                if let Some(other) = taken.get(&number) {
                    let message = format!("{number} is taken by {other} already, at {}", self.item_place(other, field));
                    self.item(&item.device, field, message);
                } else {
                    taken.insert(number, &item.device);
                }
            }
        }
    }

    /// A function belongs to one group, and takes its guest address from there.
    fn functions(&self, items: &[HostDevice]) {
        let mut groups: BTreeMap<&str, &DeviceSelector> = BTreeMap::new();
        for item in items {
            if let Some(address) = item.address
                && address.function() != 0
                && !item.functions.is_empty()
            {
                let message = format!(
                    "the device that others are functions of is function 0 itself, and {address} is function {}",
                    address.function()
                );
                self.item(&item.device, "address", message);
            }
            for device in item.functions.keys() {
                if let Some(other) = groups.insert(device, &item.device) {
                    let message = format!("{device} is a function of {other} already");
                    self.item(&item.device, "functions", message);
                }
            }
        }
        for item in items {
            let Some(primary) = groups.get(item.device.to_string().as_str()) else {
                continue;
            };
            if item.address.is_some() {
                let message =
                    format!("it is a function of {primary} and takes its address from there: leave this one out");
                self.item(&item.device, "address", message);
            }
            if !item.functions.is_empty() {
                let message = format!("it is a function of {primary} and cannot have functions of its own");
                self.item(&item.device, "functions", message);
            }
        }
    }

    fn guest_addresses(&self, items: &[HostDevice]) {
        let mut taken: BTreeMap<PciAddress, String> = BTreeMap::new();
        for item in items {
            let Some(address) = item.address else {
                continue;
            };
            let own = (address, "address", item.device.to_string());
            let others = item.functions.iter().filter_map(|(device, function)| {
                let address = address.with_function(*function)?;
                Some((address, "functions", device.clone()))
            });
            for (address, field, device) in std::iter::once(own).chain(others) {
                match taken.get(&address) {
                    Some(other) => {
                        let message = format!("guest address {address} of {device} is taken by {other}");
                        self.item(&item.device, field, message);
                    }
                    None => {
                        taken.insert(address, device);
                    }
                }
            }
        }
    }

    /// The kernel takes `-` and `_` in module names for the same.
    fn guest_modules(&self, profile: &DomainProfile) {
        let guest = &profile.guest;
        let same = |a: &str, b: &str| a.replace('-', "_") == b.replace('-', "_");
        for denied in &guest.deny_modules {
            if guest.modules.keys().any(|module| same(module, denied)) {
                let message = format!("{denied} is in guest.modules too: load it or deny it");
                self.section("guest", "denyModules", message);
            }
        }
    }
}
