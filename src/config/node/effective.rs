//! What concerns one node.

use crate::base::PciAddress;

use super::scalars::UnitName;
use super::{Acknowledgement, Limits, NodeConfig, Profile, Resource, Risk};

/// The part of a NodeConfig that concerns one node: names of resources and of profiles are unique, and no two resources name the same
/// address. What an address is there, and whether two selectors meet in one device, only the node itself can tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effective {
    /// The resources, in the order of the document.
    pub resources: Vec<Resource>,
    /// The profiles, in the order of the document.
    pub profiles: Vec<Profile>,
    /// The risks taken here.
    pub acknowledged: Vec<Acknowledgement>,
    /// The limits.
    pub limits: Limits,
}

impl NodeConfig {
    /// What concerns the node of this name (Kubernetes' name of it, which need not be its host name).
    pub fn for_node(&self, node: &str) -> Effective {
        let spec = &self.spec;
        Effective {
            resources: spec.resources.iter().filter(|resource| resource.nodes.matches(node)).cloned().collect(),
            profiles: spec.profiles.iter().filter(|profile| profile.nodes.matches(node)).cloned().collect(),
            acknowledged: spec.guards.acknowledge.iter().filter(|one| one.nodes.matches(node)).cloned().collect(),
            limits: spec.limits.clone(),
        }
    }
}

impl Effective {
    /// The resource of a name.
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.name.as_str() == name)
    }

    /// The profile of a name, if the VMs of a namespace may name it.
    pub fn profile(&self, name: &str, namespace: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name && profile.namespaces.matches(namespace))
    }

    /// Why a risk of a device is taken, if it is.
    pub fn acknowledged(&self, address: PciAddress, risk: Risk) -> Option<&str> {
        let one = self.acknowledged.iter().find(|one| one.address == address && one.risk == risk);
        one.map(|one| one.reason.as_str())
    }
}

impl Limits {
    /// Why a unit is never stopped, if so: which pattern says it. systemd's aliases are the host's to resolve: ask again with the
    /// name that is found behind one.
    pub fn never_stopped(&self, unit: &UnitName) -> Option<&str> {
        super::protected::built_in(unit).or_else(|| {
            self.services.never.iter().find(|pattern| pattern.matches(unit)).map(|pattern| pattern.as_str())
        })
    }
}
