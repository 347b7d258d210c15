//! What of a VMI matters on its node: which resources it requests, which node profiles it names, and its pod.
//!
//! Whoever may write a VMI wrote most of it. It is read into the few fields that matter, with a limit for each list, and nothing of it
//! ever becomes a path.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::MAX_VMI;

/// So many GPUs, and so many other host devices, are read; PCI has no room for more.
pub const MAX_DEVICES: usize = 256;
/// So many pods of one VM are read: one, and one for each migration that has not been cleaned up.
pub const MAX_PODS: usize = 64;

/// A VM on this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeVm {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The resources of the host devices and GPUs that it requests, one for each device. (Those of SR-IOV interfaces are Multus's.)
    pub resources: Vec<String>,
    /// The node profiles that it names, each once, in its order.
    pub profiles: Vec<String>,
    /// The UIDs of its pods on the node that is called.
    pub pods: BTreeSet<String>,
    /// Whether KubeVirt has seen it run.
    pub runs: bool,
}

/// Why a text is no VMI. It is never shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeVmError {
    /// Longer than anything the API server stores.
    #[error("the VMI has {bytes} bytes: at most {MAX_VMI} are read")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// No JSON, or a field of another type than KubeVirt's, or a list that is longer than any VM's.
    #[error("the VMI cannot be read, line {line} column {column}: {what}")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Column.
        column: usize,
        /// What is wrong.
        what: &'static str,
    },
}

impl NodeVm {
    /// Reads a VMI as virt-handler sends it, for the node of that name; without a name, for the node that the VMI names.
    ///
    /// # Errors
    ///
    /// [`NodeVmError`], which shows nothing of the text.
    pub fn read(json: &[u8], node: &str) -> Result<Self, NodeVmError> {
        if json.len() > MAX_VMI {
            return Err(NodeVmError::TooLong { bytes: json.len() });
        }
        let Vmi { metadata, spec, status } = serde_json::from_slice(json).map_err(|error: serde_json::Error| {
            let what = match error.classify() {
                Category::Eof => "the document ends too early",
                Category::Data => "a value is of another type than KubeVirt's, or a list too long",
                Category::Syntax | Category::Io => "not valid JSON",
            };
            NodeVmError::Malformed { line: error.line(), column: error.column(), what }
        })?;
        let status = status.unwrap_or_default();
        let node = if node.is_empty() { status.node_name.as_deref().unwrap_or_default() } else { node };
        let devices = spec.unwrap_or_default().domain.unwrap_or_default().devices.unwrap_or_default();
        let lists = [devices.gpus, devices.host_devices].into_iter().flatten();
        let mut profiles: Vec<String> = Vec::new();
        let named = metadata.annotations.unwrap_or_default().node_profiles.unwrap_or_default();
        for name in named.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if !profiles.iter().any(|known| known == name) {
                profiles.push(name.to_owned());
            }
            // So many cannot be named anyway: whoever counts them sees that.
            if profiles.len() > crate::link::MAX_PROFILES {
                break;
            }
        }
        let pods = status.active_pods.unwrap_or_default().0.into_iter();
        Ok(Self {
            name: metadata.name.unwrap_or_default(),
            namespace: metadata.namespace.unwrap_or_default(),
            resources: lists.flat_map(|list| list.0).filter_map(|device| device.device_name).collect(),
            profiles,
            pods: pods.filter(|(_, at)| !node.is_empty() && at == node).map(|(uid, _)| uid).collect(),
            runs: status.phase.as_deref() == Some("Running"),
        })
    }
}

#[derive(Deserialize)]
struct Vmi {
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    annotations: Option<Annotations>,
}

#[derive(Default, Deserialize)]
struct Annotations {
    /// [`crate::config::NODE_PROFILES`].
    #[serde(rename = "virt-tailor.io/node-profiles")]
    node_profiles: Option<String>,
}

#[derive(Default, Deserialize)]
struct Spec {
    domain: Option<Domain>,
}

#[derive(Default, Deserialize)]
struct Domain {
    devices: Option<Devices>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Devices {
    gpus: Option<Few<Device, MAX_DEVICES>>,
    host_devices: Option<Few<Device, MAX_DEVICES>>,
}

/// Without a name it is claimed by DRA.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    device_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    phase: Option<String>,
    node_name: Option<String>,
    active_pods: Option<Few<(String, String), MAX_PODS>>,
}

/// A list, or the pairs of a map, that must not be long.
struct Few<T, const MOST: usize>(Vec<T>);

impl<T, const MOST: usize> Default for Few<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, const MOST: usize> Deserialize<'de> for Few<Device, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Reader::<Device, MOST>(PhantomData))
    }
}

impl<'de, const MOST: usize> Deserialize<'de> for Few<(String, String), MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader::<(String, String), MOST>(PhantomData))
    }
}

struct Reader<T, const MOST: usize>(PhantomData<T>);

impl<'de, const MOST: usize> Visitor<'de> for Reader<Device, MOST> {
    type Value = Few<Device, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MOST}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut few = Vec::new();
        while let Some(item) = items.next_element()? {
            if few.len() == MOST {
                return Err(A::Error::custom("too many"));
            }
            few.push(item);
        }
        Ok(Few(few))
    }
}

impl<'de, const MOST: usize> Visitor<'de> for Reader<(String, String), MOST> {
    type Value = Few<(String, String), MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map of at most {MOST}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut few = Vec::new();
        while let Some(item) = items.next_entry()? {
            if few.len() == MOST {
                return Err(A::Error::custom("too many"));
            }
            few.push(item);
        }
        Ok(Few(few))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(vmi: &serde_json::Value, node: &str) -> Result<NodeVm, NodeVmError> {
        NodeVm::read(&serde_json::to_vec(vmi).unwrap(), node)
    }

    #[test]
    fn what_matters_of_it() {
        let vmi = json!({
            "metadata": {"name": "vm", "namespace": "vms", "annotations": {
                crate::config::NODE_PROFILES: " quiet,deep ,, quiet", "other": "x"
            }},
            "spec": {"domain": {"devices": {
                "gpus": [{"name": "g", "deviceName": "example.com/gpu"}, {"name": "d", "claimName": "c"}],
                "hostDevices": [{"name": "h", "deviceName": "example.com/usb"}],
                "interfaces": [{"name": "n", "sriov": {}}],
            }}, "volumes": [{"cloudInitNoCloud": {"userData": "#cloud-config"}}]},
            "status": {"phase": "Scheduled", "nodeName": "n1", "activePods": {"aaaaaaaa": "n1", "bbbbbbbb": "n2"}},
        });
        let vm = read(&vmi, "n1").unwrap();
        assert_eq!(vm.resources, ["example.com/gpu", "example.com/usb"]);
        assert_eq!(vm.profiles, ["quiet", "deep"]);
        assert_eq!(vm.pods, ["aaaaaaaa".to_owned()].into());
        assert!(!vm.runs);
        assert_eq!(read(&vmi, "").unwrap(), vm, "the VMI's own node");
        assert_eq!(read(&vmi, "n2").unwrap().pods, ["bbbbbbbb".to_owned()].into());
        let nulls = json!({"metadata": {"name": null, "annotations": null}, "spec": {"domain": {"devices": {"gpus": null}}}, "status": {"activePods": null}});
        assert_eq!(read(&nulls, "n1").unwrap(), NodeVm::default());
    }

    #[test]
    fn every_sample_of_kubevirts_can_be_read() {
        let folder = format!("{}/tests/data/kubevirt", env!("CARGO_MANIFEST_DIR"));
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.to_str().unwrap().ends_with(".vmi.json") {
                let vm = NodeVm::read(&std::fs::read(&path).unwrap(), "").unwrap();
                assert!(!vm.name.is_empty(), "{}", path.display());
                seen += 1;
            }
        }
        assert!(seen >= 6, "{seen}");
    }

    #[test]
    fn what_is_none_is_refused_without_showing_it() {
        let deep = "[".repeat(100_000);
        let bomb = format!("{{\"metadata\": {{}}, \"other\": {deep}");
        for text in ["", "secret", "[]", "{\"metadata\": {\"name\": \"secret\"}", "{\"metadata\": 7}", "\u{0}", &bomb] {
            let error = NodeVm::read(text.as_bytes(), "n").unwrap_err().to_string();
            assert!(!error.contains("secret") && error.starts_with("the VMI cannot be read, line "), "{error}");
        }
        assert!(NodeVm::read(b"{\"metadata\": {\"name\": \"\xff\"}}", "n").is_err());
        let long = vec![b' '; MAX_VMI + 1];
        assert_eq!(NodeVm::read(&long, "n"), Err(NodeVmError::TooLong { bytes: MAX_VMI + 1 }));
        let devices = |count: usize| {
            let devices: Vec<_> = (0..count).map(|_| json!({"deviceName": "example.com/gpu"})).collect();
            json!({"metadata": {}, "spec": {"domain": {"devices": {"gpus": devices}}}})
        };
        assert_eq!(read(&devices(MAX_DEVICES), "n").unwrap().resources.len(), MAX_DEVICES);
        assert!(read(&devices(MAX_DEVICES + 1), "n").is_err());
        let pods =
            |count: usize| -> serde_json::Map<_, _> { (0..count).map(|n| (format!("{n:08}"), json!("n"))).collect() };
        let of = |count| json!({"metadata": {}, "status": {"activePods": pods(count)}});
        assert_eq!(read(&of(MAX_PODS), "n").unwrap().pods.len(), MAX_PODS);
        assert!(read(&of(MAX_PODS + 1), "n").is_err());
    }
}
