//! Profiles against the published JSON Schema, read by somebody else's validator.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use virt_tailor::config::domain_profile_schema;
use virt_tailor::config::node::node_config_schema;

use crate::files::{documents, objects};

/// A Python that has the validator: the first of the path may be another than the system's.
fn python() -> &'static str {
    let has = |python: &&str| {
        let output = Command::new(python).args(["-c", "import jsonschema"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    ["python3", "/usr/bin/python3"].into_iter().find(has).expect("no Python with jsonschema")
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
            profiles.push(json!({ "name": format!("{} {key}", path.display()), "document": document }));
        }
    }
    assert!(profiles.len() >= 5, "only {}", profiles.len());
    assert_eq!(errors(&domain_profile_schema(), &Value::Array(profiles)), "");
    // And it would have said so.
    let wrong = json!([{ "name": "wrong", "document": { "apiVersion": "virt-tailor.io/v1alpha1", "kind": "DomainProfile",
        "metadata": { "name": "wrong" }, "spec": { "viommu": { "modle": "intel" } } } }]);
    assert!(errors(&domain_profile_schema(), &wrong).starts_with("wrong: "));
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
    assert!(!good.is_empty());
    for name in ["good-empty", "good-every-step", "good-kinds"] {
        good.push(golden(name, "input.yaml"));
        good.push(golden(name, "normalised.json"));
    }
    let schema = node_config_schema();
    assert_eq!(errors(&schema, &Value::Array(good)), "");
    for name in SCHEMA_REFUSES {
        let wrong = Value::Array(vec![golden(name, "input.yaml")]);
        assert_ne!(errors(&schema, &wrong), "", "{name}");
    }
}
