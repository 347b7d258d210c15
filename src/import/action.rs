//! What boot-time files ask for, in one vocabulary, whatever the format it was found in.

use crate::base::{ByteSize, PciAddress};

use super::place::Place;
use super::verdict::Verdict;

/// One action and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    /// Where.
    pub place: Place,
    /// As it was written, or in short.
    pub said: String,
    /// What it is.
    pub action: Action,
}

/// An action at boot.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// A kernel argument.
    Argument {
        /// Before the `=`.
        name: String,
        /// Behind it.
        value: Option<String>,
    },
    /// Ids that vfio-pci is to take, one action each.
    Ids {
        /// PCI vendor id.
        vendor: u16,
        /// PCI device id.
        device: u16,
        /// By which way.
        by: IdsBy,
    },
    /// A parameter of a module.
    Parameter {
        /// The module.
        module: String,
        /// Its parameter.
        name: String,
        /// The value.
        value: String,
    },
    /// A module is loaded.
    Load {
        /// The module.
        module: String,
        /// `modprobe -d`: another build of it.
        folder: Option<String>,
        /// Name and value.
        parameters: Vec<(String, String)>,
    },
    /// A module is unloaded.
    Unload {
        /// The module.
        module: String,
    },
    /// A module may not load.
    Deny {
        /// The module.
        module: String,
    },
    /// A text is written to sysfs or procfs.
    Write {
        /// The path.
        path: String,
        /// The text.
        value: String,
    },
    /// A function is handed to vfio-pci by a tool.
    Bind(PciAddress),
    /// A unit is started, stopped, enabled …
    Service {
        /// The unit, with its kind.
        unit: String,
        /// What is done to it.
        verb: ServiceVerb,
    },
    /// Virtual functions.
    Vfs(Vfs),
    /// A setting of virtual functions (`ip link set … vf`).
    VfSetting {
        /// `trust`, `spoofchk`, `vlan`, `state` …
        name: String,
        /// The value.
        value: String,
    },
    /// A mediated device is made.
    Mdev {
        /// On this function.
        parent: PciAddress,
        /// Of this type.
        type_name: String,
    },
    /// KubeVirt makes mediated devices of this type, on whatever makes them.
    MdevType(String),
    /// Huge pages.
    Pages {
        /// Their size.
        size: ByteSize,
        /// How many.
        count: u64,
        /// On this NUMA node.
        node: Option<u16>,
    },
    /// CPUs, as a list, are kept free of other work.
    Isolate(String),
    /// Interrupts are kept off the isolated CPUs.
    IrqsAway,
    /// A module is exchanged for a build of one's own (KMM).
    Swap {
        /// The module.
        module: String,
        /// The folder it is in.
        folder: Option<String>,
        /// Name and value.
        parameters: Vec<(String, String)>,
        /// PCI vendor of the nodes' devices, from a label.
        vendor: Option<u16>,
    },
    /// The limit of locked memory is raised.
    Memlock,
    /// KubeVirt's name of a device.
    Name {
        /// The resource.
        resource: String,
        /// PCI vendor id.
        vendor: u16,
        /// PCI device id.
        device: u16,
        /// Whether KubeVirt knows that another device plugin has it.
        external: bool,
    },
    /// The node starts again.
    Reboot,
    /// The reader knows what to say of it.
    Told(Verdict),
}

/// How vfio-pci was to take devices by their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdsBy {
    /// A parameter, when the module is loaded.
    Parameter,
    /// `new_id`, at run time.
    NewId,
    /// `driver_override` of each, by a udev rule.
    Rule,
}

/// What is done to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceVerb {
    /// It is stopped now.
    Stop,
    /// It is started now.
    Start,
    /// It does not start at boot; one that runs goes on.
    Disable,
    /// It cannot start.
    Mask,
}

/// Virtual functions that are made.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Vfs {
    /// How many.
    pub count: u64,
    /// The physical functions.
    pub addresses: Vec<PciAddress>,
    /// Names of their interfaces.
    pub interfaces: Vec<String>,
    /// Vendor and device id of the physical functions.
    pub vendor: Option<u16>,
    /// Device id.
    pub device: Option<u16>,
    /// As Kubernetes calls the resource.
    pub name: Option<String>,
}
