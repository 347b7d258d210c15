//! Kubernetes' own objects against its own types: what these do not know is lost on the way through them.

use k8s_openapi::api::admissionregistration::v1beta1::{MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::files::objects;

/// An object after a type; apiVersion and kind must be the type's.
fn through<T: Serialize + DeserializeOwned>(object: &Value) -> Result<Value, String> {
    let read: T = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    serde_json::to_value(read).map_err(|error| error.to_string())
}

fn through_kind(object: &Value) -> Option<Result<Value, String>> {
    Some(match object["kind"].as_str()? {
        "ConfigMap" => through::<ConfigMap>(object),
        "DaemonSet" => through::<DaemonSet>(object),
        "MutatingAdmissionPolicy" => through::<MutatingAdmissionPolicy>(object),
        "MutatingAdmissionPolicyBinding" => through::<MutatingAdmissionPolicyBinding>(object),
        "Namespace" => through::<Namespace>(object),
        "Pod" => through::<Pod>(object),
        "ServiceAccount" => through::<ServiceAccount>(object),
        _ => return None,
    })
}

/// Whether a kind is looked at here.
pub(crate) fn is_kubernetes(kind: &str) -> bool {
    through_kind(&json!({ "kind": kind })).is_some()
}

/// Says whether Kubernetes knows every field of an object, with a value of this type.
pub(crate) fn assert_known(what: &str, object: &Value) {
    assert_eq!(through_kind(object).unwrap().as_ref(), Ok(object), "{what}");
}

#[test]
fn kubernetes_knows_every_field_of_its_own_objects() {
    let mut seen = 0;
    for (path, object) in objects() {
        if is_kubernetes(object["kind"].as_str().unwrap()) {
            assert_known(path.to_str().unwrap(), &object);
            seen += 1;
        }
    }
    assert_eq!(seen, 7);
}

/// And it would have been seen.
#[test]
fn slips_are_lost_or_refused() {
    for (kind, place, value) in [
        ("MutatingAdmissionPolicy", "/spec/matchConstraints/objectSelector", json!({ "matchLabel": {} })),
        ("MutatingAdmissionPolicy", "/spec/matchConditions/0", json!({ "name": "a", "expresion": "true" })),
        ("MutatingAdmissionPolicy", "/spec/mutations", json!({})),
        ("MutatingAdmissionPolicy", "/apiVersion", json!("admissionregistration.k8s.io/v1beta2")),
        ("MutatingAdmissionPolicyBinding", "/spec", json!({ "policy": "virt-tailor-plugin" })),
        ("DaemonSet", "/spec/template/spec/hostPid", json!(true)),
        ("DaemonSet", "/spec/template/spec/containers/0/securityContext", json!({ "priviledged": true })),
        ("DaemonSet", "/spec/template/spec/volumes/1", json!({ "name": "dev", "hostpath": { "path": "/dev" } })),
        ("ConfigMap", "/data", json!({ "quiet-desktop.yaml": { "spec": {} } })),
    ] {
        let (_, mut object) = objects().into_iter().find(|(_, object)| object["kind"] == kind).unwrap();
        match object.pointer_mut(place) {
            Some(there) => *there = value,
            None => {
                let (parent, name) = place.rsplit_once('/').unwrap();
                object.pointer_mut(parent).unwrap()[name] = value;
            }
        }
        assert_ne!(through_kind(&object).unwrap().as_ref(), Ok(&object), "{kind} {place}");
    }
}
