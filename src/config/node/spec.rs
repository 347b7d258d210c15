//! The typed NodeConfig: what an admin lets virt-tailor do to a node.
//!
//! Absent fields have their defaults here; the JSON Schema is derived from these types and so is the normalised document; the reader
//! in `read/` builds them and reports every problem at once.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{ByteSize, PciAddress};
use crate::config::{Memlock, OnOff};

use super::scalars::{
    ClassPrefix, CompanionName, DriverName, Globs, HexId, HostPath, MacAddress, MacPrefix, Period, ResourceName,
    SubsystemId, TypeName, UnitPattern,
};
use super::steps::{PrepareStep, ProfileStep};

/// A NodeConfig document: its name and its spec.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeConfig {
    /// `metadata.name`.
    pub name: String,
    /// What it says.
    pub spec: NodeSpec,
}

/// The `spec` of a NodeConfig.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeSpec {
    /// Devices that VMs may have, one item a resource; on any one node names are unique.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// Sets of steps that a VM may name in `virt-tailor.io/node-profiles`; on any one node names are unique.
    #[serde(default)]
    pub profiles: Vec<Profile>,
    /// Risks that the admin takes knowingly.
    #[serde(default)]
    pub guards: Guards,
    /// What no resource and no profile may go beyond.
    #[serde(default)]
    pub limits: Limits,
}

/// A resource: the devices it stands for, and what is done before one is handed over and when it comes back.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// As kubelet and the VM call it.
    pub name: ResourceName,
    /// Which devices of the host.
    pub selector: Selector,
    /// What a VM gets of them.
    pub target: Target,
    /// In this order before the bind, undone in reverse after the restore.
    pub prepare: Vec<PrepareStep>,
    /// When the device goes back to the host.
    pub release: Release,
    /// Storage: whether a disk with a known signature may be handed over. Never one that the host uses.
    pub may_hold_data: bool,
    /// Whose VMs may have it.
    pub namespaces: Globs,
    /// The nodes on which it exists.
    pub nodes: Globs,
}

/// Which devices: all that is given must hold. At least one of vendor, subsystem, class, addresses and serial is given; `device` comes
/// with `vendor` or addresses. A class is no bridge and no SMBus, and storage (01) only with addresses or serial; that a device which is
/// selected in another way is none of these is for whoever looks at the host to see.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// PCI vendor id, four hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<HexId>,
    /// PCI device id, four hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<HexId>,
    /// PCI subsystem vendor and device id, `vvvv:dddd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subsystem: Option<SubsystemId>,
    /// The first 2, 4 or 6 hexadecimal digits of the PCI class, e.g. `0300`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<ClassPrefix>,
    /// Host addresses, `dddd:bb:ss.f`; sorted, each once.
    #[serde(default, rename = "address", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::addresses")]
    pub addresses: Vec<PciAddress>,
    /// Serial number of a storage device, as in `/sys/class/nvme/*/serial`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub serial: Option<String>,
    /// NUMA node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa: Option<u16>,
}

impl Selector {
    /// Whether it names single devices, not a kind of devices. Storage is selected in no other way.
    pub fn names_devices(&self) -> bool {
        !self.addresses.is_empty() || self.serial.is_some()
    }
}

/// What a VM gets of a selected device.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// The function itself, bound to a VFIO driver.
    Pci {
        /// Which VFIO driver.
        driver: Driver,
        /// Which other endpoints of its IOMMU group go with it.
        companions: Companions,
    },
    /// Its SR-IOV virtual functions, one each.
    Sriov {
        /// Which VFIO driver.
        driver: Driver,
        /// The functions.
        functions: VirtualFunctions,
    },
    /// A mediated device (`/sys/bus/mdev`).
    Mdev(Mediated),
    /// A virtual GPU of a vendor's own VFIO driver (a type written to a VF).
    Vgpu(Mediated),
}

impl Target {
    /// The word for it in a document.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Pci { .. } => Kind::Pci,
            Self::Sriov { .. } => Kind::Sriov,
            Self::Mdev(_) => Kind::Mdev,
            Self::Vgpu(_) => Kind::Vgpu,
        }
    }
}

/// Kinds of resources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The PCI function itself.
    #[default]
    Pci,
    /// Virtual functions of the selected physical function.
    Sriov,
    /// Mediated devices of the selected parent.
    Mdev,
    /// Vendor-VFIO virtual GPUs of the selected physical GPU.
    Vgpu,
}

/// Which VFIO driver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Driver {
    /// The best variant for the device by modules.alias, else `vfio-pci`.
    #[default]
    Auto,
    /// This one; `vfio-pci` or a variant. Its name has "vfio" in it.
    Named(DriverName),
}

/// Which other endpoints of the IOMMU group go with the device. Each passes the guards by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Companions {
    /// None: a group with another endpoint is refused.
    #[default]
    Off,
    /// All endpoints of the group.
    Auto,
    /// These alone, sorted, each once; another endpoint in the group is refused.
    Only(Vec<CompanionName>),
}

/// SR-IOV virtual functions and what each is given.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualFunctions {
    /// How many of each selected physical function.
    #[schemars(range(min = 1, max = 256))]
    pub vfs: u16,
    /// Their MAC addresses; absent: as the driver gives them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<Macs>,
    /// Their VLAN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vlan: Option<Vlan>,
    /// Whether the guest may change its MAC and be promiscuous.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<OnOff>,
    /// Whether frames with another source MAC are dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spoof_check: Option<OnOff>,
    /// The link as the guest sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_state: Option<LinkState>,
    /// Mbit/s that are its own; at most `maxTxRate`, if that is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min_tx_rate: Option<u32>,
    /// Mbit/s it may send.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tx_rate: Option<u32>,
}

/// MAC addresses of virtual functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Macs {
    /// The first octets; the rest comes from node, physical function and index, the same each time.
    Prefix(MacPrefix),
    /// One for each function, in order of their index. The selector has one address, `nodes` one name.
    Addresses(Vec<MacAddress>),
}

/// A VLAN that the NIC adds and takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vlan {
    /// Its id.
    #[schemars(range(min = 1, max = 4094))]
    pub id: u16,
    /// Priority.
    #[serde(default)]
    #[schemars(range(max = 7))]
    pub qos: u8,
    /// Tag protocol.
    #[serde(default)]
    pub proto: VlanProtocol,
}

/// Tag protocols of a VLAN.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub enum VlanProtocol {
    /// 0x8100.
    #[default]
    #[serde(rename = "802.1Q")]
    Dot1q,
    /// 0x88a8.
    #[serde(rename = "802.1ad")]
    Dot1ad,
}

/// The link of a virtual function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// That of the physical port.
    Auto,
    /// Always up.
    Enable,
    /// Always down.
    Disable,
}

/// Devices of a type that a vendor's driver makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mediated {
    /// The type, by its id (`nvidia-63`, `1054`) or its name (`GRID T4-2A`).
    #[serde(rename = "type")]
    pub type_name: TypeName,
    /// How many of each selected device; absent: as many as it makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub count: Option<u16>,
}

/// When a device goes back to the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Release {
    /// As soon as no VM has it.
    #[default]
    Restore,
    /// When no VM has had it for so long.
    AfterIdle(Period),
    /// Never by itself: with `virt-tailor node release`.
    Keep,
}

/// A named set of steps around a VM, none of which must precede the bind of a device.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// As `virt-tailor.io/node-profiles` names it.
    #[schemars(regex(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub name: String,
    /// In this order before QEMU runs, undone in reverse when it has ended.
    #[schemars(length(min = 1))]
    pub steps: Vec<ProfileStep>,
    /// Whose VMs may name it: nobody's that is not matched.
    pub namespaces: Globs,
    /// The nodes on which it exists.
    #[serde(default)]
    pub nodes: Globs,
}

/// Risks that the admin takes knowingly.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guards {
    /// One risk of one device an item.
    #[serde(default)]
    pub acknowledge: Vec<Acknowledgement>,
}

/// A refusal that is lifted for one device. Disks that the host uses are not among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Acknowledgement {
    /// The device.
    pub address: PciAddress,
    /// What may be lost.
    pub risk: Risk,
    /// Why that is all right; it is shown wherever the risk is taken.
    #[schemars(length(min = 1, max = 200))]
    pub reason: String,
    /// The nodes it holds on.
    pub nodes: Globs,
}

/// Risks that can be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Risk {
    /// The NIC has an address, a route, a master or child devices.
    Uplink,
    /// The NIC has a driver and no network device that the host can see: it is in some pod.
    HiddenInterface,
    /// It drives the only console.
    LastConsole,
    /// It has the only keyboard.
    LastKeyboard,
}

impl Risk {
    /// The word for it in a document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uplink => "uplink",
            Self::HiddenInterface => "hiddenInterface",
            Self::LastConsole => "lastConsole",
            Self::LastKeyboard => "lastKeyboard",
        }
    }
}

/// What no resource and no profile may go beyond. The reader has held each step of the document against them; what several steps come
/// to on a node is for the node to see.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Locked memory.
    #[serde(default)]
    pub memlock: MemlockLimit,
    /// Services.
    #[serde(default)]
    pub services: ServiceLimits,
    /// Huge pages.
    #[serde(default)]
    pub hugepages: HugepageLimit,
    /// Kernel modules.
    #[serde(default)]
    pub modules: ModuleLimits,
}

/// A limit of locked memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemlockLimit {
    /// The most a VM's QEMU gets. What it locks is charged to its pod's memory limit all the same.
    #[serde(default = "super::spec::unlimited")]
    pub max: Memlock,
}

pub(super) fn unlimited() -> Memlock {
    Memlock::Unlimited
}

impl Default for MemlockLimit {
    fn default() -> Self {
        Self { max: Memlock::Unlimited }
    }
}

/// Limits of what is done to services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceLimits {
    /// Units that are never stopped, besides those that never are: kubelet, container runtimes, systemd's own, dbus, sshd, and what
    /// network and disks need. `*` and `?` are taken.
    #[serde(default)]
    pub never: Vec<UnitPattern>,
    /// The longest `maxHold` of a step.
    #[serde(default = "super::spec::longest_hold")]
    pub max_hold: Period,
}

/// One day.
pub(super) fn longest_hold() -> Period {
    Period::from_seconds(24 * 60 * 60)
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self { never: Vec::new(), max_hold: longest_hold() }
    }
}

/// A limit of huge pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HugepageLimit {
    /// The most bytes that all pages of ours take on a node, of all sizes together; absent: no limit of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<ByteSize>,
}

/// Limits of what is done to kernel modules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModuleLimits {
    /// Folders of the host below which a swap may find its module; without any no module is swapped.
    #[serde(default)]
    pub directories: Vec<HostPath>,
}
