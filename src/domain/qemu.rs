//! Raw QEMU arguments and environment: `qemu:commandline`.

use std::borrow::Cow;

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

/// An attribute's value as a list of changes tells it: such lists are logged, and an environment variable or an argument may well be a
/// password (`-object secret,data=…`, `-fw_cfg …,string=…`). So what stands behind a name is left out; the name itself is told.
pub(super) fn told<'a>(doc: &Document, element: Element, name: &str, value: &'a str) -> Cow<'a, str> {
    if name != "value" {
        return Cow::Borrowed(value);
    }
    if doc.is(element, QEMU_NAMESPACE, "env") {
        return Cow::Borrowed(HIDDEN);
    }
    // What we ourselves write for OVMF is a size.
    if !doc.is(element, QEMU_NAMESPACE, "arg") || value.contains("opt/ovmf/X-PciMmio64Mb,string=") {
        return Cow::Borrowed(value);
    }
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'));
    if value.starts_with('-') && is_word(value) {
        return Cow::Borrowed(value);
    }
    let is_name = |text: &str| text.split('/').all(is_word);
    let part = |(at, part): (usize, &str)| match part.split_once('=') {
        Some(("id" | "name" | "driver" | "file", name)) if is_name(name) => part.to_owned(),
        Some((key, _)) if is_word(key) => format!("{key}={HIDDEN}"),
        // What comes first without a name is a kind: of a device, of an object.
        None if at == 0 && is_name(part) => part.to_owned(),
        _ => HIDDEN.to_owned(),
    };
    let mut parts: Vec<String> = value.split(',').enumerate().map(part).collect();
    parts.dedup();
    Cow::Owned(parts.join(","))
}

/// Stands for what is not told.
const HIDDEN: &str = "…";

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Domain;

    #[test]
    fn what_may_be_secret_is_not_told() {
        let domain = "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><a value='x'/><qemu:commandline><qemu:arg value='x'/><qemu:env name='x' value='x'/></qemu:commandline></domain>";
        let domain = Domain::parse(domain).unwrap();
        let doc = domain.document();
        let children: Vec<Element> = doc.children(doc.root()).collect();
        let inner: Vec<Element> = doc.children(children[1]).collect();
        assert_eq!(told(doc, children[0], "value", "plain"), "plain");
        assert_eq!(told(doc, inner[1], "value", "hunter2"), "…");
        assert_eq!(told(doc, inner[1], "name", "TOKEN"), "TOKEN");
        let table = [
            ("-device", "-device"),
            ("--no-shutdown", "--no-shutdown"),
            ("pvpanic", "pvpanic"),
            ("secret,id=sec0,data=hunter2", "secret,id=sec0,data=…"),
            ("name=opt/com.coreos/config,string=hunter2,hunter3", "name=opt/com.coreos/config,string=…,…"),
            ("name=opt/ovmf/X-PciMmio64Mb,string=65536", "name=opt/ovmf/X-PciMmio64Mb,string=65536"),
            ("ICH9-LPC.disable_s3=1", "ICH9-LPC.disable_s3=…"),
            ("{'driver':'x','password':'hunter2'}", "…"),
            ("-a hunter2", "…"),
            ("a='1' b=hunter2", "a=…"),
            ("the hunter2=x", "…"),
        ];
        for (value, expected) in table {
            assert_eq!(told(doc, inner[0], "value", value), expected, "{value}");
        }
    }
}
