//! Layers to one tree, weakest first.

use super::read::{device_of, item_path, join};
use super::scalars::DeviceSelector;
use super::tree::{Key, Node, Value};

/// What one source asks for.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// The fields it sets.
    pub tree: Node,
    /// The item it takes away (`hostDevices.gpu0=null`).
    pub without: Option<DeviceSelector>,
}

/// Puts a stronger layer over what weaker ones gave: maps merge field by field, `hostDevices` by device, other lists and single
/// values replace, null resets.
pub(super) fn merge(weaker: &mut Node, stronger: Layer) {
    if let Some(device) = &stronger.without
        && let Some(Value::List(items)) = get_mut(weaker, "hostDevices").map(|node| &mut node.value)
    {
        items.retain(|item| device_of(item).as_ref() != Some(device));
    }
    over(weaker, stronger.tree, "");
}

fn over(weaker: &mut Node, stronger: Node, path: &str) {
    match (&mut weaker.value, stronger.value) {
        (Value::Map(old), Value::Map(new)) => {
            for (key, node) in new {
                set(old, key, node, path);
            }
            // Of two texts that make one map, the stronger stands for it.
            weaker.place = stronger.place;
        }
        (Value::List(old), Value::List(new)) if path == "hostDevices" => {
            for item in new {
                let device = device_of(&item);
                let same = |other: &&mut Node| device.is_some() && device_of(other) == device;
                match old.iter_mut().find(same) {
                    Some(known) => over(known, fields_of(item), "hostDevices[]"),
                    None => old.push(item),
                }
            }
            weaker.place = stronger.place;
        }
        (_, value) => {
            weaker.value = value;
            weaker.place = stronger.place;
        }
    }
}

/// An item without its `device`: that stands where the item was first made.
fn fields_of(mut item: Node) -> Node {
    if let Value::Map(entries) = &mut item.value {
        entries.retain(|(key, _)| key.name != "device");
    }
    item
}

fn set(entries: &mut Vec<(Key, Node)>, key: Key, node: Node, path: &str) {
    let below = if path.is_empty() {
        key.name.clone()
    } else {
        format!("{path}.{}", key.name)
    };
    match entries.iter_mut().find(|(known, _)| known.name == key.name) {
        Some((known, old)) => {
            known.place = key.place;
            over(old, node, &below);
        }
        None => entries.push((key, node)),
    }
}

fn get_mut<'a>(node: &'a mut Node, name: &str) -> Option<&'a mut Node> {
    let Value::Map(entries) = &mut node.value else {
        return None;
    };
    entries
        .iter_mut()
        .find(|(key, _)| key.name == name)
        .map(|(_, node)| node)
}

/// Who set each field of a merged tree: calls back with the path and the source's name, down to single values and lists.
pub(super) fn origins(tree: &Node, told: &mut impl FnMut(&str, String)) {
    walk(tree, "", told);
}

fn walk(node: &Node, path: &str, told: &mut impl FnMut(&str, String)) {
    match &node.value {
        Value::Null => {}
        Value::Map(entries) => {
            for (key, node) in entries {
                walk(node, &join(path, &key.name), told);
            }
        }
        Value::List(items) if path == "hostDevices" => {
            for item in items {
                if let Some(device) = device_of(item) {
                    walk(item, &item_path(&device), told);
                }
            }
        }
        Value::Scalar(_) | Value::List(_) => told(path, node.place.source.origin()),
    }
}
