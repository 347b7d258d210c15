//! YAML text to one tree in which every key and value knows its place.
//!
//! Only `true` and `false` are booleans (YAML 1.2), so `on`, `off`, `yes` and `no` stay the words they are. A scalar keeps the text
//! that was written: `0x10` is the number 16 where a number is wanted and `0x10` where a text is.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};

use super::problems::{Place, Problems, Source};

/// Longest YAML text taken, in bytes: what etcd stores for one object, and far more than a profile needs.
const MAX_BYTES: usize = 1 << 20;

/// How deep lists and maps may nest; a profile needs five.
const MAX_DEPTH: usize = 32;

/// Most documents of one text, where there may be several.
const MAX_DOCUMENTS: usize = 1000;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A single value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map; keys are unique.
    Map(Vec<(Key, Node)>),
}

/// A key of a map and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    /// Where it begins.
    pub place: Place,
    /// Its text.
    pub name: String,
}

/// A single value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    /// As written, without quotes.
    pub text: String,
    /// What YAML takes it for.
    pub kind: ScalarKind,
}

/// What YAML takes a scalar for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum ScalarKind {
    /// `true` or `false`, not quoted.
    Bool(bool),
    /// A whole number, not quoted, in any base.
    Integer(i128),
    /// Another number, not quoted.
    Float,
    /// Anything else, and everything quoted.
    Text,
}

impl Value {
    /// For messages: what was found, with its value if that is short.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Scalar(scalar) => quote(&scalar.text),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
        }
    }
}

impl Node {
    /// The value of a key, if this is a map that has it.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }
}

/// A text in quotes, cut if it is long: what a person wrote may be anything.
pub(crate) fn quote(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() > SHOWN {
        let start: String = text.chars().take(SHOWN).collect();
        format!("{:?}", format!("{start}…"))
    } else {
        format!("{text:?}")
    }
}

/// Reads one YAML document. A syntax error, a duplicate key, a merge key, a second document or too much of anything is one problem
/// that stands alone, with line and column.
pub(crate) fn parse(source: &Arc<Source>, text: &str) -> Result<Node, Problems> {
    fits(source, text)?;
    serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options(2))
        .map(|raw| node(source, text, raw))
        .map_err(|error| problem(source, &error))
}

/// Reads all YAML documents of a text, by the same rules; empty ones are left out.
pub(crate) fn documents(source: &Arc<Source>, text: &str) -> Result<Vec<Node>, Problems> {
    fits(source, text)?;
    let raw = serde_saphyr::from_multiple_with_options::<Spanned<Raw>>(text, options(MAX_DOCUMENTS))
        .map_err(|error| problem(source, &error))?;
    let nodes = raw.into_iter().map(|raw| node(source, text, raw));
    Ok(nodes.filter(|node| node.value != Value::Null).collect())
}

fn fits(source: &Arc<Source>, text: &str) -> Result<(), Problems> {
    if text.len() <= MAX_BYTES {
        return Ok(());
    }
    let message = format!("{} bytes are too many: at most {MAX_BYTES} are read", text.len());
    Err(Problems::one(Place::whole(source), message))
}

fn options(max_documents: usize) -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_documents: max_documents,
            max_nodes: 50_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        strict_booleans: true,
        ignore_binary_tag_for_string: true,
        with_snippet: false,
    }
}

fn problem(source: &Arc<Source>, error: &serde_saphyr::Error) -> Problems {
    let place = error.location().map_or_else(|| Place::whole(source), |at| Place::at(source, at.line(), at.column()));
    Problems::one(place, syntax_message(error))
}

/// The parser's words without the place, which stands in front of the message.
fn syntax_message(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    match error.without_snippet() {
        Error::MultipleDocuments { .. } => "a second YAML document begins here: only one is taken".to_owned(),
        Error::DuplicateMappingKey { key, .. } => key.as_ref().map_or_else(
            || "this key stands here for the second time".to_owned(),
            |key| format!("the key {} stands here for the second time", quote(key)),
        ),
        Error::Budget { .. } => "nested too deep, or too many values: no document of ours has so much".to_owned(),
        Error::MergeKeyNotAllowed { .. } => "merge keys (<<) are not taken: write the fields out".to_owned(),
        other => {
            let shown = other.to_string();
            let first = shown.lines().next().unwrap_or_default();
            let cut = first.find(" at line ").unwrap_or(first.len());
            format!("not valid YAML: {}", &first[..cut])
        }
    }
}

/// The tree as the parser hands it out.
enum Raw {
    Null,
    Scalar(String, ScalarKind),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn node(source: &Arc<Source>, text: &str, raw: Spanned<Raw>) -> Node {
    let place = Place::at(source, raw.referenced.line(), raw.referenced.column());
    let written = raw.defined.span();
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Scalar(value, ScalarKind::Text) => Value::Scalar(Scalar { text: value, kind: ScalarKind::Text }),
        Raw::Scalar(value, kind) => {
            let text = as_written(text, written, kind).unwrap_or(value);
            Value::Scalar(Scalar { text, kind })
        }
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(source, text, item)).collect()),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let place = Place::at(source, key.referenced.line(), key.referenced.column());
                    let name = key.value;
                    (Key { place, name }, node(source, text, value))
                })
                .collect(),
        ),
    };
    Node { place, value }
}

/// The bytes a number or boolean was written with, if the parser's span holds just these.
fn as_written(text: &str, span: serde_saphyr::Span, kind: ScalarKind) -> Option<String> {
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let len = usize::try_from(span.byte_len()?).ok()?;
    let written = text.get(start..start.checked_add(len)?)?.trim();
    let plain = !written.is_empty()
        && match kind {
            ScalarKind::Bool(_) => written.bytes().all(|b| b.is_ascii_alphabetic()),
            _ => written.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b)),
        };
    plain.then(|| written.to_owned())
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string(), ScalarKind::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string(), ScalarKind::Integer(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string(), ScalarKind::Integer(value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_string(), ScalarKind::Float))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(value.to_owned(), ScalarKind::Text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Arc<Source> {
        Arc::new(Source::File { label: "x.yaml".into(), origin: "profile x.yaml".into() })
    }

    fn scalar(text: &str) -> Scalar {
        let node = parse(&source(), &format!("k: {text}\n")).unwrap();
        match &node.get("k").unwrap().value {
            Value::Scalar(scalar) => scalar.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn scalars_keep_their_text() {
        for (yaml, text, kind) in [
            ("on", "on", ScalarKind::Text),
            ("no", "no", ScalarKind::Text),
            ("True", "True", ScalarKind::Bool(true)),
            ("\"true\"", "true", ScalarKind::Text),
            ("0x10", "0x10", ScalarKind::Integer(16)),
            ("0o17", "0o17", ScalarKind::Integer(15)),
            ("0123", "0123", ScalarKind::Float),
            ("1e3", "1e3", ScalarKind::Float),
            ("1.50", "1.50", ScalarKind::Float),
            ("-7", "-7", ScalarKind::Integer(-7)),
            ("'12'", "12", ScalarKind::Text),
            ("64Mi", "64Mi", ScalarKind::Text),
            ("0000:3b:00.0", "0000:3b:00.0", ScalarKind::Text),
            ("\"null\"", "null", ScalarKind::Text),
            ("&a 0x1f", "0x1f", ScalarKind::Integer(31)),
            ("!!int 3", "3", ScalarKind::Integer(3)),
            ("18446744073709551615", "18446744073709551615", ScalarKind::Integer(u64::MAX.into())),
        ] {
            let scalar = scalar(yaml);
            assert_eq!((scalar.text.as_str(), scalar.kind), (text, kind), "{yaml}");
        }
    }

    #[test]
    fn an_alias_stands_where_it_is_used() {
        let node = parse(&source(), "a: &x 0x1f\nb: *x\n").unwrap();
        let b = node.get("b").unwrap();
        assert_eq!(b.place.at, Some((2, 4)));
        assert!(matches!(&b.value, Value::Scalar(s) if s.text == "0x1f"), "{b:?}");
    }

    #[test]
    fn a_syntax_error_stands_alone() {
        for (yaml, place) in [
            ("a: [1\nb: 2\n", "x.yaml:2:2"),
            ("a: 1\na: 2\n", "x.yaml:2:1"),
            ("a: 1\n---\nb: 2\n", "x.yaml:3:1"),
            ("a: &x {b: 1}\nc: {<<: *x}\n", "x.yaml:2:5"),
            ("a: *x\n", "x.yaml:1:4"),
            ("? [a]\n: 1\n", "x.yaml:1:3"),
            ("a:\n\t- b\n", "x.yaml:2:2"),
        ] {
            let problems = parse(&source(), yaml).unwrap_err();
            assert_eq!(problems.0.len(), 1);
            assert_eq!(problems.0[0].place.to_string(), place, "{problems}");
        }
    }

    #[test]
    fn too_much_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let aliases = vec![format!("*a{}", i - 1); 8].join(", ");
            bomb += &format!("a{i}: &a{i} [{aliases}]\n");
        }
        let wide = "- x\n".repeat(100_000);
        for text in ["[".repeat(100), "- ".repeat(100), " ".repeat(MAX_BYTES + 1), bomb, wide] {
            let problems = parse(&source(), &text).unwrap_err();
            assert_eq!(problems.0.len(), 1);
            assert!(problems.to_string().len() < 200, "{problems}");
            println!("{problems}");
        }
    }
}
