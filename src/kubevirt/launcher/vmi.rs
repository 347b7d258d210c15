//! The VMI as KubeVirt sends it: JSON, and never a VM.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::CloudInit;
use crate::kubevirt::{VmView, VmiError};

/// A VMI in KubeVirt's words.
#[derive(Debug, Clone)]
pub struct Vmi {
    value: Value,
}

/// Where a VM has its cloud-init from.
#[derive(Debug, Clone, PartialEq)]
pub enum CloudInitSource {
    /// No volume has any.
    None,
    /// What virt-launcher would hand to a hook.
    Given(CloudInit),
    /// In a Secret, which is not here.
    Elsewhere,
}

impl Vmi {
    /// Reads a VM or VMI, in JSON or YAML. Of a VM it takes what virt-controller would.
    pub fn parse(text: &str) -> Result<Self, VmiError> {
        VmView::parse(text)?;
        let read: Value = serde_json::from_str(text)
            .or_else(|_| serde_saphyr::from_str(text))
            .map_err(|error| VmiError::MalformedSomewhere { what: error.without_snippet().to_string() })?;
        let value = match read.get("kind").and_then(Value::as_str) {
            Some("VirtualMachine") => of_vm(&read),
            _ => read,
        };
        Ok(Self { value })
    }

    /// As it is sent.
    pub fn json(&self) -> Vec<u8> {
        self.value.to_string().into_bytes()
    }

    /// Its cloud-init.
    pub fn cloud_init(&self) -> CloudInitSource {
        let volumes = self.value.pointer("/spec/volumes").and_then(Value::as_array);
        for volume in volumes.into_iter().flatten() {
            for (key, source) in [("cloudInitNoCloud", "noCloud"), ("cloudInitConfigDrive", "configDrive")] {
                if let Some(found) = volume.get(key) {
                    return self.source(volume, key, source, found);
                }
            }
        }
        CloudInitSource::None
    }

    fn source(&self, volume: &Value, key: &str, source: &str, found: &Value) -> CloudInitSource {
        let text = |name: &str| found.get(name).and_then(Value::as_str);
        let encoded = || BASE64.decode(text("userDataBase64")?).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let user_data = match text("userData").map(str::to_owned).or_else(encoded) {
            Some(text) => text,
            None if found.get("secretRef").is_some() || found.get("userDataSecretRef").is_some() => {
                return CloudInitSource::Elsewhere;
            }
            // Network data alone.
            None => String::new(),
        };
        let name = |field: &str| self.value.pointer(field).and_then(Value::as_str).unwrap_or_default();
        let (own, space) = (name("/metadata/name"), name("/metadata/namespace"));
        let metadata = json!({"instance-id": format!("{own}.{space}"), "local-hostname": own});
        let mut data = Map::new();
        data.insert("DataSource".to_owned(), source.into());
        data.insert(
            if key == "cloudInitNoCloud" { "NoCloudMetaData" } else { "ConfigDriveMetaData" }.to_owned(),
            metadata,
        );
        data.insert("UserData".to_owned(), user_data.clone().into());
        data.insert("VolumeName".to_owned(), volume.get("name").cloned().unwrap_or_default());
        CloudInitSource::Given(CloudInit {
            no_cloud_source: json!({"userData": user_data}).to_string().into_bytes(),
            data: Value::Object(data).to_string().into_bytes(),
        })
    }
}

/// The VMI that virt-controller makes of a VM.
fn of_vm(vm: &Value) -> Value {
    let mut metadata = vm.pointer("/spec/template/metadata").cloned().unwrap_or_else(|| json!({}));
    for name in ["name", "namespace"] {
        if let (Some(map), Some(value)) = (metadata.as_object_mut(), vm.pointer(&format!("/metadata/{name}"))) {
            map.insert(name.to_owned(), value.clone());
        }
    }
    json!({
        "apiVersion": vm.get("apiVersion").cloned().unwrap_or_else(|| "kubevirt.io/v1".into()),
        "kind": "VirtualMachineInstance",
        "metadata": metadata,
        "spec": vm.pointer("/spec/template/spec").cloned().unwrap_or_else(|| json!({})),
    })
}
