//! Single values, and the shapes that several fields have.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use crate::config::node::{Glob, Globs, ParameterName, ParameterValue};
use crate::config::problems::Place;
use crate::config::read::{Read, Report, Section, join, scalar};
use crate::config::tree::{Node, Value, quote};

/// A scalar of a type that is made from its text, as it was written: `1e84` is that text and no number.
pub(super) fn parsed<T: FromStr<Err: Display>>(expected: &'static str) -> impl Fn(&Node) -> Read<T> {
    move |node| scalar(node, expected)?.text.parse().map_err(|error: T::Err| error.to_string())
}

/// One line of text for people.
pub(super) fn line(most: usize) -> impl Fn(&Node) -> Read<String> {
    move |node| {
        let text = &scalar(node, "a text")?.text;
        if text.trim().is_empty() {
            return Err("the text is empty".to_owned());
        }
        if text.chars().count() > most {
            return Err(format!("{} has more than {most} characters", quote(text)));
        }
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err(format!("{} has the character {c:?}: write one line of text", quote(text)));
        }
        Ok(text.clone())
    }
}

/// A list, or one value where a list of one is meant; each with its place. `None` if it is there and anything is wrong.
pub(super) fn list_or_one<T>(
    section: &mut Section<'_>,
    field: &'static str,
    read: impl Fn(&Node) -> Read<T>,
) -> Option<Vec<(Place, T)>> {
    let Some(node) = section.node(field) else {
        return Some(Vec::new());
    };
    if matches!(node.value, Value::Scalar(_)) {
        return section.take(field, read).map(|one| vec![(node.place.clone(), one)]);
    }
    whole_list(section, field, read)
}

/// The values of a list that is not empty, each with its place; without the field none. `None` if it is there and anything is wrong.
pub(super) fn whole_list<T>(
    section: &mut Section<'_>,
    field: &'static str,
    read: impl Fn(&Node) -> Read<T>,
) -> Option<Vec<(Place, T)>> {
    let node = section.node(field)?;
    let values = section.list(field, |node| read(node).map(|value| (node.place.clone(), value)));
    match &node.value {
        Value::List(items) if items.is_empty() => {
            section.problem(&node.place, field, "the list is empty: name at least one, or leave the field out");
            None
        }
        Value::List(items) if items.len() == values.len() => Some(values),
        _ => None,
    }
}

/// Patterns of namespaces; without the field `*`. `None` if it is there and anything is wrong.
pub(super) fn namespaces(section: &mut Section<'_>) -> Option<Globs> {
    globs(section, "namespaces", |node| {
        let glob: Glob = parsed("a namespace or a pattern of namespaces")(node)?;
        if glob.as_str().contains('.') {
            return Err(format!("{} matches no namespace: none has a '.'", quote(glob.as_str())));
        }
        Ok(glob)
    })
}

/// Patterns of nodes; without the field `*`. `None` if it is there and anything is wrong.
pub(super) fn nodes(section: &mut Section<'_>) -> Option<Globs> {
    globs(section, "nodes", parsed("a node or a pattern of nodes"))
}

fn globs(section: &mut Section<'_>, field: &'static str, read: impl Fn(&Node) -> Read<Glob>) -> Option<Globs> {
    if section.node(field).is_none() {
        return Some(Globs::default());
    }
    let globs = list_or_one(section, field, read)?;
    Globs::new(globs.into_iter().map(|(_, glob)| glob).collect())
}

/// Parameters of a kernel module by name.
pub(super) fn parameters(section: &mut Section<'_>) -> BTreeMap<ParameterName, ParameterValue> {
    let name =
        |text: &str| text.parse::<ParameterName>().map(|name| name.to_string()).map_err(|error| error.to_string());
    let parameters = section.map("parameters", name, parsed::<ParameterValue>("a value"));
    parameters.into_iter().filter_map(|(name, value)| Some((name.parse().ok()?, value))).collect()
}

/// The one key of a map and what it holds: that is how a choice is written. What is wrong is told.
pub(super) fn only_key<'a>(
    node: &'a Node,
    path: &str,
    what: &str,
    known: &[&'static str],
    report: &Report,
) -> Option<(&'static str, &'a Node)> {
    #[cfg(test)]
    report.asked.borrow_mut().extend(known.iter().map(|key| join(path, key)));
    let entries = match &node.value {
        Value::Map(entries) => entries,
        other => {
            let message =
                format!("{} stands where {what} is expected: a map with one key, {}", other.describe(), choices(known));
            report.add(&node.place, path, message);
            return None;
        }
    };
    if entries.is_empty() {
        report.add(&node.place, path, format!("{what} is empty: write one of {}", choices(known)));
    }
    if let [(one, _), (two, _), ..] = &entries[..] {
        let message = format!("{what} has one key, and here are {} and {}", quote(&one.name), quote(&two.name));
        report.add(&node.place, path, message);
        return None;
    }
    let (key, value) = entries.first()?;
    let Some(name) = known.iter().find(|name| **name == key.name) else {
        let hint = crate::base::suggest(&key.name, known.iter().copied())
            .map_or_else(|| format!("there are {}", known.join(", ")), |near| format!("did you mean {near:?}?"));
        report.add(&key.place, path, format!("{} is not {what}, {hint}", quote(&key.name)));
        return None;
    };
    if value.value == Value::Null {
        report.add(&key.place, &join(path, name), "nothing follows: say what");
        return None;
    }
    Some((name, value))
}

fn choices(known: &[&str]) -> String {
    crate::config::read::one_of(known)
}
