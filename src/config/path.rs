//! Dotted paths: one field of a profile, set by an annotation of its own or by `--set`.

use std::sync::Arc;

use super::merge::Layer;
use super::problems::{Place, Problem, Problems, Source};
use super::scalars::DeviceSelector;
use super::tree::{Key, Node, Value, parse, quote};

/// Maps whose keys are free names: what follows them in a path is one name, dots and all (`cpu.features.sse4.1`).
const FREE_NAMES: [&[&str]; 7] = [
    &["cpu", "features"],
    &["devices", "sharedMemory"],
    &["qemu", "env"],
    &["guest", "modules"],
    &["guest", "hugepages"],
    &["hostDevices", "*", "properties"],
    &["hostDevices", "*", "functions"],
];

/// Splits at dots; brackets quote a segment that has dots itself.
fn segments(path: &str) -> Result<Vec<String>, String> {
    let mut segments = Vec::new();
    let mut rest = path;
    loop {
        let quoted = rest.strip_prefix('[');
        let (segment, after) = if let Some(quoted) = quoted {
            quoted.split_once(']').ok_or("a [ is not closed")?
        } else if free_names(&segments) {
            rest.split_at(rest.len())
        } else {
            rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()))
        };
        if segment.is_empty() {
            return Err("a segment is empty".to_owned());
        }
        segments.push(segment.to_owned());
        rest = match after.strip_prefix('.') {
            Some("") => return Err("it ends with a dot".to_owned()),
            Some(after) => after,
            None if after.is_empty() => return Ok(segments),
            None if after.starts_with('[') => after,
            None => return Err(format!("a dot is missing before {after:?}")),
        };
    }
}

fn free_names(above: &[String]) -> bool {
    FREE_NAMES.iter().any(|names| {
        names.len() == above.len()
            && names
                .iter()
                .zip(above)
                .all(|(name, segment)| *name == "*" || name == segment)
    })
}

/// The layer of an annotation `domain.virt-tailor.io/<path>`.
pub(super) fn from_annotation(key: &str, path: &str, value: &str) -> Result<Layer, Problems> {
    let source = Arc::new(Source::Annotation {
        key: key.to_owned(),
        path: path.to_owned(),
    });
    let refuse = |message: String| Problems::one(Place::whole(&source), message);
    if path.len() > 63 {
        return Err(refuse(format!(
            "the name has {} characters, and Kubernetes takes 63: use the annotation virt-tailor.io/domain",
            path.len()
        )));
    }
    if let Some(c) = path
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"-_.".contains(*c))
    {
        return Err(refuse(format!(
            "Kubernetes takes no {c:?} in an annotation's name: a device is its KubeVirt name or alias here; a host address or ids go into the annotation virt-tailor.io/domain or a profile"
        )));
    }
    layer(&source, path, value)
}

/// The layer of `--set PATH=VALUE`.
pub(super) fn from_set(text: &str) -> Result<Layer, Problems> {
    let mut depth = 0_usize;
    let equals = text.find(|c| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == '=' && depth == 0
    });
    // A bracket that is not closed hides the sign: the path is then told to be wrong.
    let equals = equals.or_else(|| text.find('=').filter(|_| depth > 0));
    let (path, value) = match equals {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    };
    let source = Arc::new(Source::Set {
        path: path.to_owned(),
    });
    if equals.is_none() {
        let message = "write PATH=VALUE, e.g. viommu.model=intel";
        return Err(Problems::one(Place::whole(&source), message));
    }
    layer(&source, path, value)
}

fn layer(source: &Arc<Source>, path: &str, value: &str) -> Result<Layer, Problems> {
    let place = Place::whole(source);
    let refuse = |message: String| Problems::one(place.clone(), message);
    let segments = segments(path).map_err(|why| {
        refuse(format!(
            "{} is not a path of fields: {why}; write e.g. viommu.model or hostDevices.gpu0.rom.bar",
            quote(path)
        ))
    })?;
    if value.trim().is_empty() {
        return Err(refuse(
            "the value is empty: give one, \"\" for an empty text, or null to reset the field"
                .to_owned(),
        ));
    }
    let leaf = scalar(source, value)?;
    if let [first, device] = &segments[..]
        && first == "hostDevices"
    {
        if leaf.value != Value::Null {
            return Err(refuse(format!(
                "a field of the device must follow, e.g. hostDevices.{device}.bootOrder; null takes the device's settings away"
            )));
        }
        let device = selector(device).map_err(refuse)?;
        let tree = Node {
            place,
            value: Value::Map(Vec::new()),
        };
        return Ok(Layer {
            tree,
            without: Some(device),
        });
    }
    if let [first, device, field, ..] = &segments[..]
        && first == "hostDevices"
    {
        selector(device).map_err(refuse)?;
        if field == "device" {
            return Err(refuse("the path names the device itself".to_owned()));
        }
    }
    Ok(Layer {
        tree: grow(&place, &segments, leaf, 0),
        without: None,
    })
}

fn selector(text: &str) -> Result<DeviceSelector, String> {
    text.parse()
        .map_err(|error: super::DeviceSelectorError| error.to_string())
}

/// The value: a YAML scalar. Its place is the path's own.
fn scalar(source: &Arc<Source>, value: &str) -> Result<Node, Problems> {
    let place = Place::whole(source);
    let node = parse(source, value).map_err(|problems| {
        let told = problems.0.into_iter().map(|problem| Problem {
            place: place.clone(),
            message: format!("{} is {}", quote(value.trim()), problem.message),
        });
        Problems(told.collect())
    })?;
    match node.value {
        Value::List(_) | Value::Map(_) => Err(Problems::one(
            place,
            format!(
                "{} is not a single value: lists and maps go into the annotation virt-tailor.io/domain or a profile",
                quote(value.trim())
            ),
        )),
        value => Ok(Node { place, value }),
    }
}

/// The tree of nothing but the path.
fn grow(place: &Place, segments: &[String], leaf: Node, depth: usize) -> Node {
    let map = |name: &str, node: Node| {
        let key = Key {
            place: place.clone(),
            name: name.to_owned(),
        };
        (key, node)
    };
    let node = |value| Node {
        place: place.clone(),
        value,
    };
    match segments.split_first() {
        None => leaf,
        Some((first, rest)) if depth == 0 && first == "hostDevices" && rest.len() > 1 => {
            let (device, fields) = (&rest[0], &rest[1..]);
            let text = Value::Scalar(super::tree::Scalar {
                text: device.clone(),
                kind: super::tree::ScalarKind::Text,
            });
            let mut entries = vec![map("device", node(text))];
            if let Value::Map(below) = grow(place, fields, leaf, depth + 2).value {
                // hostDevices.gpu0.device=… would name the device twice.
                entries.extend(below);
            }
            let item = node(Value::Map(entries));
            node(Value::Map(vec![map(first, node(Value::List(vec![item])))]))
        }
        Some((first, rest)) => {
            let below = grow(place, rest, leaf, depth + 1);
            node(Value::Map(vec![map(first, below)]))
        }
    }
}
