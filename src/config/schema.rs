//! JSON Schemas of the scalars that have a shape of their own, and of the whole document.
//!
//! The schema says what one document may have. What fields mean for each other, and what only the merged profile must have, is the
//! reader's to say.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::base::{ByteSize, PciAddress};

use super::document::{API_VERSION, KIND};
use super::scalars::{DeviceSelector, OnOff, OnOffAuto};
use super::spec::{AutoOff, AutoOffSize, AutoSize, DomainProfile, MaxPhysAddr, Memlock, VirtioDevices};

const SIZE: &str = "^[0-9]+(Ki|Mi|Gi|Ti|Pi|Ei|k|K|M|G|T|P|E)?$";

macro_rules! scalar_schema {
    ($($type:ty, $name:literal, $body:tt;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($body)
            }
        }
    )*};
}
pub(super) use scalar_schema;

scalar_schema! {
    OnOff, "OnOff", { "description": "on or off", "enum": ["on", "off", true, false] };
    OnOffAuto, "OnOffAuto", { "description": "on, off or auto", "enum": ["on", "off", "auto", true, false] };
    AutoOff, "AutoOff", { "description": "auto or off", "enum": ["auto", "off", false] };
    VirtioDevices, "VirtioDevices", {
        "description": "off leaves virtio devices alone, on adds iommu='on', ats also ats='on'",
        "enum": ["off", "on", "ats", false, true]
    };
    DeviceSelector, "DeviceSelector", {
        "description": "KubeVirt name, alias (ua-…, hostdevN), host address (0000:3b:00.0) or ids (10de:2206)",
        "type": "string",
        "pattern": "^([A-Za-z0-9_-]+|[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[01][0-9a-fA-F]\\.[0-7]|[0-9a-fA-F]{4}:[0-9a-fA-F]{4})$"
    };
    PciAddress, "PciAddress", {
        "description": "dddd:bb:ss.f",
        "type": "string",
        "pattern": "^[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[01][0-9a-fA-F]\\.[0-7]$"
    };
    ByteSize, "ByteSize", {
        "description": "bytes, with an optional suffix Ki, Mi, Gi, Ti, k, M, G, T",
        "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": SIZE }]
    };
    AutoSize, "AutoSize", {
        "description": "auto, or a quantity of bytes",
        "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 0 }, { "type": "string", "pattern": SIZE }]
    };
    AutoOffSize, "AutoOffSize", {
        "description": "auto, off, or a quantity of bytes",
        "anyOf": [{ "enum": ["auto", "off", false] }, { "type": "integer", "minimum": 0 }, { "type": "string", "pattern": SIZE }]
    };
    Memlock, "Memlock", {
        "description": "unlimited, or a quantity of bytes",
        "anyOf": [{ "const": "unlimited" }, { "type": "integer", "minimum": 0 }, { "type": "string", "pattern": SIZE }]
    };
    MaxPhysAddr, "MaxPhysAddr", {
        "description": "passthrough, emulate, or a number of bits to emulate",
        "anyOf": [{ "enum": ["passthrough", "emulate"] }, { "type": "integer", "minimum": 32, "maximum": 64 }]
    };
}

/// For layers: every field may come from another one.
pub(super) fn nothing_required(schema: &mut Schema) {
    schema.remove("required");
}

/// A list item says which device it is for; all else may come from another layer.
pub(super) fn only_device_required(schema: &mut Schema) {
    schema.insert("required".to_owned(), json!(["device"]));
    // Function 0 is the item's own device.
    if let Some(function) = schema.pointer_mut("/properties/functions/additionalProperties") {
        *function = json!({ "type": "integer", "minimum": 1, "maximum": 7 });
    }
}

/// The JSON Schema (2020-12) of a DomainProfile document: `apiVersion`, `kind`, `metadata` and `spec`.
pub fn domain_profile_schema() -> Value {
    document::<DomainProfile>(
        KIND,
        "What a VM asks of its libvirt domain. null resets a field that a weaker layer set.",
    )
}

/// The JSON Schema (2020-12) of a document of ours around a spec.
pub(super) fn document<Spec: JsonSchema>(kind: &str, description: &str) -> Value {
    let mut generator = SchemaGenerator::default();
    let spec = generator.subschema_for::<Spec>();
    let mut definitions = Value::Object(generator.take_definitions(true));
    let described = definitions.as_object_mut().into_iter().flat_map(|all| all.values_mut());
    described.for_each(null_resets);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind,
        "description": description,
        "type": "object",
        "properties": {
            "apiVersion": { "const": API_VERSION },
            "kind": { "const": kind },
            "metadata": {
                "type": "object",
                "properties": {
                    "name": {
                        "description": "The name it is found under.",
                        "type": "string",
                        "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
                    },
                    "labels": { "type": "object", "additionalProperties": true },
                    "annotations": { "type": "object", "additionalProperties": true }
                },
                "required": ["name"],
                "additionalProperties": false
            },
            "spec": { "anyOf": [spec, { "type": "null" }] }
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "$defs": definitions
    })
}

/// Lets every field, and every value of a map, be null: that resets what a weaker layer set.
fn null_resets(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    let required = schema.get("required").cloned().unwrap_or(Value::Null);
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for (name, field) in properties {
            null_resets(field);
            let needed = required.as_array().is_some_and(|names| names.iter().any(|needed| needed == name));
            if !needed {
                nullable(field);
            }
        }
    }
    if let Some(values @ Value::Object(_)) = schema.get_mut("additionalProperties") {
        nullable(values);
    }
}

fn nullable(schema: &mut Value) {
    let nothing = json!({ "type": "null" });
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    // A default is what an absent field means; beside null it would mislead.
    fields.remove("default");
    if let Some(kind) = fields.get_mut("type") {
        if kind.is_string() {
            *kind = json!([kind.take(), "null"]);
        }
        return;
    }
    if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
        if !choices.contains(&nothing) {
            choices.push(nothing);
        }
        return;
    }
    let description = fields.remove("description");
    let inner = std::mem::take(fields);
    fields.insert("anyOf".to_owned(), json!([inner, nothing]));
    if let Some(description) = description {
        fields.insert("description".to_owned(), description);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::config::problems::Source;
    use crate::config::read::{Report, read_spec};
    use crate::config::tree::parse;

    /// Every path of a schema, list items as the reader calls them.
    fn paths(root: &Value, schema: &Value, path: &str, all: &mut BTreeSet<String>) {
        if let Some(Value::String(reference)) = schema.get("$ref") {
            let name = reference.rsplit('/').next().unwrap();
            return paths(root, &root["$defs"][name], path, all);
        }
        for choice in schema["anyOf"].as_array().into_iter().flatten() {
            paths(root, choice, path, all);
        }
        if schema.get("items").is_some() && path == "hostDevices" {
            paths(root, &schema["items"], "hostDevices[x]", all);
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            paths(root, field, &path, all);
            all.insert(path);
        }
    }

    #[test]
    fn the_reader_and_the_schema_know_the_same_fields() {
        let schema = domain_profile_schema();
        let mut known = BTreeSet::new();
        paths(&schema, &schema["properties"]["spec"], "", &mut known);
        let source = Arc::new(Source::Inline { key: "x".into() });
        let tree = parse(&source, "hostDevices: [{device: x}]").unwrap();
        let report = Report::default();
        read_spec(&tree, &report);
        assert_eq!(*report.asked.borrow(), known);
        let top: BTreeSet<&str> = known.iter().map(String::as_str).filter(|path| !path.contains('.')).collect();
        assert_eq!(top, DomainProfile::FIELDS.into());
    }

    #[test]
    fn the_schema_is_as_published() {
        let shown = serde_json::to_string_pretty(&domain_profile_schema()).unwrap() + "\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/schema/domain-profile.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
            std::fs::write(path, &shown).unwrap();
        }
        let golden = std::fs::read_to_string(path).unwrap_or_default();
        assert!(golden == shown, "the schema changed; if this is meant: UPDATE_GOLDEN=1 cargo test --lib schema");
    }
}
