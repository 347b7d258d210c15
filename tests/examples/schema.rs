//! Documents against JSON Schemas, read by somebody else's validator: profiles against the published one, KubeVirt's objects against
//! KubeVirt's (see `tests/data/schemas`).

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use virt_tailor::config::domain_profile_schema;
use virt_tailor::config::node::node_config_schema;

use crate::files::{document, documents, example, objects, text};
use crate::kinds::is_kubernetes;

/// A Python that has the validator: the first of the path may be another than the system's.
fn python() -> &'static str {
    static FOUND: OnceLock<&str> = OnceLock::new();
    let has = |python: &&str| {
        let output = Command::new(python).args(["-c", "import jsonschema"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    FOUND.get_or_init(|| ["python3", "/usr/bin/python3"].into_iter().find(has).expect("no Python with jsonschema"))
}

/// What the validator finds wrong.
fn errors(schema: &Value, documents: &Value) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/examples/schema.py");
    let mut child = Command::new(python()).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = json!({ "schema": schema, "documents": documents });
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs Python with jsonschema"]
fn profiles_are_valid_by_the_published_schema() {
    let mut profiles = Vec::new();
    for (path, object) in objects() {
        if object["kind"] == "DomainProfile" {
            profiles.push(json!({ "name": path, "document": object }));
        }
        for (key, content) in object["data"].as_object().into_iter().flatten() {
            let document: Value = serde_saphyr::from_str(content.as_str().unwrap()).unwrap();
            if document["kind"] == "NodeConfig" {
                continue;
            }
            profiles.push(json!({ "name": format!("{} {key}", path.display()), "document": document }));
        }
    }
    assert!(profiles.len() >= 5, "only {}", profiles.len());
    let schema = json!(domain_profile_schema());
    assert_eq!(errors(&schema, &Value::Array(profiles)), "");
    // And it would have said so.
    let wrong = json!([{ "name": "wrong", "document": { "apiVersion": "virt-tailor.io/v1alpha1", "kind": "DomainProfile",
        "metadata": { "name": "wrong" }, "spec": { "viommu": { "modle": "intel" } } } }]);
    assert!(errors(&schema, &wrong).starts_with("wrong: "));
}

/// The schema of a kind of KubeVirt's.
fn schema(kind: &str) -> Value {
    let file = match kind {
        "Plugin" => "plugin.json",
        "Kustomization" | "SecurityContextConstraints" | "NodeFeatureRule" => "cluster.json",
        _ => "kubevirt.json",
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/schemas").join(file);
    let mut schema: Value = serde_json::from_str(&text(&path)).unwrap();
    match file {
        "kubevirt.json" => schema["$ref"] = json!(format!("#/$defs/V1{kind}")),
        "cluster.json" => schema["$ref"] = json!(format!("#/$defs/{kind}")),
        _ => (),
    }
    schema
}

/// What KubeVirt's schema says to an object.
fn said(name: &str, object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap();
    errors(&schema(kind), &json!([{ "name": name, "document": object }]))
}

#[test]
#[ignore = "needs Python with jsonschema"]
fn manifests_are_valid_by_kubevirts_schemas() {
    for (kind, version, count) in [
        ("VirtualMachine", "kubevirt.io/v1", 8),
        ("KubeVirt", "kubevirt.io/v1", 2),
        ("Plugin", "plugin.kubevirt.io/v1alpha1", 2),
        ("Kustomization", "kustomize.config.k8s.io/v1beta1", 1),
        ("SecurityContextConstraints", "security.openshift.io/v1", 1),
        ("NodeFeatureRule", "nfd.k8s-sigs.io/v1alpha1", 1),
    ] {
        let of_kind = objects().into_iter().filter(|(_, object)| object["kind"] == kind);
        let documents: Vec<Value> = of_kind
            .inspect(|(path, object)| assert_eq!(object["apiVersion"], version, "{}", path.display()))
            .map(|(path, object)| json!({ "name": path, "document": object }))
            .collect();
        assert_eq!(documents.len(), count, "{kind}");
        assert_eq!(errors(&schema(kind), &Value::Array(documents)), "");
    }
    // The VM of the front page as well.
    let page = text(&example("../README.md"));
    let vm = page.split("```yaml\n").find(|block| block.contains("kind: VirtualMachine")).unwrap();
    let vm: Value = serde_saphyr::from_str(vm.split("```").next().unwrap()).unwrap();
    assert_eq!(said("README.md", &vm), "");
    // Every other document is of a kind that other tests know.
    for (path, object) in objects() {
        let kind = object["kind"].as_str().unwrap();
        let known = ["VirtualMachine", "KubeVirt", "Plugin", "DomainProfile", "NodeConfig"];
        let of_the_cluster = ["Kustomization", "SecurityContextConstraints", "NodeFeatureRule"];
        assert!(
            known.contains(&kind) || of_the_cluster.contains(&kind) || is_kubernetes(kind),
            "{}: {kind}",
            path.display()
        );
    }
}

/// And these would have been seen.
#[test]
#[ignore = "needs Python with jsonschema"]
fn slips_in_manifests_are_not_valid() {
    let vm = document(&example("dpdk-worker/vm.yaml"));
    let cluster = document(&example("enable-sidecar/kubevirt.yaml"));
    let plugin = document(&example("plugin-route/plugin.yaml"));
    let hooks = document(&example("cluster/node-hooks/plugin.yaml"));
    let kustomization = document(&example("cluster/kustomization.yaml"));
    let constraints = document(&example("cluster/openshift/scc.yaml"));
    let rule = document(&example("cluster/node-feature-discovery/rule.yaml"));
    let domain = "/spec/template/spec/domain";
    let slips = [
        (&vm, format!("{domain}/cpu"), json!({ "core": 6 })),
        (&vm, format!("{domain}/cpu/cores"), json!("6")),
        (&vm, format!("{domain}/devices/hostDevices/0"), json!({ "deviceName": "intel.com/vfs" })),
        (&vm, format!("{domain}/devices/interfaces/0"), json!({ "name": "default", "masquerate": {} })),
        (&vm, format!("{domain}/memory/hugepages"), json!({ "size": "1Gi" })),
        (&vm, "/spec/template/spec/volumes/1/cloudInitNoCloud".to_owned(), json!({ "userdata": "" })),
        (&vm, "/spec/template".to_owned(), json!({ "specs": {} })),
        (&cluster, "/spec/configuration/permittedHostDevices".to_owned(), json!({ "pciDevices": [] })),
        (&cluster, "/spec/configuration/developerConfiguration/featureGates".to_owned(), json!("Sidecar")),
        (&plugin, "/spec/domainHooks/0/failureStrategy".to_owned(), json!("Abort")),
        (&plugin, "/spec/domainHooks/0/sidecar/socketPath".to_owned(), json!("/run/virt-tailor.sock")),
        (&plugin, "/spec/domainHooks/0/timeout".to_owned(), json!(5)),
        (&plugin, "/spec/domainHooks/0/sidecar".to_owned(), json!({})),
        (&hooks, "/spec/nodeHooks/0/permittedHooks".to_owned(), json!("PreVMStart")),
        (&kustomization, "/resources".to_owned(), json!("namespace.yaml")),
        (&constraints, "/runAsUser".to_owned(), json!({ "type": "Any" })),
        (&constraints, "/allowHostPID".to_owned(), json!("yes")),
        (&rule, "/spec/rules/0/matchFeatures/0/feature".to_owned(), json!("local.lable")),
    ];
    for kind in
        ["VirtualMachine", "KubeVirt", "Plugin", "Kustomization", "SecurityContextConstraints", "NodeFeatureRule"]
    {
        let of_kind = slips.iter().filter(|(object, ..)| object["kind"] == kind);
        let wrong = |(object, place, value): &(&Value, String, Value)| {
            let mut wrong = (*object).clone();
            *wrong.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = value.clone();
            json!({ "name": format!("{place} {value}"), "document": wrong })
        };
        let documents: Vec<Value> = of_kind.map(wrong).collect();
        let said = errors(&schema(kind), &json!(documents));
        for document in documents {
            let name = document["name"].as_str().unwrap();
            assert!(said.lines().any(|line| line.starts_with(name)), "{name}:\n{said}");
        }
    }
}

/// Goldens whose mistakes are in a single field or in the names of fields: what a schema can tell.
const SCHEMA_REFUSES: [&str; 9] = [
    "acknowledgements",
    "envelope",
    "resource-names",
    "steps-elsewhere",
    "steps-misshapen",
    "unknown-fields",
    "values",
    "values-lists",
    "wrong-types",
];

#[test]
#[ignore = "needs Python with jsonschema"]
fn node_configs_are_valid_by_the_published_schema() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/node-config");
    let golden = |name: &str, file: &str| {
        let [one] = <[Value; 1]>::try_from(documents(&goldens.join(name).join(file))).unwrap();
        json!({ "name": format!("{name}/{file}"), "document": one })
    };
    let samples = objects().into_iter().filter(|(_, object)| object["kind"] == "NodeConfig");
    let mut good: Vec<Value> = samples.map(|(path, object)| json!({ "name": path, "document": object })).collect();
    let mounted: Value = serde_saphyr::from_str(&crate::cluster::node_config()).unwrap();
    good.push(json!({ "name": "cluster/node-config.yaml", "document": mounted }));
    assert!(!good.is_empty());
    for name in ["good-empty", "good-every-step", "good-kinds"] {
        good.push(golden(name, "input.yaml"));
        good.push(golden(name, "normalised.json"));
    }
    let schema = json!(node_config_schema());
    assert_eq!(errors(&schema, &Value::Array(good)), "");
    for name in SCHEMA_REFUSES {
        let wrong = Value::Array(vec![golden(name, "input.yaml")]);
        assert_ne!(errors(&schema, &wrong), "", "{name}");
    }
}
