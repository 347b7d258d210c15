//! The NodeConfig as commented YAML.

use std::fmt::Write as _;

use serde_json::Value;

use crate::base::shown;
use crate::config::node::{Globs, NodeConfig, NodeSpec, Profile, Resource};
use crate::config::{API_VERSION, Place, Problems, Source};
use crate::import::draft::{Drafted, FILL_IN};

use super::flow::{entry, flow};

/// The text, which is read as exactly what was drafted.
pub(super) fn text(drafted: &Drafted, name: &str) -> Result<String, Problems> {
    let mut out = head(name);
    let _ = writeln!(out, "apiVersion: {API_VERSION}\nkind: NodeConfig\nmetadata: {{name: {name}}}\nspec:");
    if drafted.resources.is_empty() {
        out.push_str("  resources: []\n");
    } else {
        out.push_str("  resources:\n");
    }
    for (resource, remarks) in &drafted.resources {
        self::remarks(&mut out, remarks);
        self::resource(&mut out, resource);
    }
    if !drafted.profiles.is_empty() {
        out.push_str("  profiles:\n");
    }
    for (profile, remarks) in &drafted.profiles {
        self::remarks(&mut out, remarks);
        self::profile(&mut out, profile);
    }
    if !drafted.folders.is_empty() {
        let folders: Vec<Value> = drafted.folders.iter().map(|folder| folder.as_str().into()).collect();
        out.push_str("  # Builds of modules are taken from here alone: keep it root's.\n");
        let _ = writeln!(out, "  limits:\n    modules: {{directories: {}}}", flow(&Value::Array(folders)));
    }
    if !drafted.unplaced.is_empty() {
        out.push_str("\n# Fill in, take the \"# \" away, and put it where it belongs:\n");
        for line in drafted.unplaced.iter().flatten() {
            let _ = writeln!(out, "# {}", shown(line));
        }
    }
    read_again(drafted, name, &out)?;
    Ok(out)
}

fn head(name: &str) -> String {
    format!(
        "# NodeConfig {name}: what virt-tailor import made of boot-time files. Look for \"{FILL_IN}\" before you use it, try it with\n\
         # `virt-tailor node inspect --config FILE` on the node, and only then take the boot-time files away.\n"
    )
}

fn remarks(out: &mut String, remarks: &[String]) {
    for remark in remarks {
        let _ = writeln!(out, "  # {}", shown(remark));
    }
}

fn value(of: &impl serde::Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

fn globs(out: &mut String, field: &str, globs: &Globs) {
    if !globs.is_any() {
        let _ = writeln!(out, "    {field}: {}", flow(&value(globs)));
    }
}

fn resource(out: &mut String, resource: &Resource) {
    let fields = value(resource);
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let _ = writeln!(out, "  - name: {}", flow(&field("name")));
    let _ = writeln!(out, "    selector: {}", flow(&field("selector")));
    globs(out, "nodes", &resource.nodes);
    globs(out, "namespaces", &resource.namespaces);
    // What is as it would be without a word is left out.
    for (name, usual) in
        [("kind", "pci"), ("driver", "auto"), ("companions", "off"), ("sriov", ""), ("mdev", ""), ("vgpu", "")]
    {
        let given = field(name);
        if !given.is_null() && given != usual {
            let _ = writeln!(out, "    {name}: {}", flow(&given));
        }
    }
    if !resource.prepare.is_empty() {
        out.push_str("    prepare:\n");
    }
    for step in &resource.prepare {
        let _ = writeln!(out, "    - {}", entry(&value(step)));
    }
}

fn profile(out: &mut String, profile: &Profile) {
    let _ = writeln!(out, "  - name: {}", profile.name);
    let _ = writeln!(out, "    namespaces: {}", flow(&value(&profile.namespaces)));
    globs(out, "nodes", &profile.nodes);
    out.push_str("    steps:\n");
    for step in &profile.steps {
        let _ = writeln!(out, "    - {}", entry(&value(step)));
    }
}

fn read_again(drafted: &Drafted, name: &str, text: &str) -> Result<(), Problems> {
    let read = NodeConfig::read("node-config.yaml", text)?;
    let mut spec = NodeSpec {
        resources: drafted.resources.iter().map(|(resource, _)| resource.clone()).collect(),
        profiles: drafted.profiles.iter().map(|(profile, _)| profile.clone()).collect(),
        ..NodeSpec::default()
    };
    spec.limits.modules.directories.clone_from(&drafted.folders);
    let wanted = NodeConfig { name: name.to_owned(), spec };
    if read.normalised() == wanted.normalised() {
        return Ok(());
    }
    let source = std::sync::Arc::new(Source::Option { text: "node-config.yaml".to_owned() });
    Err(Problems::one(Place::whole(&source), "it is read as another document than was meant"))
}
