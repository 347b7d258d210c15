//! Raw QEMU arguments and environment: `qemu:commandline`.

use serde_json::Value;

use crate::config::Qemu;
use crate::xml::{Document, Element};

use super::QEMU_NAMESPACE;
use super::editor::{Editor, Why};

/// An option and its values, as they follow each other in the arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// The option first.
    pub(super) values: Vec<String>,
    /// The `<qemu:arg>` elements, in the same order.
    elements: Vec<Element>,
}

/// The arguments of a domain, over all its `qemu:commandline` elements (libvirt collects them), cut into groups.
pub(super) fn groups(doc: &Document) -> Vec<Group> {
    let mut out: Vec<Group> = Vec::new();
    for commandline in doc.children(doc.root()).filter(|child| doc.is(*child, QEMU_NAMESPACE, "commandline")) {
        for arg in doc.children(commandline).filter(|child| doc.is(*child, QEMU_NAMESPACE, "arg")) {
            let value = doc.attribute(arg, "value").unwrap_or_default().into_owned();
            match out.last_mut() {
                Some(group) if !value.starts_with('-') => {
                    group.values.push(value);
                    group.elements.push(arg);
                }
                _ => out.push(Group { values: vec![value], elements: vec![arg] }),
            }
        }
    }
    out
}

/// Cuts a list of arguments into groups.
pub(super) fn cut(args: &[String]) -> Vec<Vec<String>> {
    let mut out: Vec<Vec<String>> = Vec::new();
    for arg in args {
        match out.last_mut() {
            Some(group) if !arg.starts_with('-') => group.push(arg.clone()),
            _ => out.push(vec![arg.clone()]),
        }
    }
    out
}

/// The driver that a `-device` value names, in plain or JSON form.
pub(super) fn device_driver(value: &str) -> Option<String> {
    if value.trim_start().starts_with('{') {
        // QEMU's own JSON takes single quotes as well.
        let json: Value =
            serde_json::from_str(value).or_else(|_| serde_json::from_str(&value.replace('\'', "\""))).ok()?;
        return json.get("driver")?.as_str().map(str::to_owned);
    }
    value.split(',').find_map(|part| match part.split_once('=') {
        None => Some(part.to_owned()),
        Some(("driver", driver)) => Some(driver.to_owned()),
        Some(_) => None,
    })
}

/// Adds the arguments and the environment that are asked for.
pub(super) fn apply(editor: &mut Editor<'_>, qemu: &Qemu) {
    for group in cut(&qemu.args) {
        let why = editor.why("qemu.args", "this argument is asked for");
        add_group(editor, &group, &why);
    }
    for (name, value) in &qemu.env {
        let why = editor.why(&format!("qemu.env.{name}"), "this environment variable is asked for");
        let commandline = commandline(editor, &why);
        let doc = &editor.doc;
        let known = doc.children(doc.root()).filter(|c| doc.is(*c, QEMU_NAMESPACE, "commandline")).find_map(|c| {
            doc.children(c).find(|env| {
                doc.is(*env, QEMU_NAMESPACE, "env") && doc.attribute(*env, "name").as_deref() == Some(name.as_str())
            })
        });
        let element = known.unwrap_or_else(|| {
            let element = editor.add_qemu(commandline, "env", &why);
            editor.set(element, "name", name, &why);
            element
        });
        editor.set(element, "value", value, &why);
    }
}

/// Adds one option with its values, unless an equal one is there. `-fw_cfg` is keyed by its name and replaced.
pub(super) fn add_group(editor: &mut Editor<'_>, group: &[String], why: &Why) {
    let there = groups(&editor.doc);
    if there.iter().any(|known| known.values == group) {
        return;
    }
    if let Some(name) = fw_cfg_name(group)
        && let Some(known) = there.iter().find(|known| fw_cfg_name(&known.values) == Some(name))
        && let (Some(element), [_, value]) = (known.elements.get(1), group)
    {
        editor.set(*element, "value", value, why);
        return;
    }
    let commandline = commandline(editor, why);
    for value in group {
        let arg = editor.add_qemu(commandline, "arg", why);
        editor.set(arg, "value", value, why);
    }
}

/// The value of a `-fw_cfg` entry of this name that the domain has.
pub(super) fn fw_cfg(doc: &Document, name: &str) -> Option<String> {
    let group = groups(doc).into_iter().find(|group| fw_cfg_name(&group.values) == Some(name))?;
    group.values.get(1)?.split(',').find_map(|part| part.strip_prefix("string=")).map(str::to_owned)
}

/// The name of a `-fw_cfg` entry: `name=X,…`, or `X,…` in QEMU's short form.
pub(super) fn fw_cfg_name(group: &[String]) -> Option<&str> {
    let [option, value] = group else { return None };
    let mut parts = value.split(',');
    let name =
        parts.clone().find_map(|part| part.strip_prefix("name=")).or_else(|| parts.find(|part| !part.contains('=')));
    if matches!(option.as_str(), "-fw_cfg" | "--fw_cfg") { name } else { None }
}

/// The first `qemu:commandline`, or a new one.
fn commandline(editor: &mut Editor<'_>, why: &Why) -> Element {
    let doc = &editor.doc;
    let known = doc.children(doc.root()).find(|child| doc.is(*child, QEMU_NAMESPACE, "commandline"));
    known.unwrap_or_else(|| editor.add_qemu(editor.root(), "commandline", why))
}
