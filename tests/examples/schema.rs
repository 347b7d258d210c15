//! Profiles against the published JSON Schema, read by somebody else's validator.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use virt_tailor::config::domain_profile_schema;

use crate::files::objects;

/// A Python that has the validator: the first of the path may be another than the system's.
fn python() -> &'static str {
    let has = |python: &&str| {
        let output = Command::new(python).args(["-c", "import jsonschema"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    ["python3", "/usr/bin/python3"].into_iter().find(has).expect("no Python with jsonschema")
}

/// What the validator finds wrong.
fn errors(documents: &Value) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/examples/schema.py");
    let mut child = Command::new(python()).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = json!({ "schema": domain_profile_schema(), "documents": documents });
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
    assert_eq!(errors(&Value::Array(profiles)), "");
    // And it would have said so.
    let wrong = json!([{ "name": "wrong", "document": { "apiVersion": "virt-tailor.io/v1alpha1", "kind": "DomainProfile",
        "metadata": { "name": "wrong" }, "spec": { "viommu": { "modle": "intel" } } } }]);
    assert!(errors(&wrong).starts_with("wrong: "));
}
