//! The files and units that a config of Ignition embeds: parts of their own, read by their own formats.

use crate::config::tree::{Node, Value};
use crate::import::action::{Action, Found, ServiceVerb};
use crate::import::place::Place;
use crate::import::verdict::Verdict;

use super::contents::NoText;
use super::documents::{at, items, one, text, told as told_text, yes};
use super::ignition::{rest, told};
use super::unit::Unit;
use super::{Part, Reading, contents, kind, text_part};

/// The fields of a file that are read, or say nothing of devices.
const FILE: [&str; 8] = ["path", "contents", "append", "mode", "user", "group", "overwrite", "filesystem"];
/// Those of what a file has.
const CONTENTS: [&str; 7] = ["inline", "source", "local", "compression", "verification", "httpHeaders", "http_headers"];
/// Those of a unit.
const UNIT: [&str; 7] = ["name", "enabled", "enable", "mask", "contents", "contents_local", "dropins"];

/// A file.
pub(super) fn file(node: &Node, place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    let here = at(node, place);
    let Some(path) = text(node, "path") else {
        reading.malformed(&here, "a file without path: say where the node has it");
        return Vec::new();
    };
    let place = here.inside(&path);
    let mut all: Vec<&Node> = node.get("contents").filter(|node| node.value != Value::Null).into_iter().collect();
    // In Ignition 2 `append` is true or false.
    if let Some(Value::List(more)) = node.get("append").map(|node| &node.value) {
        all.extend(more);
    }
    let mut out = rest(Some(node), &here, &format!("{path} "), &FILE);
    let count = out.len();
    let mut has_text = false;
    for contents in all {
        if !matches!(contents.value, Value::Map(_)) {
            let what = "what a file has is a map: write inline: TEXT (Butane) or source: data:,… (Ignition) below it";
            reading.malformed(&at(contents, &here).inside(&path), what);
            continue;
        }
        out.extend(rest(Some(contents), &here, &format!("{path} contents."), &CONTENTS));
        let compression = text(contents, "compression");
        let content = match ["inline", "source", "local"].map(|field| one(contents, field, &here, reading)) {
            [Some(inline), ..] => Ok(inline),
            [_, Some(source), _] => contents::text(&source, compression.as_deref()),
            [.., Some(local)] if let Some(content) = beside(&local, reading) => content.map_err(NoText::Unread),
            [.., Some(local)] => {
                let why = format!("it is in the file {local}: import that file, too");
                out.push(told(place.clone(), &path, Verdict::unclear(why)));
                continue;
            }
            _ => continue,
        };
        has_text = true;
        match content {
            Ok(content) => out.extend(embedded(&place, &path, content, reading)),
            Err(NoText::Wrong(why)) => reading.malformed(&place, &why),
            Err(NoText::Unread(why)) => out.push(told(place.clone(), &path, Verdict::unclear(why))),
        }
    }
    if !has_text && out.len() == count {
        let why = "an empty file: it does nothing, but for one of the system's own that has its name";
        out.push(told(place, &path, Verdict::aside(why)));
    }
    out
}

/// A file that is embedded; one whose folder says nothing prepares nothing.
fn embedded(place: &Place, path: &str, content: String, reading: &mut Reading<'_>) -> Vec<Part> {
    if kind::of(path, &content) == kind::Kind::Unknown {
        return vec![told(place.clone(), path, Verdict::unclear("this is no kind of file that is known here"))];
    }
    text_part(place.clone(), path.to_owned(), content, reading)
}

/// A unit, with its drop-ins.
pub(super) fn unit(node: &Node, place: &Place, reading: &mut Reading<'_>) -> Vec<Part> {
    let here = at(node, place);
    let Some(name) = text(node, "name") else {
        reading.malformed(&here, "a unit without name: write its name with its kind, e.g. x.service");
        return Vec::new();
    };
    let mut parts = Vec::new();
    let mut add = |place: Place, content: &str, reading: &mut Reading<'_>| match Unit::parse(&name, content) {
        Ok(unit) => parts.push(Part::Unit { place, unit }),
        Err((line, why)) => reading.malformed(&place.line(line), &why),
    };
    let content = one(node, "contents", &here, reading).filter(|content| !content.trim().is_empty());
    let enabled =
        node.get("enabled").or_else(|| node.get("enable")).map(|node| told_text(node).eq_ignore_ascii_case("true"));
    if let Some(content) = content.as_deref() {
        let said = if enabled == Some(false) { format!("{name} (not enabled)") } else { name.clone() };
        add(here.inside(&said), content, reading);
    }
    let mut told_of = rest(Some(node), &here, &format!("{name} "), &UNIT);
    let local = one(node, "contents_local", &here, reading);
    if let Some(local) = &local {
        match beside(local, reading) {
            Some(Ok(content)) => add(here.inside(&name), &content, reading),
            _ => told_of.push(elsewhere(&here, &name, local)),
        }
    }
    for dropin in items(node, "dropins", place, reading) {
        let here = at(dropin, place);
        let Some(file) = text(dropin, "name") else {
            reading.malformed(&here, "a drop-in without name: write its name, e.g. 10-x.conf, and its contents");
            continue;
        };
        let said = format!("{name}.d/{file}");
        if let Some(content) = one(dropin, "contents", &here, reading) {
            add(here.inside(&said), &content, reading);
        }
        told_of.extend(rest(Some(dropin), &here, &format!("{said} "), &["name", "contents", "contents_local"]));
        if let Some(local) = one(dropin, "contents_local", &here, reading) {
            match beside(&local, reading) {
                Some(Ok(content)) => add(here.inside(&said), &content, reading),
                _ => told_of.push(elsewhere(&here, &said, &local)),
            }
        }
    }
    parts.extend(told_of);
    let is_there = content.is_none() && local.is_none();
    let verb = if yes(node, "mask") {
        Some(("mask: true", ServiceVerb::Mask))
    } else if enabled == Some(false) && is_there {
        Some(("enabled: false", ServiceVerb::Disable))
    } else {
        None
    };
    if let Some((how, verb)) = verb {
        let action = Action::Service { unit: name.clone(), verb };
        parts.push(Part::Found(Found { place: here, said: format!("{name} {how}"), action }));
    } else if is_there && enabled == Some(true) {
        let why = "the service starts at boot, as before";
        parts.push(told(here, &format!("{name} enabled: true"), Verdict::aside(why)));
    }
    parts
}

/// The text of a file that is among those given.
fn beside(local: &str, reading: &mut Reading<'_>) -> Option<Result<String, String>> {
    let found = reading.given(local).into_iter().find(|(rest, _)| rest.is_empty());
    let bytes = found.map(|(_, bytes)| bytes.to_vec())?;
    Some(String::from_utf8(bytes).map_err(|_| "it is no text, and only texts are read".to_owned()))
}

/// `storage.trees`: the files of a folder, if they are among those given. `None`: they are not.
pub(super) fn tree(node: &Node, folder: &str, place: &Place, reading: &mut Reading<'_>) -> Option<Vec<Part>> {
    let top = text(node, "path").unwrap_or_default();
    let here = at(node, place);
    let files: Vec<(String, Result<String, _>)> =
        reading.given(folder).into_iter().map(|(rest, bytes)| (rest, String::from_utf8(bytes.to_vec()))).collect();
    let files = files.into_iter().filter(|(rest, _)| !rest.is_empty());
    let parts: Vec<Part> = files
        .flat_map(|(rest, content)| {
            let path = format!("{}{rest}", top.trim_end_matches('/'));
            match content {
                Ok(content) => embedded(&here.inside(&path), &path, content, reading),
                Err(_) => {
                    vec![told(here.inside(&path), &path, Verdict::unclear("it is no text, and only texts are read"))]
                }
            }
        })
        .collect();
    (!parts.is_empty()).then_some(parts)
}

/// A text of one unit that another file has.
fn elsewhere(place: &Place, name: &str, local: &str) -> Part {
    let why = format!("it is in the file {local}: import that file, too");
    told(place.inside(name), &format!("{name} contents_local: {local}"), Verdict::unclear(why))
}
