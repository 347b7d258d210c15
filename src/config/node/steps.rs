//! Steps as an admin writes them: a map with one key, which says what is done.
//!
//! There are two kinds of places for them, and so two types: before the bind of a resource's device ([`PrepareStep`]) and around a
//! VM ([`ProfileStep`]). What they share is the same type in both.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Memlock;

use super::scalars::{CpuList, HostPath, ModuleName, PageSize, ParameterName, ParameterValue, Period, UnitName};

/// A step of a resource's `prepare`: before the bind.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum PrepareStep {
    /// A service is stopped while the device is away.
    Service(HoldService),
    /// `release`: the framebuffer consoles of the device are unbound.
    Consoles(ReleaseOnly),
    /// `release`: the firmware framebuffer that lies in a BAR of the device is let go.
    Framebuffer(ReleaseOnly),
    /// A kernel module is loaded, unloaded, swapped, or has a parameter set.
    Module(ModuleStep),
    /// Huge pages are reserved. In the agent when it starts, not for each VM: kubelet counts them when it starts.
    Hugepages(ReservePages),
    /// `pin`: the device and the ports above it stay out of D3.
    Power(PinOnly),
    /// Reset methods the kernel may use on the device, the first one first; each once.
    Reset(#[schemars(length(min = 1))] Vec<ResetMethod>),
}

/// A step of a profile: around a VM.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ProfileStep {
    /// A service is stopped while the VM runs.
    Service(HoldService),
    /// Huge pages the kernel may add on demand.
    Hugepages(OvercommitPages),
    /// The limit of locked memory of the VM's QEMU, held until it ends.
    Memlock(Memlock),
    /// CPUs are taken out of the scheduler's balancing.
    Cpus(IsolateCpus),
    /// Interrupts are kept off CPUs.
    Irqs(MoveIrqs),
}

/// A unit that is held stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HoldService {
    /// The unit; it is started again only if it was active, when the last holder lets go.
    pub stop: UnitName,
    /// It is started again after so long whatever happens, by a timer of systemd. Time services must have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_hold: Option<Period>,
}

/// Only `release`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseOnly {
    /// Let go, and taken back at the end.
    Release,
}

/// Only `pin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PinOnly {
    /// Kept in D0.
    Pin,
}

/// Only `away`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AwayOnly {
    /// Moved to other CPUs.
    Away,
}

/// What is done to a kernel module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ModuleStep {
    /// It is loaded, if it is not.
    Load(LoadModule),
    /// It is unloaded, and what uses it before it; refused while it is in use.
    Unload(UnloadModule),
    /// It is exchanged for a build in a folder, and back at the end.
    Swap(SwapModule),
    /// A parameter of a loaded module is set.
    Parameter(SetParameter),
}

impl ModuleStep {
    /// The module it is about.
    pub fn module(&self) -> &ModuleName {
        match self {
            Self::Load(step) => &step.load,
            Self::Unload(step) => &step.unload,
            Self::Swap(step) => &step.swap,
            Self::Parameter(step) => &step.parameter.module,
        }
    }
}

/// A module is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadModule {
    /// The module.
    pub load: ModuleName,
    /// Its parameters, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<ParameterName, ParameterValue>,
}

/// A module is unloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnloadModule {
    /// The module.
    pub unload: ModuleName,
}

/// A module is exchanged for another build of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SwapModule {
    /// The module.
    pub swap: ModuleName,
    /// The folder of the other build, as `modprobe -d` takes it (`lib/modules/<release>` below it). It lies below one of
    /// `limits.modules.directories`.
    pub from: HostPath,
    /// Parameters of the other build, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<ParameterName, ParameterValue>,
}

/// A parameter of a loaded module is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetParameter {
    /// Which, and to what.
    pub parameter: ModuleParameter,
}

/// A parameter and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModuleParameter {
    /// The module.
    pub module: ModuleName,
    /// The parameter, `/sys/module/<module>/parameters/<name>`.
    pub name: ParameterName,
    /// What is written there.
    pub value: ParameterValue,
}

/// Huge pages that are reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReservePages {
    /// Of which size.
    pub size: PageSize,
    /// How many more than there are.
    #[schemars(range(min = 1, max = 1048576))]
    pub count: u32,
    /// Where: a NUMA node, or `device`; absent: wherever the kernel finds them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa: Option<Numa>,
}

/// Huge pages the kernel may add on demand (`nr_overcommit_hugepages`, which is not per NUMA node).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OvercommitPages {
    /// Of which size.
    pub size: PageSize,
    /// How many more than it may already.
    #[schemars(range(min = 1, max = 1048576))]
    pub overcommit: u32,
}

/// A NUMA node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Numa {
    /// The device's own.
    Device,
    /// This one.
    Node(u16),
}

/// CPUs taken out of the scheduler's balancing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IsolateCpus {
    /// Which.
    pub isolate: Cpus,
    /// `away`: interrupts that can be moved are kept off them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub irqs: Option<AwayOnly>,
    /// `away`: unbound workqueues are kept off them, also by kernels that do not do so for an isolated partition themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workqueues: Option<AwayOnly>,
}

/// Interrupts kept off CPUs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MoveIrqs {
    /// Off which. Managed interrupts stay: the kernel moves them for nobody.
    pub away: Cpus,
}

/// CPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cpus {
    /// Those that kubelet gave the VM's pod for itself.
    Auto,
    /// These.
    List(CpuList),
}

/// The kernel's reset methods (drivers/pci/pci.c, `pci_reset_fn_methods`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResetMethod {
    /// A quirk of the kernel for the device.
    DeviceSpecific,
    /// ACPI `_RST`.
    Acpi,
    /// PCIe function-level reset.
    Flr,
    /// Function-level reset of conventional PCI's advanced features.
    AfFlr,
    /// D3hot and back.
    Pm,
    /// Secondary bus reset: every function on the bus is reset.
    Bus,
    /// CXL bus reset.
    CxlBus,
}

impl ResetMethod {
    /// The kernel's word, in `reset_method`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeviceSpecific => "device_specific",
            Self::Acpi => "acpi",
            Self::Flr => "flr",
            Self::AfFlr => "af_flr",
            Self::Pm => "pm",
            Self::Bus => "bus",
            Self::CxlBus => "cxl_bus",
        }
    }
}
