//! What is taken out of a document before libvirt or its schema judges it: things that KubeVirt itself writes against
//! the schema, and things that depend on the machine. Everything else reaches the judge byte for byte.

use std::ops::Range;

use roxmltree::{Document, Node, ParsingOptions};

fn parse(xml: &[u8]) -> Result<Document<'_>, String> {
    parse_text(std::str::from_utf8(xml).map_err(|error| error.to_string())?)
}

fn parse_text(text: &str) -> Result<Document<'_>, String> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| error.to_string())
}

/// Elements below `domain` with these names on the way, in no namespace.
fn find<'a, 'input>(doc: &'a Document<'input>, path: &[&str]) -> Vec<Node<'a, 'input>> {
    let mut found = vec![doc.root_element()];
    for name in path {
        found = found
            .iter()
            .flat_map(|node| node.children())
            .filter(|node| {
                node.is_element() && node.tag_name().namespace().is_none() && node.tag_name().name() == *name
            })
            .collect();
    }
    found
}

fn replace(xml: &[u8], mut edits: Vec<(Range<usize>, &str)>) -> Vec<u8> {
    edits.sort_by_key(|(range, _)| range.start);
    let (mut out, mut at) = (Vec::with_capacity(xml.len()), 0);
    for (range, text) in edits {
        out.extend_from_slice(&xml[at..range.start]);
        out.extend_from_slice(text.as_bytes());
        at = range.end;
    }
    out.extend_from_slice(&xml[at..]);
    out
}

/// For a command line on a machine without KVM and hugepages: `host-passthrough` becomes `maximum`, which has the same
/// rules; hugepages and numatune go.
pub(crate) fn for_native(xml: &[u8]) -> Result<Vec<u8>, String> {
    let doc = parse(xml)?;
    let mut edits = Vec::new();
    for cpu in find(&doc, &["cpu"]) {
        edits.extend(
            cpu.attribute_node("mode")
                .filter(|mode| mode.value() == "host-passthrough")
                .map(|mode| (mode.range_value(), "maximum")),
        );
    }
    for path in [&["memoryBacking", "hugepages"][..], &["numatune"]] {
        edits.extend(find(&doc, path).iter().map(|node| (node.range(), "")));
    }
    Ok(replace(xml, edits))
}

/// For the schema: KubeVirt's own violations go (empty `bios`, `baseBoard`, `chassis`; `type` on source addresses).
pub(crate) fn for_schema(xml: &[u8]) -> Result<Vec<u8>, String> {
    let doc = parse(xml)?;
    let mut edits = Vec::new();
    for name in ["bios", "baseBoard", "chassis"] {
        let empty = |node: &&Node<'_, '_>| !node.has_children() && node.attributes().len() == 0;
        edits.extend(find(&doc, &["sysinfo", name]).iter().filter(empty).map(|node| (node.range(), "")));
    }
    for address in find(&doc, &["devices", "hostdev", "source", "address"]) {
        edits.extend(address.attribute_node("type").map(|attribute| (attribute.range(), "")));
    }
    Ok(replace(xml, edits))
}

/// What virsh can call the domain: its UUID, which libvirt also takes from SMBIOS, else its name.
pub(crate) fn identity(xml: &[u8]) -> Option<String> {
    // Also of a document in another encoding: a libvirt that takes it must be able to forget it again.
    let text = String::from_utf8_lossy(xml);
    let Ok(doc) = parse_text(&text) else {
        // libvirt takes undeclared prefixes.
        let (_, name) = text.split_once("<name>")?;
        return Some(name.split_once("</name>")?.0.to_owned());
    };
    let text = |nodes: Vec<Node<'_, '_>>| nodes.first().and_then(|node| node.text()).map(ToOwned::to_owned);
    let smbios = || {
        find(&doc, &["sysinfo", "system", "entry"])
            .into_iter()
            .find(|entry| entry.attribute("name") == Some("uuid"))
            .and_then(|entry| entry.text())
            .map(ToOwned::to_owned)
    };
    text(find(&doc, &["uuid"])).or_else(smbios).or_else(|| text(find(&doc, &["name"])))
}

#[test]
fn only_what_is_named_goes() {
    let xml = b"<domain><cpu mode='host-passthrough'/><memoryBacking><hugepages><page/></hugepages><locked/>\
        </memoryBacking><numatune/><metadata><numatune xmlns='x'/><hugepages/></metadata></domain>";
    let native = b"<domain><cpu mode='maximum'/><memoryBacking><locked/>\
        </memoryBacking><metadata><numatune xmlns='x'/><hugepages/></metadata></domain>";
    assert_eq!(for_native(xml).unwrap(), native);
    assert_eq!(for_schema(xml).unwrap(), xml);

    let xml = b"\xef\xbb\xbf<domain><sysinfo><bios></bios><chassis><entry/></chassis></sysinfo><devices><hostdev>\
        <source><address type='pci' bus='1'/></source><address type='pci'/></hostdev></devices></domain>";
    let schema = b"\xef\xbb\xbf<domain><sysinfo><chassis><entry/></chassis></sysinfo><devices><hostdev>\
        <source><address  bus='1'/></source><address type='pci'/></hostdev></devices></domain>";
    assert_eq!(for_schema(xml).unwrap(), schema);
}

#[test]
fn a_domain_is_called_by_uuid_then_smbios_then_name() {
    let id = |xml: &str| identity(xml.as_bytes());
    let smbios = "<sysinfo><system><entry name='serial'>s</entry><entry name='uuid'>b</entry></system></sysinfo>";
    assert_eq!(id(&format!("<domain>{smbios}<name>c</name><uuid>a</uuid></domain>")).as_deref(), Some("a"));
    assert_eq!(id(&format!("<domain>{smbios}<name>c</name></domain>")).as_deref(), Some("b"));
    assert_eq!(id("<domain><name>c</name></domain>").as_deref(), Some("c"));
    assert_eq!(id("<domain>"), None);
    let latin1 = b"<domain><title>caf\xe9</title><name>c</name></domain>";
    assert_eq!(identity(latin1).as_deref(), Some("c"));
}
