//! Reading, as Go's `xml.Unmarshal` does.

use super::schema::{Child, Keep, Kind, Namespace, Shape};
use super::{QEMU, ReduceError, Release};
use crate::xml::{Document, Element};

/// A struct with its values.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) shape: &'static Shape,
    pub(super) text: String,
    /// One per attribute of the shape; `None` if it was not there.
    pub(super) attributes: Vec<Option<String>>,
    /// One list per child of the shape.
    pub(super) children: Vec<Vec<Value>>,
}

impl Value {
    /// A struct that nothing was read into.
    pub(super) fn new(shape: &'static Shape) -> Self {
        Self {
            shape,
            text: shape.text.map_or_else(String::new, |kind| kind.zero().to_owned()),
            attributes: shape.attributes.iter().map(|_| None).collect(),
            children: shape.children.iter().map(|_| Vec::new()).collect(),
        }
    }
}

impl Value {
    /// What an attribute holds; nothing if it is not there.
    pub(super) fn attribute(&self, name: &str) -> &str {
        let at = self.shape.attributes.iter().position(|known| known.name == name);
        at.and_then(|at| self.attributes[at].as_deref()).unwrap_or("")
    }

    /// The first child of a name.
    pub(super) fn child(&self, name: &str) -> Option<&Value> {
        let at = self.shape.children.iter().position(|known| known.name == name)?;
        self.children[at].first()
    }
}

impl Kind {
    /// What a field of this kind holds that was never set.
    pub(super) fn zero(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::Uint(_) | Self::Int(_) => "0",
            Self::Bool => "false",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Uint(_) => "a number",
            Self::Int(_) => "a whole number",
            Self::Bool => "true or false",
        }
    }

    /// A value as Go writes it back; `None` if Go cannot read it.
    fn normalize(self, raw: &str) -> Option<String> {
        if self == Self::Text {
            return Some(raw.to_owned());
        }
        if raw.is_empty() {
            return Some(self.zero().to_owned());
        }
        let trimmed = raw.trim();
        match self {
            Self::Text => None,
            Self::Uint(bits) => {
                let digits = trimmed.bytes().all(|b| b.is_ascii_digit());
                let n: u64 = trimmed.parse().ok().filter(|_| digits)?;
                (bits >= 64 || n >> bits == 0).then(|| n.to_string())
            }
            Self::Int(bits) => {
                let n: i64 = trimmed.parse().ok()?;
                (bits >= 64 || i64::from(i32::MIN) <= n && n <= i64::from(i32::MAX)).then(|| n.to_string())
            }
            Self::Bool => match trimmed {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Some("true".to_owned()),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Some("false".to_owned()),
                _ => None,
            },
        }
    }
}

struct Reader<'a> {
    document: &'a Document,
    release: Release,
}

/// Reads the root element by a shape.
pub(super) fn read_root(document: &Document, shape: &'static Shape, release: Release) -> Result<Value, ReduceError> {
    let mut value = Value::new(shape);
    Reader { document, release }.read(document.root(), &mut value)?;
    Ok(value)
}

impl Reader<'_> {
    /// Reads an element into a struct. One that was read before is merged: that is what Go does when an element is there twice.
    fn read(&self, element: Element, value: &mut Value) -> Result<(), ReduceError> {
        for (name, raw) in self.document.attributes(element) {
            let local = name.rsplit_once(':').map_or(name, |(_, local)| local);
            if let Some(i) = value.shape.attributes.iter().position(|known| known.name == local) {
                let kind = value.shape.attributes[i].kind;
                value.attributes[i] = Some(self.typed(element, Some(local), kind, &raw)?);
            }
        }
        if let Some(kind) = value.shape.text {
            value.text = self.typed(element, None, kind, &self.document.text(element))?;
        }
        for child in self.document.children(element) {
            let Some(i) = value.shape.children.iter().position(|known| self.is(child, known)) else {
                continue;
            };
            let known = &value.shape.children[i];
            let list = &mut value.children[i];
            match list.first_mut() {
                Some(first) if known.keep != Keep::Many => self.read(child, first)?,
                _ => {
                    let mut new = Value::new(known.shape);
                    self.read(child, &mut new)?;
                    list.push(new);
                }
            }
        }
        Ok(())
    }

    fn is(&self, element: Element, known: &Child) -> bool {
        let namespace = self.document.namespace(element);
        self.document.local_name(element) == known.name
            && known.gate.open(self.release)
            && match known.namespace {
                Namespace::Any => true,
                Namespace::Declared(uri) => namespace == uri,
                Namespace::Qemu => namespace == QEMU.1,
            }
    }

    fn typed(&self, element: Element, attribute: Option<&str>, kind: Kind, raw: &str) -> Result<String, ReduceError> {
        kind.normalize(raw).ok_or_else(|| {
            let name = self.document.name(element);
            ReduceError::BadValue {
                line: self.document.position(element).map_or(0, |(line, _)| line),
                field: attribute.map_or_else(|| format!("<{name}>"), |attribute| format!("<{name} {attribute}>")),
                value: raw.to_owned(),
                expected: kind.name(),
            }
        })
    }
}
