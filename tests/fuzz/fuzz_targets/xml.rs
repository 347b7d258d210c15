//! Bytes → document. What is read must come back byte for byte, and edits must mean the same after writing and reading again.
//!
//! An input is a document, or a document, a NUL (which no document can hold) and a script of edits. Without a script the bytes of
//! the document steer the edits, so that plain samples are useful seeds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use virt_tailor::xml::{Document, Element, Limits, tokens};

const QEMU: &str = "http://libvirt.org/schemas/domain/qemu/1.0";
const VALUES: [&str; 8] = ["", "on", "a b", "<&>\"'", "\n\t", "é]]>", "\r\n", "0x0000"];
const NAMES: [&str; 4] = ["x", "new", "devices", "é"];

fn parse(bytes: &[u8], lenient: bool) -> Option<Document> {
    let mut limits = Limits::default();
    if lenient {
        limits.undeclared_prefixes = vec![("qemu", QEMU)];
    }
    Document::parse(bytes, &limits).ok()
}

fn cover(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("a document is UTF-8");
    let mut at = 0;
    for token in tokens(text).expect("a document has tokens") {
        assert_eq!(token.span.start, at, "a gap between tokens");
        assert!(token.span.end > at, "an empty token");
        at = token.span.end;
    }
    assert_eq!(at, text.len(), "tokens end early");
}

fn elements(document: &Document) -> Vec<Element> {
    let mut out = vec![document.root()];
    let mut at = 0;
    while at < out.len() && out.len() < 4096 {
        out.extend(document.children(out[at]));
        at += 1;
    }
    out
}

/// The tree as a text without white space, for edits move indentation (and, in mixed content, the gap between two words).
fn meaning(document: &Document, element: Element, out: &mut String) {
    out.push_str(&format!("{{{}}}{}", document.namespace(element), document.local_name(element)));
    for (name, value) in document.attributes(element) {
        out.push_str(&format!(" {name}={value:?}"));
    }
    out.push_str(&format!(" {:?}(", document.text(element).split_ascii_whitespace().collect::<String>()));
    for child in document.children(element) {
        meaning(document, child, out);
    }
    out.push(')');
}

fn edit(document: &mut Document, step: &[u8]) {
    let [kind, high, low, what] = *step else { return };
    let all = elements(document);
    let element = all[usize::from(u16::from_be_bytes([high, low])) % all.len()];
    let value = VALUES[usize::from(what) % VALUES.len()];
    let name = NAMES[usize::from(what >> 3) % NAMES.len()];
    match kind % 9 {
        0 => drop(document.set_attribute(element, name, value)),
        1 => drop(document.remove_attribute(element, name)),
        2 => drop(document.append(element, name)),
        3 => document.remove(element),
        4 if document.children(element).next().is_none() => drop(document.set_text(element, value)),
        5 if document.parent(element).is_some() => drop(document.insert_after(element, name)),
        6 => {
            let new = document.append_in(element, QEMU, "qemu", name);
            document.set_attribute(new, "value", value);
        }
        7 => drop(document.append_in(element, "urn:q", "q", name)),
        // An attribute that is there already, whatever its name, unless it is a declaration.
        8 => {
            let known = document
                .attributes(element)
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .find(|name| !name.starts_with("xmlns") && !name.contains(':'));
            if let Some(name) = known {
                document.set_attribute(element, &name, value);
            }
        }
        _ => {}
    }
}

fuzz_target!(|data: &[u8]| {
    let (bytes, script) = match data.iter().rposition(|b| *b == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, data),
    };
    let Some(mut document) = parse(bytes, true) else { return };
    assert_eq!(document.to_bytes(), bytes, "a document without edits changed");
    assert!(document.edits().is_empty());
    assert_eq!(parse(bytes, false).is_some(), document.undeclared_prefixes().is_empty());
    cover(bytes);
    // The end of a document is its end tag, so steer from the middle of it.
    let start = if script.len() > 64 { script.len() / 2 } else { 0 };
    for step in script[start..].chunks_exact(4).take(8) {
        edit(&mut document, step);
    }
    let mut at = 0;
    for edit in document.edits() {
        assert!(edit.range.start >= at && edit.range.end >= edit.range.start, "edits overlap");
        at = edit.range.end;
    }
    let out = document.to_bytes();
    let Some(again) = parse(&out, true) else {
        panic!("what was written cannot be read:\n{}", String::from_utf8_lossy(&out));
    };
    cover(&out);
    let (mut ours, mut theirs) = (String::new(), String::new());
    meaning(&document, document.root(), &mut ours);
    meaning(&again, again.root(), &mut theirs);
    assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&out));
});
