//! The JSON Schema of a NodeConfig.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::base::PciAddress;
use crate::config::schema::{document, scalar_schema};

use super::scalars::{
    ClassPrefix, CompanionName, CpuList, DriverName, Glob, Globs, HexId, HostPath, MacAddress, MacPrefix, ModuleName,
    PageSize, ParameterName, ParameterValue, Period, ResourceName, SubsystemId, TypeName, UnitName, UnitPattern,
};
use super::written::WrittenResource;
use super::{Companions, Cpus, Driver, KIND, NodeSpec, Numa, Resource};

const CPUS: &str = "^ *[0-9]+(-[0-9]+)? *(, *[0-9]+(-[0-9]+)? *)*$";

scalar_schema! {
    ResourceName, "ResourceName", {
        "description": "a Kubernetes extended resource, domain/name",
        "type": "string",
        "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
    };
    HexId, "HexId", {
        "description": "four hexadecimal digits, e.g. \"10de\"; what YAML takes for a number is read as it is written",
        "anyOf": [{ "type": "string", "pattern": "^(0x)?[0-9a-fA-F]{4}$" }, { "type": "number" }]
    };
    SubsystemId, "SubsystemId", {
        "description": "vvvv:dddd", "type": "string", "pattern": "^[0-9a-fA-F]{4}:[0-9a-fA-F]{4}$"
    };
    ClassPrefix, "ClassPrefix", {
        "description": "2, 4 or 6 hexadecimal digits, e.g. \"0300\"; what YAML takes for a number is read as it is written",
        "anyOf": [{ "type": "string", "pattern": "^(0x)?([0-9a-fA-F]{2}){1,3}$" }, { "type": "number" }]
    };
    CompanionName, "CompanionName", {
        "description": "a host address (0000:01:00.1) or ids (10de:1aef)",
        "type": "string",
        "pattern": "^([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[01][0-9a-fA-F]\\.[0-7]|[0-9a-fA-F]{4}:[0-9a-fA-F]{4})$"
    };
    DriverName, "DriverName", {
        "description": "a VFIO driver", "type": "string", "pattern": "^[A-Za-z0-9_-]*vfio[A-Za-z0-9_-]*$", "maxLength": 55
    };
    TypeName, "TypeName", {
        "description": "a type by its id or its name; what YAML takes for a number is read as it is written",
        "anyOf": [
            { "type": "string", "pattern": "^[!-.0-~]([ -.0-~]*[!-.0-~])?$", "maxLength": 64 },
            { "type": "number" }
        ]
    };
    PageSize, "PageSize", {
        "description": "a size of huge pages, e.g. 2Mi or 1Gi",
        "anyOf": [
            { "type": "integer", "minimum": 65536 },
            { "type": "string", "pattern": "^[0-9]+(Ki|Mi|Gi)?$" }
        ]
    };
    MacAddress, "MacAddress", {
        "description": "six octets", "type": "string", "pattern": "^[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}$"
    };
    MacPrefix, "MacPrefix", {
        "description": "three octets, locally administered",
        "type": "string", "pattern": "^[0-9a-fA-F][26aeAE](:[0-9a-fA-F]{2}){2}$"
    };
    ModuleName, "ModuleName", {
        "description": "a kernel module", "type": "string", "pattern": "^[A-Za-z0-9_-]{1,55}$"
    };
    ParameterName, "ParameterName", {
        "description": "a module parameter", "type": "string", "pattern": "^[A-Za-z0-9_-]{1,63}$"
    };
    ParameterValue, "ParameterValue", {
        "description": "a parameter's value: one line without quotes",
        "anyOf": [
            { "type": "string", "pattern": "^[ !#-&(-~]*$", "maxLength": 1000 }, { "type": "number" }, { "type": "boolean" }
        ]
    };
    HostPath, "HostPath", {
        "description": "an absolute path of a folder of the host", "type": "string", "pattern": "^/[^/]", "maxLength": 1024
    };
    Period, "Period", {
        "description": "a length of time, e.g. 90s, 10m, 1h30m or 2d",
        "type": "string", "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$", "minLength": 2
    };
    Cpus, "Cpus", {
        "description": "auto (those that kubelet gave the VM's pod for itself), or a list of CPUs, e.g. \"0-3,8\"",
        "anyOf": [
            { "const": "auto" }, { "type": "string", "pattern": CPUS }, { "type": "integer", "minimum": 0, "maximum": 8191 },
            {
                "type": "array", "minItems": 1,
                "items": {
                    "anyOf": [
                        { "type": "string", "pattern": CPUS }, { "type": "integer", "minimum": 0, "maximum": 8191 }
                    ]
                }
            }
        ]
    };
    UnitName, "UnitName", {
        "description": "a unit of systemd that can be stopped, with its kind",
        "type": "string", "pattern": "^[A-Za-z0-9:_.\\\\@-]+\\.(service|socket|timer|path)$", "maxLength": 255
    };
    UnitPattern, "UnitPattern", {
        "description": "a pattern of units of systemd, with * and ?",
        "type": "string", "pattern": "^[A-Za-z0-9:_.\\\\@*?-]+$", "maxLength": 255
    };
    Glob, "Glob", {
        "description": "a pattern of names, with * for any text and ? for any one character",
        "type": "string", "pattern": "^[a-z0-9*?]([a-z0-9.*?-]*[a-z0-9*?])?$", "maxLength": 253
    };
    Driver, "Driver", {
        "description": "auto (the best variant for the device, else vfio-pci), vfio-pci, or a variant",
        "anyOf": [{ "const": "auto" }, { "type": "string", "pattern": "^[A-Za-z0-9_-]*vfio[A-Za-z0-9_-]*$", "maxLength": 55 }]
    };
    Numa, "Numa", {
        "description": "device (its own NUMA node), or a number",
        "anyOf": [{ "const": "device" }, { "type": "integer", "minimum": 0, "maximum": 1023 }]
    };
}

impl JsonSchema for Globs {
    fn schema_name() -> Cow<'static, str> {
        "Globs".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let glob = generator.subschema_for::<Glob>();
        json_schema!({
            "description": "patterns of names of which one is enough; one alone needs no list",
            "anyOf": [{ "type": "array", "items": glob, "minItems": 1 }, glob]
        })
    }
}

impl JsonSchema for Companions {
    fn schema_name() -> Cow<'static, str> {
        "Companions".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<CompanionName>();
        json_schema!({
            "description": "off, auto (all endpoints of the IOMMU group), or a list of addresses and ids",
            "anyOf": [{ "enum": ["auto", "off", false] }, { "type": "array", "items": name, "minItems": 1 }]
        })
    }
}

impl JsonSchema for CpuList {
    fn schema_name() -> Cow<'static, str> {
        "CpuList".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "CPUs, e.g. \"0-3,8\"", "type": "string", "pattern": CPUS })
    }
}

impl JsonSchema for Resource {
    fn schema_name() -> Cow<'static, str> {
        "Resource".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        WrittenResource::json_schema(generator)
    }
}

/// One address, or a list of them.
pub(super) fn addresses(generator: &mut SchemaGenerator) -> Schema {
    let address = generator.subschema_for::<PciAddress>();
    json_schema!({ "anyOf": [{ "type": "array", "items": address, "minItems": 1 }, address] })
}

/// The JSON Schema (2020-12) of a NodeConfig document: `apiVersion`, `kind`, `metadata` and `spec`.
pub fn node_config_schema() -> Value {
    let description = "What an admin lets virt-tailor do to a node.";
    document::<NodeSpec>(KIND, description)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::config::node::read::read_spec;
    use crate::config::problems::Source;
    use crate::config::read::Report;
    use crate::config::tree::parse;

    /// Every path of a schema; whatever list item it is, it is `[x]`.
    fn paths(root: &Value, schema: &Value, path: &str, all: &mut BTreeSet<String>) {
        if let Some(Value::String(reference)) = schema.get("$ref") {
            let name = reference.rsplit('/').next().unwrap();
            paths(root, &root["$defs"][name], path, all);
        }
        for choice in ["anyOf", "oneOf", "allOf"].iter().flat_map(|of| schema[of].as_array()).flatten() {
            paths(root, choice, path, all);
        }
        if let Some(items) = schema.get("items") {
            paths(root, items, &format!("{path}[x]"), all);
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            paths(root, field, &path, all);
            all.insert(path);
        }
    }

    /// A path of the reader with `[x]` for each list item.
    fn general(path: &str) -> String {
        let mut parts = path.split('[');
        let first = parts.next().unwrap().to_owned();
        parts.fold(first, |all, part| format!("{all}[x]{}", part.split_once(']').unwrap().1))
    }

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn the_reader_and_the_schema_know_the_same_fields() {
        let schema = node_config_schema();
        let mut known = BTreeSet::new();
        paths(&schema, &schema["properties"]["spec"], "", &mut known);
        let mut asked = BTreeSet::new();
        for case in ["good-every-step", "good-kinds"] {
            let text =
                std::fs::read_to_string(root().join("tests/golden/node-config").join(case).join("input.yaml")).unwrap();
            let tree = parse(&Arc::new(Source::Inline { key: "x".into() }), &text).unwrap();
            let report = Report::default();
            read_spec(tree.get("spec").unwrap(), &report);
            asked.extend(report.asked.borrow().iter().map(|path| general(path)));
        }
        assert_eq!(asked, known);
        assert!(known.contains("resources[x].prepare[x].module.parameter.value"));
        let top: BTreeSet<&str> = known.iter().map(String::as_str).filter(|path| !path.contains('.')).collect();
        assert_eq!(top, ["guards", "limits", "profiles", "resources"].into());
    }

    #[test]
    fn the_schema_is_as_published() {
        let shown = serde_json::to_string_pretty(&node_config_schema()).unwrap() + "\n";
        let path = root().join("tests/golden/schema/node-config.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &shown).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(golden == shown, "the schema changed; if this is meant: UPDATE_GOLDEN=1 cargo test --lib schema");
    }
}
