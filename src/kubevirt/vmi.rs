//! What a VirtualMachineInstance (or VirtualMachine) says that concerns us: its annotations and the host devices it requests.
//!
//! Fields we do not know are ignored: KubeVirt adds some with every release. Values other than those we keep are never held or shown;
//! among them is the user data of cloud-init.

use std::collections::BTreeMap;

use serde::Deserialize;

use serde_json::error::Category;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

use crate::domain::{self, VmFacts};

/// Longest document taken, in bytes; etcd stores 1.5 MiB at most.
const MAX_BYTES: usize = 4 << 20;

/// A VM as its author wrote it or as a hook receives it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VmView {
    /// `metadata.name`; empty if there is none.
    pub name: String,
    /// `metadata.namespace`; empty if there is none.
    pub namespace: String,
    /// The annotations that reach the VMI: of a VirtualMachine those of its template.
    pub annotations: BTreeMap<String, String>,
    /// Host devices in the order of KubeVirt's XML: generic ones, GPUs, SR-IOV interfaces (KubeVirt 1.9, pkg/virt-launcher/virtwrap/device/hostdevice).
    pub host_devices: Vec<RequestedDevice>,
    /// `status.nodeName`: where it is to run, as far as that is known.
    pub node: Option<String>,
    /// `domain.rebootPolicy` is `Terminate`: KubeVirt ends the VM when its guest reboots.
    pub ends_at_reboot: bool,
}

/// A host device that the VM requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedDevice {
    /// Its name in the VMI.
    pub name: String,
    /// Which list it stands in.
    pub kind: RequestKind,
}

/// Where a VM requests a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestKind {
    /// `devices.hostDevices[]`: PCI, mediated or USB; the VMI does not say which.
    HostDevice,
    /// `devices.gpus[]`: PCI or mediated.
    Gpu,
    /// `devices.interfaces[]` with `sriov`.
    SrIov,
}

impl RequestedDevice {
    /// The aliases that KubeVirt may give the device in the domain XML (KubeVirt 1.9, pkg/virt-launcher/virtwrap/device/hostdevice); the one that is there is the one.
    pub fn aliases(&self) -> Vec<String> {
        let prefixes: &[&str] = match self.kind {
            RequestKind::HostDevice => &["ua-hostdevice-", "ua-dra-hostdevice-", "ua-usb-host-"],
            RequestKind::Gpu => &["ua-gpu-", "ua-dra-gpu-"],
            RequestKind::SrIov => &["ua-sriov-"],
        };
        prefixes.iter().map(|prefix| format!("{prefix}{}", self.name)).collect()
    }
}

/// Why a text is not a VM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VmiError {
    /// Longer than anything the API server stores.
    #[error("{bytes} bytes are too many for a VirtualMachineInstance: at most {MAX_BYTES} are read")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Neither JSON nor YAML, or a field of another type than KubeVirt's. The text is never shown.
    #[error("line {line} column {column}: {what}")]
    Malformed {
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong.
        what: String,
    },
    /// As [`VmiError::Malformed`], at no certain place.
    #[error("{what}")]
    MalformedSomewhere {
        /// What is wrong.
        what: String,
    },
    /// Not a VM but perhaps its domain.
    #[error("this is XML: is it for --domain?")]
    Xml,
    /// A document of another kind.
    #[error("this is {found}: give a VirtualMachineInstance or a VirtualMachine of kubevirt.io")]
    OtherKind {
        /// What it is.
        found: String,
    },
}

impl VmView {
    /// What a mutation needs to know of it.
    pub fn facts(&self) -> VmFacts {
        let devices = self.host_devices.iter();
        VmFacts {
            name: format!("{}/{}", self.namespace, self.name),
            devices: devices.map(|d| domain::RequestedDevice { name: d.name.clone(), aliases: d.aliases() }).collect(),
            annotations: self.annotations.clone(),
        }
    }

    /// Reads a VMI as KubeVirt gives it to a hook: JSON of its own making. It may have no `kind`: objects that come to KubeVirt by a
    /// watch have lost it.
    ///
    /// [`Self::parse`] would do for most, but its reader takes twenty times as long, and more than all the rest of a call.
    pub fn from_hook(text: &str) -> Result<Self, VmiError> {
        if text.len() > MAX_BYTES {
            return Err(VmiError::TooLong { bytes: text.len() });
        }
        let error = match serde_json::from_str::<Received>(text) {
            Ok(Received { kind, api_version, metadata, spec, status }) => {
                let kind = KindOnly { kind, api_version };
                return match kind.is_vmi_or_nothing() {
                    true => Ok(VmView { node: status.and_then(Status::node), ..view(&metadata, &metadata, &spec) }),
                    false => Err(VmiError::OtherKind { found: kind.describe() }),
                };
            }
            Err(error) => error,
        };
        // Of another kind the fields need not have our types.
        if let Ok(kind) = serde_json::from_str::<KindOnly>(text)
            && !kind.is_vmi_or_nothing()
        {
            return Err(VmiError::OtherKind { found: kind.describe() });
        }
        // Its own messages quote the text.
        let what = match error.classify() {
            Category::Eof => "the document ends too early",
            Category::Data => "a value is of another type than KubeVirt's",
            Category::Syntax | Category::Io => "not valid JSON",
        };
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let (line, column) = (number(error.line()), number(error.column()));
        Err(VmiError::Malformed { line, column, what: what.to_owned() })
    }

    /// Reads a VM or VMI, in JSON or YAML (of which JSON is a part).
    pub fn parse(text: &str) -> Result<Self, VmiError> {
        if text.len() > MAX_BYTES {
            return Err(VmiError::TooLong { bytes: text.len() });
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim_start().starts_with('<') {
            return Err(VmiError::Xml);
        }
        // Kind first: a document of another kind need not have fields of our types.
        let kind: KindOnly = read(text)?;
        let found = kind.describe();
        let group = kind.api_version.as_deref().unwrap_or_default();
        let ours = group.is_empty() || group.starts_with("kubevirt.io/");
        match kind.kind.as_deref() {
            Some("VirtualMachineInstance") if ours => {
                let vmi: Vmi = read(text)?;
                Ok(view(&vmi.metadata, &vmi.metadata, &vmi.spec))
            }
            Some("VirtualMachine") if ours => {
                let vm: Vm = read(text)?;
                let template = vm.spec.template;
                Ok(view(&vm.metadata, &template.metadata, &template.spec))
            }
            _ => Err(VmiError::OtherKind { found }),
        }
    }
}

fn view(named: &Metadata, annotated: &Metadata, spec: &Spec) -> VmView {
    let devices = &spec.domain.devices;
    let entries = |kind, names: &[Entry]| -> Vec<RequestedDevice> {
        names.iter().map(|entry| RequestedDevice { name: entry.name.clone(), kind }).collect()
    };
    let interfaces = devices.interfaces.iter().flatten();
    let sriov = interfaces
        .filter(|interface| interface.sriov.is_some())
        .map(|interface| RequestedDevice { name: interface.name.clone(), kind: RequestKind::SrIov });
    let mut host_devices = entries(RequestKind::HostDevice, devices.host_devices.as_deref().unwrap_or_default());
    host_devices.extend(entries(RequestKind::Gpu, devices.gpus.as_deref().unwrap_or_default()));
    host_devices.extend(sriov);
    VmView {
        name: named.name.clone().unwrap_or_default(),
        namespace: named.namespace.clone().unwrap_or_default(),
        annotations: annotated.annotations.clone().unwrap_or_default(),
        host_devices,
        node: None,
        ends_at_reboot: spec.domain.reboot_policy.as_deref() == Some("Terminate"),
    }
}

/// Reads one YAML or JSON document. Messages are our own words: the parser's quote the text.
fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, VmiError> {
    use serde_saphyr::Error;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 64,
            max_documents: 2,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        strict_booleans: true,
        ignore_binary_tag_for_string: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let what = match error.without_snippet() {
            Error::MultipleDocuments { .. } => "a second document begins here: only one is taken".to_owned(),
            Error::DuplicateMappingKey { .. } => "a key stands here for the second time".to_owned(),
            Error::Eof { .. } => "the document ends too early".to_owned(),
            Error::Budget { .. } => "the document is nested too deep or too large".to_owned(),
            Error::Unexpected { expected, .. } if expected.contains("mapping") => {
                "a map (key: value) is expected here".to_owned()
            }
            Error::Unexpected { expected, .. } if expected.contains("sequence") => "a list is expected here".to_owned(),
            Error::Unexpected { expected, .. } if expected.contains("string") => "a text is expected here".to_owned(),
            Error::Unexpected { expected, .. } => format!("{expected} is expected here"),
            _ => "not valid JSON or YAML, or a value of another type than KubeVirt's".to_owned(),
        };
        match error.location() {
            Some(at) => VmiError::Malformed { line: at.line(), column: at.column(), what },
            None => VmiError::MalformedSomewhere { what },
        }
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KindOnly {
    kind: Option<String>,
    api_version: Option<String>,
}

impl KindOnly {
    fn is_vmi_or_nothing(&self) -> bool {
        let group = self.api_version.as_deref().unwrap_or_default();
        let ours = group.is_empty() || group.starts_with("kubevirt.io/");
        ours && matches!(self.kind.as_deref().unwrap_or_default(), "" | "VirtualMachineInstance")
    }

    fn describe(&self) -> String {
        let short = |text: &str| text.chars().take(60).collect::<String>();
        match (&self.api_version, &self.kind) {
            (_, None) => "a document without kind".to_owned(),
            (None, Some(kind)) => format!("a {:?}", short(kind)),
            (Some(version), Some(kind)) => format!("a {:?} of {:?}", short(kind), short(version)),
        }
    }
}

/// What a hook receives, read at once.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Received {
    kind: Option<String>,
    api_version: Option<String>,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    status: Option<Status>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    node_name: Option<String>,
}

impl Status {
    fn node(self) -> Option<String> {
        self.node_name.filter(|name| !name.is_empty())
    }
}

#[derive(Debug, Deserialize)]
struct Vmi {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Vm {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: VmSpec,
}

#[derive(Debug, Default, Deserialize)]
struct VmSpec {
    #[serde(default)]
    template: Template,
}

#[derive(Debug, Default, Deserialize)]
struct Template {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
struct Spec {
    #[serde(default)]
    domain: Domain,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Domain {
    #[serde(default)]
    devices: Devices,
    reboot_policy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Devices {
    gpus: Option<Vec<Entry>>,
    host_devices: Option<Vec<Entry>>,
    interfaces: Option<Vec<Interface>>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Interface {
    name: String,
    sriov: Option<Present>,
}

/// `sriov: {}`: only that it is there matters.
#[derive(Debug, Deserialize)]
struct Present {}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(file: &str) -> String {
        let path = format!("{}/tests/data/kubevirt/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_vm_and_its_vmi_ask_for_the_same() {
        let names = ["dpdk-worker", "gpu-workstation", "ignition", "plain", "sfc-onload", "vgpu-desktop"];
        for name in names {
            let vm = VmView::parse(&sample(&format!("{name}.yaml"))).unwrap();
            let vmi = VmView::parse(&sample(&format!("{name}.vmi.json"))).unwrap();
            assert_eq!(vm.host_devices, vmi.host_devices, "{name}");
            assert_eq!(vm.name, vmi.name, "{name}");
            for (key, value) in &vm.annotations {
                assert_eq!(vmi.annotations.get(key), Some(value), "{name}");
            }
        }
    }

    #[test]
    fn devices_come_with_their_aliases() {
        let vm = VmView::parse(&sample("gpu-workstation.yaml")).unwrap();
        assert_eq!((vm.name.as_str(), vm.namespace.as_str()), ("flightsim", "desktops"));
        assert_eq!(vm.annotations["virt-tailor.io/profiles"], "gpu-workstation");
        let all: Vec<String> = vm.host_devices.iter().flat_map(RequestedDevice::aliases).collect();
        let expected = [
            "ua-hostdevice-gpu0-audio",
            "ua-dra-hostdevice-gpu0-audio",
            "ua-usb-host-gpu0-audio",
            "ua-hostdevice-usb",
            "ua-dra-hostdevice-usb",
            "ua-usb-host-usb",
            "ua-gpu-gpu0",
            "ua-dra-gpu-gpu0",
        ];
        assert_eq!(all, expected);
        let sriov = "kind: VirtualMachineInstance\nspec: {domain: {devices: {interfaces: [{name: a, masquerade: {}}, {name: b, sriov: {}}]}}}\n";
        let vm = VmView::parse(sriov).unwrap();
        assert_eq!(vm.host_devices.len(), 1);
        assert_eq!(vm.host_devices[0].aliases(), ["ua-sriov-b"]);
        assert!(!vm.ends_at_reboot);
        let ends = "kind: VirtualMachineInstance\nspec: {domain: {rebootPolicy: Terminate}}\n";
        assert!(VmView::parse(ends).unwrap().ends_at_reboot);
    }

    #[test]
    fn what_is_none_is_refused_without_showing_it() {
        let cases = [
            ("{\"kind\": \"VirtualMachineInstance\", ", "line 1 column"),
            ("kind: VirtualMachineInstance\nspec: [\n", "line 2 column 7"),
            ("apiVersion: v1\nkind: Pod\n", "this is a \"Pod\" of \"v1\": give"),
            (
                "apiVersion: example.org/v1\nkind: VirtualMachine\n",
                "this is a \"VirtualMachine\" of \"example.org/v1\"",
            ),
            ("name: x\n", "this is a document without kind"),
            ("kind: VirtualMachineInstance\nkind: Pod\n", "line 2 column 1: a key"),
            ("kind: VirtualMachineInstance\n---\nkind: Pod\n", "line 3 column 1: a second"),
            ("secret-password", "line 1 column 1"),
            ("\u{feff}\n <domain><secret/></domain>", "this is XML: is it for --domain?"),
            ("", "this is a document without kind"),
            ("kind: VirtualMachineInstance\nmetadata: {annotations: {a: [secret-password]}}\n", "line 2 column"),
            (
                "kind: VirtualMachineInstance\nspec: {volumes: [{cloudInitNoCloud: {userData: \"secret-password}}]}",
                "line 2",
            ),
        ];
        for (text, message) in cases {
            let error = VmView::parse(text).unwrap_err().to_string();
            println!("{error}");
            assert!(error.contains(message), "{text:?}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let long = " ".repeat(MAX_BYTES + 1);
        assert!(matches!(VmView::parse(&long), Err(VmiError::TooLong { .. })));
    }

    #[test]
    fn a_hook_receives_json_with_or_without_a_kind() {
        for name in ["dpdk-worker", "gpu-workstation", "ignition", "plain", "sfc-onload", "vgpu-desktop"] {
            let text = sample(&format!("{name}.vmi.json"));
            let expected = VmView::parse(&text).unwrap();
            assert_eq!(VmView::from_hook(&text).unwrap(), expected, "{name}");
            let mut without: serde_json::Value = serde_json::from_str(&text).unwrap();
            for key in ["kind", "apiVersion"] {
                assert!(without.as_object_mut().unwrap().remove(key).is_some());
            }
            assert_eq!(VmView::from_hook(&without.to_string()).unwrap(), expected, "{name}");
        }
        let cases = [
            ("{\"kind\": \"Pod\", \"apiVersion\": \"v1\", \"metadata\": 1}", "this is a \"Pod\" of \"v1\": give"),
            ("{\"kind\": \"VirtualMachine\"}", "this is a \"VirtualMachine\": give"),
            ("{\"metadata\": {\"name\": 7}}", "line 1 column 23: a value is of another type"),
            ("{\"metadata\": {\"name\": \"secret", "line 1 column 29: the document ends too early"),
            ("{\"spec\": secret}", "line 1 column 10: not valid JSON"),
            ("", "line 1 column 0: the document ends too early"),
        ];
        for (text, message) in cases {
            let error = VmView::from_hook(text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{text:?}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(matches!(VmView::from_hook(&" ".repeat(MAX_BYTES + 1)), Err(VmiError::TooLong { .. })));
    }
}
