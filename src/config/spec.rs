//! The typed DomainProfile: what a VM asks of its domain, after merging and validation.
//!
//! Absent fields are not written. `auto` never removes what is there. The JSON Schema is derived from these types; the reader in
//! `read/` builds them and reports every problem at once.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::base::{ByteSize, PciAddress};

use super::scalars::{DeviceSelector, OnOff, OnOffAuto};

/// The `spec` of a DomainProfile.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DomainProfile {
    /// A virtual IOMMU for the guest.
    pub viommu: Option<Viommu>,
    /// Settings of assigned host devices, one item a device.
    pub host_devices: Vec<HostDevice>,
    /// Memory limits and backing.
    pub memory: Memory,
    /// Firmware: what KubeVirt itself cannot express.
    pub firmware: Firmware,
    /// The PCI topology.
    pub pci: Pci,
    /// CPU details.
    pub cpu: Cpu,
    /// Hypervisor features.
    pub features: Features,
    /// Emulated devices.
    pub devices: Devices,
    /// Known device quirks: `auto` applies them, `off` (the default) does not.
    pub quirks: Option<AutoOff>,
    /// Raw QEMU arguments and environment.
    pub qemu: Qemu,
    /// Inside the guest, through cloud-init (used by the sidecar only when it is told to).
    pub guest: Guest,
}

impl DomainProfile {
    /// The fields of a spec, as they are written.
    pub const FIELDS: [&'static str; 11] =
        ["viommu", "hostDevices", "memory", "firmware", "pci", "cpu", "features", "devices", "quirks", "qemu", "guest"];
}

/// A virtual IOMMU. Attributes that a model does not know are refused.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::nothing_required)]
pub struct Viommu {
    /// Which IOMMU. A layer may leave it to another; the merged profile must have it.
    pub model: ViommuModel,
    /// Interrupt remapping (intel, amd). `auto`: on, or off if `features.ioapic` is kvm.
    pub interrupt_remapping: Option<OnOffAuto>,
    /// Caching mode (intel). `auto`: on if the VM has a VFIO device.
    pub caching_mode: Option<OnOffAuto>,
    /// Extended interrupt mode (intel). `auto`: on above 255 vCPUs.
    pub eim: Option<OnOffAuto>,
    /// Device IOTLB (intel, amd).
    pub iotlb: Option<OnOff>,
    /// Address width in bits (intel 39, 48 or 57; virtio 32 to 64).
    #[schemars(range(min = 32, max = 64))]
    pub aw_bits: Option<u8>,
    /// DMA translation (intel; libvirt 10.7).
    pub dma_translation: Option<OnOff>,
    /// x2APIC interrupt remapping (amd).
    pub xtsup: Option<OnOff>,
    /// Index of the PCI controller this SMMU serves (smmuv3; libvirt 11.10).
    pub pci_bus: Option<u8>,
    /// Hardware acceleration (smmuv3 with `pciBus`; libvirt 12.7).
    pub accel: Option<OnOff>,
    /// Address translation services (smmuv3 with `accel`).
    pub ats: Option<OnOff>,
    /// Range invalidation (smmuv3 with `accel`).
    pub ril: Option<OnOff>,
    /// Bits of the substream id (smmuv3 with `accel`).
    #[schemars(range(max = 20))]
    pub ssid_size: Option<u8>,
    /// Output address size in bits (smmuv3 with `accel`).
    #[schemars(range(min = 32, max = 64))]
    pub oas: Option<u8>,
    /// Whether virtio devices go through the IOMMU: `on` adds `iommu='on'`, `ats` also `ats='on'`, `off` removes neither nor adds.
    pub virtio_devices: Option<VirtioDevices>,
}

/// libvirt's IOMMU models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ViommuModel {
    /// Intel VT-d (q35).
    Intel,
    /// virtio-iommu (q35 and Arm virt; libvirt 8.3).
    Virtio,
    /// AMD-Vi (q35; libvirt 11.5).
    Amd,
    /// Arm SMMUv3 (Arm virt).
    Smmuv3,
}

impl ViommuModel {
    /// libvirt's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intel => "intel",
            Self::Virtio => "virtio",
            Self::Amd => "amd",
            Self::Smmuv3 => "smmuv3",
        }
    }
}

/// Whether virtio devices use the vIOMMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VirtioDevices {
    /// Leave them.
    Off,
    /// `<driver iommu='on'/>`.
    On,
    /// `<driver iommu='on' ats='on'/>`.
    Ats,
}

/// Settings of one assigned host device (or of all that share vendor and device id).
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = super::schema::only_device_required)]
pub struct HostDevice {
    /// KubeVirt name, alias (`ua-…`, `hostdevN`), host address (`0000:3b:00.0`) or ids (`10de:2206`).
    pub device: DeviceSelector,
    /// Guest PCI address.
    pub address: Option<PciAddress>,
    /// Other requested host devices as functions (1 to 7) of this device's guest slot.
    pub functions: BTreeMap<String, u8>,
    /// Endpoints of the same IOMMU group that nobody requested.
    pub companions: Option<AutoOff>,
    /// The expansion ROM.
    pub rom: Rom,
    /// Position in the boot order, from 1.
    #[schemars(range(min = 1))]
    pub boot_order: Option<u32>,
    /// ACPI index, 1 to 16383: names the interface in the guest.
    #[schemars(range(min = 1, max = 16383))]
    pub acpi_index: Option<u32>,
    /// The host driver.
    pub driver: Driver,
    /// Typed properties of QEMU's vfio-pci, set through `qemu:override`.
    pub properties: BTreeMap<String, PropertyValue>,
}

impl HostDevice {
    /// An item that sets nothing.
    pub fn new(device: DeviceSelector) -> Self {
        Self {
            device,
            address: None,
            functions: BTreeMap::new(),
            companions: None,
            rom: Rom::default(),
            boot_order: None,
            acpi_index: None,
            driver: Driver::default(),
            properties: BTreeMap::new(),
        }
    }
}

/// The expansion ROM of a host device.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rom {
    /// Whether the guest sees the ROM BAR.
    pub bar: Option<OnOff>,
    /// Absolute path of a ROM file, as QEMU sees it (in KubeVirt: inside the compute container).
    pub file: Option<String>,
}

/// The host driver of a host device.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Driver {
    /// Use iommufd (libvirt 12.1).
    pub iommufd: Option<OnOff>,
    /// Host driver model, e.g. `mlx5_vfio_pci` (libvirt 10.0).
    pub model: Option<String>,
}

/// A QEMU property value; the type decides how libvirt passes it (libvirt 11.3, qemu_validate.c).
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[serde(untagged)]
pub enum PropertyValue {
    /// true or false.
    Bool(bool),
    /// Not negative: passed as unsigned, in decimal.
    Unsigned(u64),
    /// Negative: passed as signed, in decimal.
    Signed(i64),
    /// Anything else.
    Text(String),
}

/// Memory limits and backing.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Memory {
    /// Limit of locked memory: `auto` computes it from memory and VFIO devices.
    pub hard_limit: Option<AutoOffSize>,
    /// `<locked/>`: all guest memory locked by QEMU.
    pub locked: Option<OnOff>,
    /// `<nosharepages/>`: no page merging by the host.
    pub nosharepages: Option<OnOff>,
}

/// Firmware: what KubeVirt itself cannot express.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Firmware {
    /// EFI or BIOS.
    #[serde(rename = "type")]
    pub kind: Option<FirmwareType>,
    /// Absolute path of the loader, as QEMU sees it.
    pub loader: Option<String>,
    /// Absolute path of the variable store's template, as QEMU sees it.
    pub nvram_template: Option<String>,
    /// UEFI secure boot: `on` takes the loader's `.secboot` sibling and needs SMM.
    pub secure_boot: Option<OnOff>,
    /// No variable store at all.
    pub stateless: Option<OnOff>,
    /// OVMF's 64-bit MMIO aperture: `auto` sizes it from the BARs of the assigned devices.
    pub mmio64: Option<AutoSize>,
}

/// Kinds of firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FirmwareType {
    /// UEFI.
    Efi,
    /// SeaBIOS.
    Bios,
}

/// The PCI topology.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Pci {
    /// 64-bit PCI hole of the root controller: `auto` sizes it from the BARs of the assigned devices.
    pub hole64: Option<AutoSize>,
    /// At least so many free PCIe root ports (controllers are written only for this).
    #[schemars(range(max = 64))]
    pub root_ports: Option<u8>,
}

/// CPU details.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Cpu {
    /// Physical address width: `passthrough`, `emulate`, or a number of bits to emulate.
    pub max_phys_addr: Option<MaxPhysAddr>,
    /// Upper bound in bits for `maxPhysAddr: passthrough` (libvirt 9.3).
    #[schemars(range(min = 32, max = 64))]
    pub max_phys_addr_limit: Option<u8>,
    /// CPU cache.
    pub cache: Option<CpuCache>,
    /// Policies of single CPU features, by libvirt's names.
    pub features: BTreeMap<String, FeaturePolicy>,
}

/// Physical address width of the guest CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxPhysAddr {
    /// The host's.
    Passthrough,
    /// QEMU's default.
    Emulate,
    /// So many bits.
    Bits(u8),
}

/// CPU cache modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CpuCache {
    /// The host's (host-passthrough and maximum only).
    Passthrough,
    /// An emulated level-3 cache.
    Emulate,
    /// None.
    Disable,
}

impl CpuCache {
    /// libvirt's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passthrough => "passthrough",
            Self::Emulate => "emulate",
            Self::Disable => "disable",
        }
    }
}

/// libvirt's policies for a CPU feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FeaturePolicy {
    /// On, whatever the host says.
    Force,
    /// On, or the VM does not start.
    Require,
    /// On if the host has it.
    Optional,
    /// Off.
    Disable,
    /// Off, and the VM does not start on a host that has it.
    Forbid,
}

impl FeaturePolicy {
    /// libvirt's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Force => "force",
            Self::Require => "require",
            Self::Optional => "optional",
            Self::Disable => "disable",
            Self::Forbid => "forbid",
        }
    }
}

/// Hypervisor features.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Features {
    /// Hide KVM's CPUID leaf.
    pub hide_kvm: Option<OnOff>,
    /// Hyper-V vendor id, at most 12 characters.
    #[schemars(length(max = 12))]
    pub hyperv_vendor_id: Option<String>,
    /// Who emulates the I/O APIC.
    pub ioapic: Option<Ioapic>,
}

/// Who emulates the I/O APIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ioapic {
    /// QEMU (split irqchip); needed for interrupt remapping.
    Qemu,
    /// The kernel.
    Kvm,
}

impl Ioapic {
    /// libvirt's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Kvm => "kvm",
        }
    }
}

/// Emulated devices.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Devices {
    /// `none`: no emulated video device.
    pub video: Option<NoneOnly>,
    /// `none`: no memory balloon.
    pub balloon: Option<NoneOnly>,
    /// ivshmem-plain regions by name, with their size.
    pub shared_memory: BTreeMap<String, ByteSize>,
}

/// Raw QEMU arguments and environment.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Qemu {
    /// Arguments; an option with its values is one group, and an equal group is not added again.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
}

/// Inside the guest, through cloud-init.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Guest {
    /// Kernel arguments.
    pub kernel_args: Vec<String>,
    /// Modules to load, with their options (may be empty).
    pub modules: BTreeMap<String, String>,
    /// Modules that may not load.
    pub deny_modules: Vec<String>,
    /// Huge pages: page size to count.
    pub hugepages: BTreeMap<String, u64>,
    /// Locked-memory limit of containers.
    pub memlock: Option<Memlock>,
}

/// A limit of locked memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memlock {
    /// No limit.
    Unlimited,
    /// So many bytes.
    Size(ByteSize),
}

/// `auto` or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoOff {
    /// As the rules say.
    Auto,
    /// Not at all.
    Off,
}

/// Only `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoneOnly {
    /// None of it.
    None,
}

/// `auto`, `off` or a quantity of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoOffSize {
    /// As the rules say.
    Auto,
    /// Removed.
    Off,
    /// So many bytes.
    Size(ByteSize),
}

/// `auto` or a quantity of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoSize {
    /// As the rules say.
    Auto,
    /// So many bytes.
    Size(ByteSize),
}
