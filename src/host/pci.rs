//! PCI functions with everything that preparing one needs to know.
//!
//! Only from attributes that the kernel answers from memory. What takes the device's lock hangs for as long as an unbind of that device
//! hangs, and is therefore not here: see [`super::locked`].

use std::collections::BTreeMap;

use serde::Serialize;

use super::attribute;
use super::error::HostError;
use super::facts::{HostFacts, PciFunction};
use super::hex;
use super::placement::Place;
use super::resource::{Resource, resources};
use super::root::Root;
use super::sysfs::read_pci;
use super::values;
use crate::base::PciAddress;

/// The part of config space that is the same for all functions (PCI Local Bus Specification, 6.1).
const CONFIG_HEADER: usize = 64;

/// The PCI functions of a machine, by address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Pci {
    /// Every function there is.
    pub functions: BTreeMap<PciAddress, PciDevice>,
}

/// One PCI function. What could not be read is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PciDevice {
    /// What the domain side knows, too.
    #[serde(flatten)]
    pub function: PciFunction,
    /// Vendor and model of the card, as opposed to the chip.
    pub subsystem: Option<SubsystemId>,
    /// Revision of the chip.
    pub revision: Option<u8>,
    /// What modules are matched against: `pci:v000010DEd…`.
    pub modalias: Option<String>,
    /// BARs, ROM and bridge windows that have a size, by index in `resource`.
    pub resources: Vec<Resource>,
    /// Power.
    pub power: Power,
    /// What it can do as a physical function; `None` without SR-IOV.
    pub sriov: Option<Sriov>,
    /// The physical function of a virtual one.
    pub physfn: Option<PciAddress>,
    /// Where it hangs; `None` in a captured tree of plain folders.
    pub place: Option<Place>,
    /// `vfio-dev/vfioN` of a function that is open to VFIO, from Linux 6.1: the device file is `/dev/vfio/devices/vfioN`.
    pub vfio_device: Option<String>,
    /// Whether the device answers: `false` if its config space reads as all ones, so that it fell off the bus. (`vendor` would not
    /// tell: the kernel remembers that.) `None` if it was not asked, because that would wake it up, or could not be.
    pub answers: Option<bool>,
    /// Whether types of mediated devices can be made on it (`mdev_supported_types`).
    pub mdev_capable: bool,
    /// Whether NVIDIA's driver makes vGPUs on it without mdev (`nvidia/creatable_vgpu_types`).
    pub vendor_vgpu: bool,
}

/// Vendor and device id of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubsystemId {
    /// Vendor of the card.
    #[serde(serialize_with = "hex::id")]
    pub vendor: u16,
    /// The vendor's number for it.
    #[serde(serialize_with = "hex::id")]
    pub device: u16,
}

/// Power of a function (kernel: Documentation/ABI/testing/sysfs-devices-power, sysfs-bus-pci).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Power {
    /// `power/control`: `on` or `auto`.
    pub control: Option<String>,
    /// `power_state`: `D0`, `D3hot`, `D3cold`, `unknown` …
    pub state: Option<String>,
    /// `power/runtime_status`: `active`, `suspended` …
    pub runtime_status: Option<String>,
    /// Whether the kernel may cut its power.
    pub d3cold_allowed: Option<bool>,
}

/// A physical function and its virtual ones (kernel: Documentation/ABI/testing/sysfs-bus-pci).
///
/// `sriov_numvfs` is not here, for reading it takes the device's lock: see [`super::sriov_numvfs`]. The virtual functions themselves are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sriov {
    /// The most VFs the device and its driver allow.
    pub total_vfs: u32,
    /// Whether a driver is looked for when VFs appear.
    pub drivers_autoprobe: Option<bool>,
    /// The VFs by number, from the links `virtfnN`.
    pub vfs: BTreeMap<u32, PciAddress>,
}

impl Pci {
    /// Reads all functions. A machine without PCI has none; a function that vanishes meanwhile is left out.
    ///
    /// # Errors
    ///
    /// As for [`read_pci`].
    pub fn read(root: &Root) -> Result<Self, HostError> {
        let facts = read_pci(root.folder())?;
        let read = |(address, function)| Some((address, device(root, function)?));
        Ok(Self { functions: facts.pci.into_iter().filter_map(read).collect() })
    }

    /// Reads one function; `None` if there is none at this address, or it vanishes.
    ///
    /// # Errors
    ///
    /// As for [`read_pci`].
    pub fn read_one(root: &Root, address: PciAddress) -> Result<Option<PciDevice>, HostError> {
        Ok(super::sysfs::read_one(root.folder(), address)?.and_then(|function| device(root, function)))
    }

    /// Whether the function at an address answers: see [`PciDevice::answers`].
    pub fn answers(root: &Root, address: PciAddress) -> Option<bool> {
        let at = |name: &str| format!("sys/bus/pci/devices/{address}/{name}");
        let power = Power { state: attribute::text(root, &at("power_state")), ..Power::default() };
        answers(root, &at("config"), &power)
    }

    /// What the domain side needs of it.
    pub fn facts(&self) -> HostFacts {
        HostFacts { pci: self.functions.iter().map(|(address, device)| (*address, device.function.clone())).collect() }
    }

    /// The function at an address.
    pub fn get(&self, address: PciAddress) -> Option<&PciDevice> {
        self.functions.get(&address)
    }

    /// The function, not a bridge, in one of whose memory BARs the whole range lies.
    pub fn owner_of(&self, start: u64, end: u64) -> Option<PciAddress> {
        let holds = |device: &&PciDevice| {
            let bars = device.resources.iter().filter(|resource| resource.is_bar() && resource.is_memory());
            !device.function.is_bridge() && bars.into_iter().any(|bar| bar.contains(start, end))
        };
        self.functions.values().find(holds).map(|device| device.function.address)
    }
}

impl PciDevice {
    /// Where it is.
    pub fn address(&self) -> PciAddress {
        self.function.address
    }

    /// Whether this is a virtual function.
    pub fn is_vf(&self) -> bool {
        self.physfn.is_some()
    }
}

/// The folder of a function, below the root.
pub(super) fn folder(address: PciAddress) -> String {
    format!("sys/bus/pci/devices/{address}")
}

/// Everything else about a function; `None` if it has vanished meanwhile, for then what was read is half a device.
fn device(root: &Root, function: PciFunction) -> Option<PciDevice> {
    let folder = folder(function.address);
    let at = |name: &str| format!("{folder}/{name}");
    let flag = |name: &str| attribute::value(root, &at(name), values::switch);
    let id = |name: &str| attribute::value(root, &at(name), values::id);
    let subsystem = || Some(SubsystemId { vendor: id("subsystem_vendor")?, device: id("subsystem_device")? });
    let power = Power {
        control: attribute::text(root, &at("power/control")),
        state: attribute::text(root, &at("power_state")),
        runtime_status: attribute::text(root, &at("power/runtime_status")),
        d3cold_allowed: flag("d3cold_allowed"),
    };
    let device = PciDevice {
        subsystem: subsystem(),
        revision: attribute::value(root, &at("revision"), values::hexadecimal).and_then(|id| u8::try_from(id).ok()),
        modalias: attribute::text(root, &at("modalias")),
        resources: attribute::value(root, &at("resource"), resources).unwrap_or_default(),
        sriov: attribute::value(root, &at("sriov_totalvfs"), values::number).map(|total_vfs| Sriov {
            total_vfs,
            drivers_autoprobe: flag("sriov_drivers_autoprobe"),
            vfs: vfs(root, &folder),
        }),
        physfn: attribute::link_name(root, &at("physfn")).and_then(|name| name.parse().ok()),
        place: Place::read(root, function.address),
        vfio_device: root.names(at("vfio-dev")).ok().and_then(|names| names.into_iter().next()),
        answers: answers(root, &at("config"), &power),
        mdev_capable: root.has(at("mdev_supported_types")),
        vendor_vgpu: root.has(at("nvidia/creatable_vgpu_types")),
        power,
        function,
    };
    root.has(&folder).then_some(device)
}

/// The links `virtfnN`.
fn vfs(root: &Root, folder: &str) -> BTreeMap<u32, PciAddress> {
    let vf = |name: String| {
        let number = values::number(name.strip_prefix("virtfn")?)?;
        let address = attribute::link_name(root, &format!("{folder}/{name}"))?.parse().ok()?;
        Some((number, address))
    };
    root.names(folder).unwrap_or_default().into_iter().filter_map(vf).collect()
}

/// Whether config space reads as something else than all ones. A virtual function's ids there are all ones, too, but not the rest (PCI
/// Express Base Specification, 9.3.4.1).
fn answers(root: &Root, config: &str, power: &Power) -> Option<bool> {
    // Reading config space of a device without power gives it power again (kernel: drivers/pci/pci.c, pci_config_pm_runtime_get).
    if power.state.as_deref() == Some("D3cold") {
        return None;
    }
    let bytes = root.bytes(config).ok().flatten()?;
    let header = bytes.get(..CONFIG_HEADER.min(bytes.len()))?;
    (!header.is_empty()).then(|| header.iter().any(|byte| *byte != 0xff))
}
