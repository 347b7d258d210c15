//! YAML documents by their kind, and what is common to reading them.

use crate::config::tree::{Node, Value};
use crate::import::action::{Action, Found};
use crate::import::place::Place;
use crate::import::verdict::Verdict;

use super::{Part, Reading, cluster, ignition, kubevirt, policy, tuned};

/// A document to its parts: files and units that it embeds are parts of their own.
pub(super) fn open(node: Node, place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    let at = at(&node, place);
    if !matches!(node.value, Value::Map(_)) {
        let what = node.value.describe();
        let told = "a document is a map: of Kubernetes (kind: …), Butane (variant: …) or Ignition (ignition: …)";
        reading.malformed(&at, &format!("{what} stands where a document is expected: {told}"));
        return Vec::new();
    }
    if text(&node, "kind").as_deref() == Some("List") {
        let items = items(&node, "items", place, reading).to_vec();
        return items.into_iter().flat_map(|item| open(item, place, reading)).collect();
    }
    match text(&node, "kind").as_deref() {
        Some("MachineConfig") => ignition::machine_config(&node, place, reading),
        Some("Tuned") => tuned::object(&node, place, reading),
        Some(_) => vec![Part::Document { place: place.clone(), node }],
        None if node.get("variant").is_some() => ignition::butane(&node, place, reading),
        None if node.get("ignition").is_some() => ignition::config(&node, place, reading),
        None => {
            let why = "it has neither kind, variant nor ignition: what it is for cannot be told";
            vec![Part::Found(Found {
                place: at,
                said: "a document".to_owned(),
                action: Action::Told(Verdict::unclear(why)),
            })]
        }
    }
}

/// Reads a document that embeds nothing.
pub(super) fn read(node: &Node, place: &Place, reading: &mut Reading<'_>) {
    let kind = text(node, "kind").unwrap_or_default();
    match kind.as_str() {
        "PerformanceProfile" => cluster::performance(node, place, reading),
        "KubeletConfig" | "KubeletConfiguration" => cluster::kubelet(node, place, reading),
        "HyperConverged" | "KubeVirt" => kubevirt::read(node, place, reading),
        "SriovNetworkNodePolicy" => policy::sriov(node, place, reading),
        "Module" => policy::kmm(node, place, reading),
        other => {
            let name = node.get("metadata").and_then(|metadata| text(metadata, "name")).unwrap_or_default();
            let said = format!("{other} {name}");
            reading.unclear(&at(node, place), said.trim(), "objects of this kind are not read here");
        }
    }
}

/// Where a node stands.
pub(super) fn at(node: &Node, place: &Place) -> Place {
    node.place.at.map_or_else(|| place.clone(), |(line, _)| place.line(line))
}

/// A field that is a text, a number or a word.
pub(super) fn text(node: &Node, field: &str) -> Option<String> {
    match &node.get(field)?.value {
        Value::Scalar(scalar) => Some(scalar.text.clone()),
        _ => None,
    }
}

/// The same where only a text can stand: anything else there is malformed.
pub(super) fn one(node: &Node, field: &str, place: &Place, reading: &mut Reading<'_>) -> Option<String> {
    if let Some(node) = node.get(field).filter(|node| matches!(node.value, Value::List(_) | Value::Map(_))) {
        reading.malformed(&at(node, place), &format!("{field} is {}: write a text", node.value.describe()));
    }
    text(node, field)
}

/// Whether nothing is said: `{}`, `[]`, null, or only such within.
pub(super) fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Scalar(scalar) => scalar.text.is_empty(),
        Value::List(items) => items.iter().all(is_empty),
        Value::Map(entries) => entries.iter().all(|(_, node)| is_empty(node)),
    }
}

/// Whether a field is `true`.
pub(super) fn yes(node: &Node, field: &str) -> bool {
    text(node, field).is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

/// The items of a list, or nothing. Anything else that stands there is malformed: no value is dropped.
pub(super) fn items<'a>(node: &'a Node, field: &str, place: &Place, reading: &mut Reading<'_>) -> &'a [Node] {
    match node.get(field).map(|node| (node, &node.value)) {
        None | Some((_, Value::Null)) => &[],
        Some((_, Value::List(items))) => items,
        Some((node, other)) => {
            reading.malformed(&at(node, place), &format!("{field} is {}: write a list", other.describe()));
            &[]
        }
    }
}

/// The texts of a list with their places. An item that is none is malformed.
pub(super) fn texts(node: &Node, field: &str, place: &Place, reading: &mut Reading<'_>) -> Vec<(Place, String)> {
    let mut out = Vec::new();
    for item in items(node, field, place, reading) {
        let place = at(item, place);
        match &item.value {
            Value::Scalar(scalar) => out.push((place, scalar.text.clone())),
            other => {
                let what = format!("an item of {field} is {}: write a text", other.describe());
                reading.malformed(&place, &what);
            }
        }
    }
    out
}

/// A field that is a map, or nothing. Anything else that stands there is malformed.
pub(super) fn map<'a>(node: &'a Node, field: &str, place: &Place, reading: &mut Reading<'_>) -> Option<&'a Node> {
    let node = node.get(field).filter(|node| node.value != Value::Null)?;
    if matches!(node.value, Value::Map(_)) {
        return Some(node);
    }
    let what = format!("{field} is {}: write a map, with its fields below it", node.value.describe());
    reading.malformed(&at(node, place), &what);
    None
}

/// The fields of a map, or nothing: name, place, node.
pub(super) fn fields<'a>(node: Option<&'a Node>, place: &Place) -> Vec<(String, Place, &'a Node)> {
    match node.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries
            .iter()
            .map(|(key, node)| {
                let at = key.place.at.map_or_else(|| place.clone(), |(line, _)| place.line(line));
                (key.name.clone(), at, node)
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// A value in one line, for the report.
pub(super) fn told(node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) => scalar.text.clone(),
        Value::Null => String::new(),
        Value::List(items) => format!("[{}]", items.iter().map(told).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, node)| format!("{}: {}", key.name, told(node)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}
