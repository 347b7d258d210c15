//! Whether a machine's IOMMU works, and if not, what a person can do about it.
//!
//! From what the kernel and the firmware show, never from the command line: an argument that is there may be misspelt, overridden or
//! ignored, and a kernel may do the right thing without any.

use std::collections::BTreeSet;

use serde::Serialize;

use super::acpi::{self, AcpiTables};
use super::attribute;
use super::error::HostError;
use super::groups::{GroupKind, Groups};
use super::root::Root;
use super::values;

/// The IOMMU of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Iommu {
    /// Whether it works.
    pub state: IommuState,
    /// Whose it is, if anything tells.
    pub vendor: Option<IommuVendor>,
    /// The units in use, from `/sys/class/iommu`: `dmar0`, `ivhd0`, `smmu3.0x…`.
    pub units: BTreeSet<String>,
    /// Whether interrupts of devices are remapped.
    pub interrupt_remapping: InterruptRemapping,
    /// What can be seen of the firmware's tables.
    pub tables: AcpiTables,
}

/// Whether an IOMMU works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum IommuState {
    /// There is none, or the firmware has switched it off.
    Absent,
    /// The firmware offers one and the kernel does not use it.
    PresentButOff,
    /// It works, and translates the host's own DMA, too.
    On,
    /// It works, and leaves the host's own DMA alone (`iommu=pt`). For VMs that makes no difference.
    Identity,
    /// It does not work, and whether the firmware offers one is hidden from us.
    Unknown,
}

/// Whose IOMMU it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum IommuVendor {
    /// Intel VT-d, table DMAR.
    Intel,
    /// AMD-Vi, table IVRS.
    Amd,
    /// Arm SMMU, table IORT.
    Arm,
    /// virtio-iommu, table VIOT.
    Virtio,
}

/// Whether interrupts of devices are remapped: without that VFIO refuses a device, for a guest could forge interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum InterruptRemapping {
    /// They are: interrupt controllers of the kernel's are called `IR-…`.
    On,
    /// They are not, although the platform could.
    Off,
    /// The platform cannot, or hides that it can.
    Unsupported,
    /// Nothing tells. On Arm that is so by design: the interrupt controller (ITS) keeps devices apart.
    Unknown,
}

impl Iommu {
    /// Reads the state of the IOMMU; the groups are read already.
    ///
    /// # Errors
    ///
    /// [`HostError::Read`]: a folder cannot be listed.
    pub fn read(root: &Root, groups: &Groups) -> Result<Self, HostError> {
        let tables = AcpiTables::read(root)?;
        let units: BTreeSet<String> = root.names("sys/class/iommu")?.into_iter().collect();
        let vendor = units.iter().find_map(|unit| vendor_of_unit(unit)).or_else(|| vendor_of_tables(root, &tables));
        let state = match working(groups) {
            Some(state) => state,
            None if vendor.is_some() => IommuState::PresentButOff,
            None if tables == AcpiTables::Hidden => IommuState::Unknown,
            None => IommuState::Absent,
        };
        let interrupt_remapping = interrupt_remapping(root, vendor, &units);
        Ok(Self { state, vendor, units, interrupt_remapping, tables })
    }

    /// Whether devices can be handed to VMs as far as DMA goes.
    pub fn works(&self) -> bool {
        matches!(self.state, IommuState::On | IommuState::Identity)
    }

    /// The kernel argument that is missing, if one is. AMD's IOMMU is on by default, and has no argument to switch it on.
    pub fn missing_argument(&self) -> Option<&'static str> {
        (self.state == IommuState::PresentButOff && self.vendor == Some(IommuVendor::Intel)).then_some("intel_iommu=on")
    }

    /// The state of the IOMMU in one sentence, with what to do where something is to be done.
    pub fn sentence(&self) -> &'static str {
        match (self.state, self.vendor) {
            (IommuState::On, _) => "the IOMMU is on",
            (IommuState::Identity, _) => {
                "the IOMMU is on, in pass-through mode for the host's own devices (as with iommu=pt)"
            }
            (IommuState::PresentButOff, Some(IommuVendor::Intel)) => {
                "the firmware offers an IOMMU (Intel VT-d) which the kernel does not use: add the kernel argument intel_iommu=on, remove \
                 intel_iommu=off and iommu=off if they are there, and reboot"
            }
            (IommuState::PresentButOff, Some(IommuVendor::Amd)) => {
                "the firmware offers an IOMMU (AMD-Vi) which the kernel does not use although that is its default: remove the kernel \
                 argument amd_iommu=off or iommu=off, and reboot"
            }
            (IommuState::PresentButOff, Some(IommuVendor::Virtio)) => {
                "this virtual machine has a virtio-iommu which the kernel does not use: it needs the driver virtio_iommu"
            }
            (IommuState::PresentButOff, Some(IommuVendor::Arm) | None) => {
                "the firmware offers an IOMMU (Arm SMMU) which the kernel does not use: it needs a kernel with the driver for it \
                 (CONFIG_ARM_SMMU or CONFIG_ARM_SMMU_V3)"
            }
            (IommuState::Absent, _) => {
                "the firmware offers no IOMMU (no ACPI table DMAR, IVRS, IORT with an SMMU, or VIOT): switch on VT-d, AMD-Vi or SMMU in the \
                 firmware's setup; in a virtual machine, give it one"
            }
            (IommuState::Unknown, _) => {
                "there is no IOMMU group, and the firmware's tables are hidden from here: look from the host's own /sys, not a container's"
            }
        }
    }

    /// What is wrong with interrupt remapping and what to do, in one sentence; `None` if nothing is known to be wrong.
    pub fn interrupt_sentence(&self) -> Option<&'static str> {
        match (self.works(), self.interrupt_remapping) {
            (true, InterruptRemapping::Off) => Some(
                "interrupts are not remapped, so VFIO refuses devices: remove the kernel argument intremap=off or nointremap, and reboot; if none is there, update the firmware",
            ),
            (true, InterruptRemapping::Unsupported) => Some(
                "the platform does not remap interrupts, so VFIO refuses devices: switch it on in the firmware's setup (VT-d interrupt \
                 remapping, x2APIC); in a virtual machine, give its IOMMU intremap=on",
            ),
            _ => None,
        }
    }
}

/// How the IOMMU works, if there are groups that an IOMMU made.
fn working(groups: &Groups) -> Option<IommuState> {
    let guarded: Vec<_> = groups.0.values().filter(|group| !group.no_iommu).collect();
    if guarded.is_empty() {
        return None;
    }
    // Single devices have a domain of another type than the rest by quirk (graphics) or for want of trust (Thunderbolt).
    let identity = guarded.iter().filter(|group| group.kind == Some(GroupKind::Identity)).count();
    Some(if identity * 2 > guarded.len() { IommuState::Identity } else { IommuState::On })
}

/// Names of units (kernel: drivers/iommu/intel/dmar.c, amd/init.c, arm/arm-smmu*, virtio-iommu.c).
fn vendor_of_unit(unit: &str) -> Option<IommuVendor> {
    let names = [
        ("dmar", IommuVendor::Intel),
        ("ivhd", IommuVendor::Amd),
        ("smmu", IommuVendor::Arm),
        ("arm-smmu", IommuVendor::Arm),
        ("virtio", IommuVendor::Virtio),
    ];
    names.iter().find(|(name, _)| unit.starts_with(name)).map(|(_, vendor)| *vendor)
}

fn vendor_of_tables(root: &Root, tables: &AcpiTables) -> Option<IommuVendor> {
    let has = |name| tables.has(name) == Some(true);
    if has("DMAR") {
        Some(IommuVendor::Intel)
    } else if has("IVRS") {
        Some(IommuVendor::Amd)
    } else if has("IORT") && acpi::table(root, "IORT").as_deref().and_then(acpi::iort_has_smmu) != Some(false) {
        Some(IommuVendor::Arm)
    } else if has("VIOT") {
        Some(IommuVendor::Virtio)
    } else {
        None
    }
}

/// Whether interrupts are remapped: by the names of the kernel's interrupt controllers (kernel: arch/x86/kernel/apic/io_apic.c and
/// drivers/iommu/irq_remapping.c, `IR-IO-APIC`, `IR-PCI-MSI…`), else by what the platform can.
fn interrupt_remapping(root: &Root, vendor: Option<IommuVendor>, units: &BTreeSet<String>) -> InterruptRemapping {
    let interrupts = root.names("sys/kernel/irq").unwrap_or_default();
    let chips: BTreeSet<String> =
        interrupts.iter().filter_map(|irq| attribute::text(root, &format!("sys/kernel/irq/{irq}/chip_name"))).collect();
    let remapped = |chip: &String| chip.starts_with("IR-");
    // Other machines than those of the x86 kind have no IO-APIC, and another way to keep interrupts apart.
    let x86 = |chip: &String| chip.starts_with("IO-APIC") || chip.starts_with("PCI-MSI");
    if chips.iter().any(remapped) {
        return InterruptRemapping::On;
    }
    if !chips.iter().any(x86) {
        return InterruptRemapping::Unknown;
    }
    match vendor {
        Some(IommuVendor::Intel) => intel_can_remap(root, units),
        // Every AMD IOMMU can (AMD I/O Virtualization Technology Specification, 2.2.5).
        Some(IommuVendor::Amd) => InterruptRemapping::Off,
        _ => InterruptRemapping::Unknown,
    }
}

/// What an Intel machine that does not remap interrupts could: the firmware must allow it, and every unit must be able to (bit 3 of its
/// extended capabilities; Intel VT-d Specification 4.1, 11.4.3).
fn intel_can_remap(root: &Root, units: &BTreeSet<String>) -> InterruptRemapping {
    let allowed = acpi::table(root, "DMAR").as_deref().and_then(acpi::dmar_remaps_interrupts);
    let ecap = |unit: &String| attribute::text(root, &format!("sys/class/iommu/{unit}/intel-iommu/ecap"));
    // Printed without 0x (kernel: drivers/iommu/intel/iommu.c, ecap_show).
    let number = |text: String| values::hexadecimal(&format!("0x{}", text.trim_start_matches("0x")));
    let able: Vec<bool> = units.iter().filter_map(ecap).filter_map(number).map(|ecap| ecap & 1 << 3 != 0).collect();
    if allowed == Some(false) || able.contains(&false) {
        InterruptRemapping::Unsupported
    } else if allowed == Some(true) || !able.is_empty() {
        InterruptRemapping::Off
    } else {
        InterruptRemapping::Unknown
    }
}
