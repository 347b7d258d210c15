//! What a mutation is asked for, besides the bytes.

use std::collections::BTreeMap;

use crate::config::Resolved;
use crate::host::HostFacts;

/// How libvirt will run: decides whether `<memtune>` can be used (kubevirt#17857).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LibvirtMode {
    /// Unprivileged, as in every KubeVirt virt-launcher: `<memtune>` defines and then fails at start.
    Session,
    /// Privileged.
    System,
    /// Session if a VMI is given, else system.
    #[default]
    Auto,
}

/// A host device that the VMI asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestedDevice {
    /// Its name in the VMI.
    pub name: String,
    /// The aliases KubeVirt may give it (`ua-gpu-NAME`, `ua-dra-gpu-NAME`, …).
    pub aliases: Vec<String>,
}

/// What a mutation needs to know of the VMI.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VmFacts {
    /// `namespace/name`, for messages.
    pub name: String,
    /// The host devices it asks for; each becomes a VFIO (or USB) device, now or by hot-plug.
    pub devices: Vec<RequestedDevice>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Everything a mutation depends on, besides the bytes of the domain.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What is asked for.
    pub profile: &'a Resolved,
    /// The VMI, if there is one.
    pub vm: Option<&'a VmFacts>,
    /// Facts about the host, if there are any.
    pub host: Option<&'a HostFacts>,
    /// How libvirt runs.
    pub libvirt: LibvirtMode,
    /// Whether somebody has confirmed that enough memory may be locked for devices that the VMI did not request.
    pub lock_confirmed: bool,
}

impl Request<'_> {
    /// Whether libvirt will run unprivileged.
    pub fn session(&self) -> bool {
        match self.libvirt {
            LibvirtMode::Session => true,
            LibvirtMode::System => false,
            LibvirtMode::Auto => self.vm.is_some(),
        }
    }
}
