//! The form of a document: how typed values are written, for the normalised document and for the schema.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::config::{API_VERSION, Memlock, OnOff};

use super::{
    Companions, Cpus, Driver, Globs, Kind, Mediated, NodeConfig, Numa, PrepareStep, Release, Resource, ResourceName,
    Selector, Target, VirtualFunctions,
};

impl NodeConfig {
    /// The document in one spelling: defaults written out, names and numbers in their canonical form. Read again it is the same
    /// NodeConfig.
    pub fn normalised(&self) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": super::KIND,
            "metadata": { "name": self.name },
            "spec": self.spec,
        })
    }
}

/// A resource as it is written: `kind` says which of the last three sections it has.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct WrittenResource {
    /// A Kubernetes extended resource, `domain/name`; on any one node no two are the same.
    name: ResourceName,
    /// Which devices of the host.
    selector: Selector,
    /// What a VM gets of them.
    #[serde(default)]
    kind: Kind,
    /// Which VFIO driver (pci, sriov).
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<Driver>,
    /// Which other endpoints of the IOMMU group go with the device (pci).
    #[serde(skip_serializing_if = "Option::is_none")]
    companions: Option<Companions>,
    /// The virtual functions (sriov).
    #[serde(skip_serializing_if = "Option::is_none")]
    sriov: Option<VirtualFunctions>,
    /// The mediated devices (mdev).
    #[serde(skip_serializing_if = "Option::is_none")]
    mdev: Option<Mediated>,
    /// The virtual GPUs (vgpu).
    #[serde(skip_serializing_if = "Option::is_none")]
    vgpu: Option<Mediated>,
    /// Steps before the bind, in this order; undone in reverse after the restore.
    #[serde(default)]
    prepare: Vec<PrepareStep>,
    /// When the device goes back to the host.
    #[serde(default)]
    release: Release,
    /// Storage: whether a disk that bears a signature may be handed over. Never one that the host uses.
    #[serde(default)]
    may_hold_data: bool,
    /// Whose VMs may have it.
    #[serde(default)]
    namespaces: Globs,
    /// The nodes on which it exists; to be given where a device is named by address or serial.
    #[serde(default)]
    nodes: Globs,
}

impl From<&Resource> for WrittenResource {
    fn from(resource: &Resource) -> Self {
        let (mut driver, mut companions, mut sriov, mut mdev, mut vgpu) = (None, None, None, None, None);
        match resource.target.clone() {
            Target::Pci { driver: which, companions: others } => (driver, companions) = (Some(which), Some(others)),
            Target::Sriov { driver: which, functions } => (driver, sriov) = (Some(which), Some(functions)),
            Target::Mdev(mediated) => mdev = Some(mediated),
            Target::Vgpu(mediated) => vgpu = Some(mediated),
        }
        Self {
            name: resource.name.clone(),
            selector: resource.selector.clone(),
            kind: resource.target.kind(),
            driver,
            companions,
            sriov,
            mdev,
            vgpu,
            prepare: resource.prepare.clone(),
            release: resource.release,
            may_hold_data: resource.may_hold_data,
            namespaces: resource.namespaces.clone(),
            nodes: resource.nodes.clone(),
        }
    }
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WrittenResource::from(self).serialize(serializer)
    }
}

impl Serialize for Driver {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Named(name) => name.serialize(serializer),
        }
    }
}

impl Serialize for Companions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::Auto => serializer.serialize_str("auto"),
            Self::Only(names) => names.serialize(serializer),
        }
    }
}

impl Serialize for Numa {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Device => serializer.serialize_str("device"),
            Self::Node(node) => serializer.serialize_u16(*node),
        }
    }
}

impl Serialize for Cpus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::List(list) => list.serialize(serializer),
        }
    }
}

impl Serialize for Memlock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unlimited => serializer.serialize_str("unlimited"),
            Self::Size(size) => size.serialize(serializer),
        }
    }
}

impl Serialize for OnOff {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
