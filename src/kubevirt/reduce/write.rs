//! Writing, as Go's `xml.MarshalIndent` does: tabs, an end tag for every element, numeric references.

use super::schema::{Child, Keep, Kind, Namespace, Shape};
use super::value::Value;
use super::{QEMU, Release};

/// A struct as a document.
pub(super) fn marshal(name: &str, value: &Value, release: Release) -> String {
    let mut writer = Writer { out: String::new(), release };
    writer.element(name, "", value, 0);
    writer.out
}

/// A struct as a child of the root: indented as such, but for its first line.
pub(super) fn fragment(name: &str, value: &Value, release: Release) -> String {
    let mut writer = Writer { out: String::new(), release };
    writer.element(name, "", value, 1);
    writer.out.trim_start().to_owned()
}

struct Writer {
    out: String,
    release: Release,
}

impl Writer {
    fn element(&mut self, name: &str, declaration: &str, value: &Value, depth: usize) {
        if depth > 0 {
            self.new_line(depth);
        }
        self.out.push('<');
        self.out.push_str(name);
        if !declaration.is_empty() {
            self.attribute("xmlns", declaration);
        }
        for (known, read) in value.shape.attributes.iter().zip(&value.attributes) {
            let zero = known.kind.zero();
            match (known.keep, read.as_deref()) {
                (Keep::Always, read) => self.attribute(known.name, read.unwrap_or(zero)),
                (Keep::Filled, Some(read)) if read != zero => self.attribute(known.name, read),
                (Keep::Present | Keep::Many, Some(read)) => self.attribute(known.name, read),
                _ => {}
            }
        }
        self.out.push('>');
        escape(&value.text, &mut self.out);
        let mut on_lines = false;
        for (known, read) in value.shape.children.iter().zip(&value.children) {
            on_lines |= self.children(known, read, depth + 1);
        }
        if on_lines {
            self.new_line(depth);
        }
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// Writes one field; says whether there was anything to write.
    fn children(&mut self, known: &Child, read: &[Value], depth: usize) -> bool {
        if !known.gate.open(self.release) {
            return false;
        }
        let missing;
        let values = match (known.keep, read) {
            (Keep::Always, []) => {
                missing = [Value::new(known.shape)];
                &missing
            }
            (Keep::Filled, [one]) if one.text == zero(known.shape) => return false,
            _ => read,
        };
        for value in values {
            match known.namespace {
                Namespace::Any => self.element(known.name, "", value, depth),
                Namespace::Declared(uri) => self.element(known.name, uri, value, depth),
                Namespace::Qemu => self.element(&format!("{}:{}", QEMU.0, known.name), "", value, depth),
            }
        }
        !values.is_empty()
    }

    fn attribute(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        escape(value, &mut self.out);
        self.out.push('"');
    }

    fn new_line(&mut self, depth: usize) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n('\t', depth));
    }
}

fn zero(shape: &Shape) -> &'static str {
    shape.text.map_or("", Kind::zero)
}

/// `xml.EscapeText`, for text and attribute values alike.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            c => out.push(c),
        }
    }
}
