//! The reference of what people write, made of the JSON Schemas: `docs/reference.md`. `UPDATE_GOLDEN=1 cargo test --test reference` writes
//! it; look at the difference before you keep it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::fs;

use serde_json::{Map, Value};
use virt_tailor::config::domain_profile_schema;
use virt_tailor::config::node::node_config_schema;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");

const HEAD: &str = "\
# Reference

Made from the JSON Schemas by `tests/reference.rs`: do not edit. `virt-tailor schema` prints the schemas themselves, for editors.

Each document has `apiVersion: virt-tailor.io/v1alpha1`, `kind`, `metadata` with a `name`, and `spec`. Unknown fields are errors. What fields
mean for each other is said when a document is read.

[DomainProfile](#domainprofile) · [NodeConfig](#nodeconfig)
";

/// The keywords under which a schema has choices.
const CHOICES: [&str; 2] = ["oneOf", "anyOf"];

/// One document's schema.
struct Document<'a> {
    kind: &'a str,
    definitions: &'a Map<String, Value>,
}

fn text<'a>(schema: &'a Value, key: &str) -> Option<&'a str> {
    schema.get(key).and_then(Value::as_str)
}

/// What a schema refers to.
fn reference(schema: &Value) -> Option<&str> {
    text(schema, "$ref").map(|path| path.rsplit('/').next().unwrap())
}

fn is_null(schema: &Value) -> bool {
    text(schema, "type") == Some("null")
}

/// The choices of a schema, without null.
fn choices(schema: &Value) -> Vec<&Value> {
    let all = CHOICES.iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    all.filter(|choice| !is_null(choice)).collect()
}

/// A value as people write it.
fn literal(value: &Value) -> String {
    format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// For a cell of a table.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

/// The fields of an object, those that must be given first, and whether a field is one of them.
fn fields(schema: &Value) -> Vec<(&String, &Value, bool)> {
    let required: BTreeSet<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let all = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let mut all: Vec<_> = all.map(|(name, field)| (name, field, required.contains(name.as_str()))).collect();
    all.sort_by(|one, other| (!one.2, one.0).cmp(&(!other.2, other.0)));
    all
}

/// Whether a definition has something to say field by field or choice by choice; the others are values.
fn is_section(definition: &Value) -> bool {
    definition.get("properties").is_some()
        || choices(definition).into_iter().any(|choice| choice.get("description").is_some())
}

/// Everything that is referred to, in order.
fn references<'a>(value: &'a Value, all: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            all.extend(reference(value));
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            keys.into_iter().for_each(|key| references(&map[key], all));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, all)),
        _ => (),
    }
}

impl Document<'_> {
    /// Where a definition stands.
    fn link(&self, name: &str) -> String {
        let kind = self.kind.to_lowercase();
        if is_section(&self.definitions[name]) {
            format!("[{name}](#{kind}-{})", name.to_lowercase())
        } else {
            format!("[{name}](#{kind}-values)")
        }
    }

    /// How something is written, in a few words.
    fn written(&self, schema: &Value) -> String {
        if let Some(name) = reference(schema) {
            return self.link(name);
        }
        if let Some(value) = schema.get("const") {
            return literal(value);
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return values.iter().map(literal).collect::<Vec<_>>().join(", ");
        }
        let choices = choices(schema);
        if !choices.is_empty() {
            return choices.into_iter().map(|choice| self.written(choice)).collect::<Vec<_>>().join(" or ");
        }
        let kind = match schema.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap(),
            other => panic!("no type: {other:?} in {schema}"),
        };
        match kind {
            "array" => format!("list of {}", self.written(&schema["items"])),
            "object" => self.object(schema),
            "integer" => match (schema.get("minimum"), schema.get("maximum")) {
                (Some(least), Some(most)) => format!("integer, {least} to {most}"),
                (Some(least), None) => format!("integer from {least}"),
                (None, Some(most)) => format!("integer up to {most}"),
                (None, None) => "integer".to_owned(),
            },
            other => other.to_owned(),
        }
    }

    fn object(&self, schema: &Value) -> String {
        let fields = fields(schema);
        if !fields.is_empty() {
            let one = |(name, field, _): &(&String, &Value, bool)| format!("`{name}`: {}", self.written(field));
            return fields.iter().map(one).collect::<Vec<_>>().join(", ");
        }
        let by_pattern = schema.get("patternProperties").and_then(Value::as_object).and_then(|all| all.values().next());
        match by_pattern.or_else(|| schema.get("additionalProperties").filter(|values| values.is_object())) {
            Some(values) => format!("map of {}", self.written(values)),
            None => "map".to_owned(),
        }
    }

    /// What is said of a field, or else of what it refers to.
    fn said<'a>(&'a self, schema: &'a Value) -> &'a str {
        let of_reference = || text(self.definitions.get(reference(schema)?)?, "description");
        text(schema, "description").or_else(of_reference).unwrap_or_default()
    }

    fn section(&self, name: &str) -> String {
        let definition = &self.definitions[name];
        let mut out = format!("\n### {}: {name}\n\n{}\n", self.kind, self.said(definition).replace('\n', " "));
        let fields = fields(definition);
        if !fields.is_empty() {
            out.push_str("\n| field | written | what it is |\n|---|---|---|\n");
        }
        for (name, field, required) in fields {
            let must = if required { ", required" } else { "" };
            let (written, said) = (cell(&self.written(field)), cell(self.said(field)));
            writeln!(out, "| `{name}`{must} | {written} | {said} |").unwrap();
        }
        let choices = choices(definition);
        if !choices.is_empty() {
            out.push('\n');
        }
        for choice in choices {
            writeln!(out, "- {}: {}", self.written(choice), self.said(choice).replace('\n', " ")).unwrap();
        }
        out
    }

    /// The whole document: sections from the top down, then the values.
    fn render(&self, description: &str, top: &str) -> String {
        let mut out = format!("\n## {}\n\n{description}\n", self.kind);
        let (mut seen, mut values) = (BTreeSet::from([top]), BTreeSet::new());
        let mut left = VecDeque::from([top]);
        while let Some(name) = left.pop_front() {
            if is_section(&self.definitions[name]) {
                out.push_str(&self.section(name));
            } else {
                values.insert(name);
            }
            let mut further = Vec::new();
            references(&self.definitions[name], &mut further);
            left.extend(further.into_iter().filter(|&name| seen.insert(name)));
        }
        writeln!(out, "\n### {}: values\n\n| value | written | what it is |\n|---|---|---|", self.kind).unwrap();
        for name in values {
            let definition = &self.definitions[name];
            let (written, said) = (cell(&self.written(definition)), cell(self.said(definition)));
            writeln!(out, "| {name} | {written} | {said} |").unwrap();
        }
        out
    }
}

fn render(schema: &Value) -> String {
    let definitions = schema["$defs"].as_object().unwrap();
    let top = reference(&schema["properties"]["spec"]["anyOf"][0]).unwrap();
    let document = Document { kind: text(schema, "title").unwrap(), definitions };
    document.render(text(schema, "description").unwrap(), top)
}

fn page() -> String {
    format!("{HEAD}{}{}", render(&domain_profile_schema()), render(&node_config_schema()))
}

#[test]
fn the_reference_is_that_of_the_schemas() {
    let page = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(PAGE, &page).unwrap();
    }
    let golden = fs::read_to_string(PAGE).unwrap_or_default();
    assert!(golden == page, "the schemas changed; if this is meant: UPDATE_GOLDEN=1 cargo test --test reference");
}

/// GitHub's anchor of a heading: lower case, no punctuation but hyphens, hyphens for spaces.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn every_definition_is_on_the_page_and_every_link_leads_somewhere() {
    let page = page();
    let headings = page.lines().filter_map(|line| line.strip_prefix('#'));
    let anchors: Vec<String> = headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect();
    assert_eq!(anchors.iter().collect::<BTreeSet<_>>().len(), anchors.len(), "two headings with one anchor");
    for link in page.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(anchors.iter().any(|anchor| anchor == link), "{link}");
    }
    for schema in [domain_profile_schema(), node_config_schema()] {
        for name in schema["$defs"].as_object().unwrap().keys() {
            let (kind, heading) = (text(&schema, "title").unwrap(), format!(": {name}\n"));
            let below = page.split_once(&format!("\n## {kind}\n")).unwrap().1.split("\n## ").next().unwrap();
            assert!(below.contains(&heading) || below.contains(&format!("\n| {name} | ")), "{kind}: {name}");
        }
    }
}
