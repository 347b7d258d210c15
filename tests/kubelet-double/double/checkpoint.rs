//! What survives kubelet: which container has which devices, with the plugin's answer.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message as _;
use serde_json::{Value, json};
use virt_tailor::kubelet::proto::deviceplugin::ContainerAllocateResponse;

use super::{Given, Pod};

const NAME: &str = "kubelet_internal_checkpoint";

pub(super) fn write(folder: &Path, pods: &BTreeMap<String, Pod>) {
    let mut entries = Vec::new();
    for (uid, pod) in pods {
        for (container, resources) in &pod.containers {
            for (resource, given) in resources {
                entries.push(json!({
                    "PodUID": uid, "PodNamespace": pod.namespace, "PodName": pod.name, "ContainerName": container,
                    "ResourceName": resource, "DeviceIDs": given.ids, "AllocResp": given.response.encode_to_vec(),
                }));
            }
        }
    }
    // As kubelet does: under another name first. Whoever watches the folder sees it.
    let new = folder.join(format!(".{NAME}"));
    std::fs::write(&new, json!({"Data": {"PodDeviceEntries": entries}}).to_string()).unwrap();
    std::fs::rename(new, folder.join(NAME)).unwrap();
}

pub(super) fn read(folder: &Path) -> BTreeMap<String, Pod> {
    let mut pods = BTreeMap::<String, Pod>::new();
    let Ok(text) = std::fs::read_to_string(folder.join(NAME)) else { return pods };
    let data: Value = serde_json::from_str(&text).unwrap();
    for entry in data["Data"]["PodDeviceEntries"].as_array().unwrap() {
        let text = |key: &str| entry[key].as_str().unwrap().to_owned();
        let bytes: Vec<u8> = serde_json::from_value(entry["AllocResp"].clone()).unwrap();
        let given = Given {
            ids: serde_json::from_value(entry["DeviceIDs"].clone()).unwrap(),
            response: ContainerAllocateResponse::decode(bytes.as_slice()).unwrap(),
        };
        let pod = pods.entry(text("PodUID")).or_default();
        (pod.namespace, pod.name) = (text("PodNamespace"), text("PodName"));
        pod.containers.entry(text("ContainerName")).or_default().insert(text("ResourceName"), given);
    }
    pods
}
