//! Tokens → span tree, refusing whatever is not well-formed (namespaces included).

use std::ops::Range;

use super::attributes::{RawAttribute, read_tag};
use super::chars::{first_illegal, is_blank, is_name, is_space, prefix_length};
use super::document::{Attr, Document, NO_NODE, Node};
use super::error::XmlError;
use super::escape::{bad_reference, decode_value};
use super::lexer::{Lexer, Token, TokenKind, into_text};
use super::namespaces::{NsId, NsTable, Scope, bad_declaration};
use super::prolog::{check_comment, check_declaration, check_instruction};

/// How much we take, and the one leniency there is.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most bytes of input (4 MiB).
    pub max_bytes: usize,
    /// Deepest nesting of elements (256, as libxml2).
    pub max_depth: usize,
    /// Prefixes that are read as a namespace where they are not declared: (prefix, URI).
    pub undeclared_prefixes: Vec<(&'static str, &'static str)>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 4 << 20, max_depth: 256, undeclared_prefixes: Vec::new() }
    }
}

/// Parses bytes into a document.
pub(super) fn parse(bytes: Vec<u8>, limits: &Limits) -> Result<Document, XmlError> {
    if bytes.len() > limits.max_bytes {
        let message = format!("the input has {} bytes, more than the {} that are read", bytes.len(), limits.max_bytes);
        return Err(XmlError::at(&bytes[..0], 0, message));
    }
    let owned = into_text(bytes)?;
    let text = owned.as_str();
    if let Some(at) = first_illegal(text) {
        let c = text[at..].chars().next().map_or(0, u32::from);
        return Err(XmlError::at(text.as_bytes(), at, format!("the character U+{c:04X} is not allowed in XML")));
    }
    // A tree node for every second '<' at most, an attribute for every '=': one allocation each.
    let (opens, equals) =
        text.bytes().fold((0, 0), |(o, e), b| (o + usize::from(b == b'<'), e + usize::from(b == b'=')));
    let mut parser = Parser {
        text,
        limits,
        nodes: Vec::with_capacity(opens / 2 + 1),
        attrs: Vec::with_capacity(equals),
        namespaces: NsTable::new(),
        scope: Scope::default(),
        stack: Vec::new(),
        raw: Vec::new(),
        root: None,
        undeclared: Vec::new(),
    };
    parser.run()?;
    let Parser { nodes, attrs, namespaces, undeclared, .. } = parser;
    Ok(Document::new(owned, nodes, attrs, namespaces, undeclared))
}

struct Parser<'a> {
    text: &'a str,
    limits: &'a Limits,
    nodes: Vec<Node>,
    attrs: Vec<Attr>,
    namespaces: NsTable,
    scope: Scope<'a>,
    stack: Vec<u32>,
    raw: Vec<RawAttribute>,
    root: Option<u32>,
    undeclared: Vec<String>,
}

impl Parser<'_> {
    fn error(&self, at: usize, message: impl Into<String>) -> XmlError {
        XmlError::at(self.text.as_bytes(), at, message)
    }

    fn run(&mut self) -> Result<(), XmlError> {
        let mut lexer = Lexer::new(self.text);
        let mut start_of_document = 0;
        while let Some(Token { kind, span }) = lexer.next()? {
            match kind {
                TokenKind::Bom => start_of_document = span.end,
                TokenKind::Declaration if span.start == start_of_document => check_declaration(self.text, &span)?,
                TokenKind::Declaration | TokenKind::Instruction => check_instruction(self.text, &span)?,
                TokenKind::Comment => check_comment(self.text, &span)?,
                TokenKind::Doctype => {
                    return Err(
                        self.error(span.start, "a DOCTYPE is not read: entities are a way to attack the reader")
                    );
                }
                TokenKind::Text => self.character_data(&span)?,
                TokenKind::CData if self.stack.is_empty() => {
                    return Err(self.error(span.start, "text outside the root element"));
                }
                TokenKind::CData => {}
                TokenKind::Start => self.open(&span, false)?,
                TokenKind::Empty => self.open(&span, true)?,
                TokenKind::End => self.close(&span)?,
            }
        }
        if let Some(open) = self.stack.last() {
            let node = &self.nodes[*open as usize];
            let message = format!("<{}> is never closed", &self.text[node.name()]);
            return Err(self.error(node.open.0 as usize, message));
        }
        if self.root.is_none() {
            return Err(self.error(self.text.len(), "there is no element in the input"));
        }
        Ok(())
    }

    fn character_data(&self, span: &Range<usize>) -> Result<(), XmlError> {
        let raw = &self.text[span.clone()];
        if self.stack.is_empty() {
            return match raw.bytes().position(|b| !is_space(b)) {
                Some(found) => Err(self.error(span.start + found, "text outside the root element")),
                None => Ok(()),
            };
        }
        if is_blank(raw.as_bytes()) {
            return Ok(());
        }
        if let Some(found) = raw.find("]]>") {
            return Err(self.error(span.start + found, "']]>' is not allowed in text: write ]]&gt;"));
        }
        match bad_reference(raw) {
            Some((found, message)) => Err(self.error(span.start + found, message)),
            None => Ok(()),
        }
    }

    fn open(&mut self, span: &Range<usize>, empty: bool) -> Result<(), XmlError> {
        let mut raw = std::mem::take(&mut self.raw);
        let name = read_tag(self.text, span, &mut raw)?;
        if self.stack.is_empty() && self.root.is_some() {
            let message = format!("<{}> is a second root element", &self.text[name]);
            return Err(self.error(span.start, message));
        }
        let depth = self.stack.len() + 1;
        if depth > self.limits.max_depth {
            return Err(self.error(span.start, format!("elements are nested deeper than {}", self.limits.max_depth)));
        }
        self.declare(&raw, depth)?;
        let (prefix, ns) = self.element_name(&name)?;
        let first_attr = self.attrs.len();
        self.attributes(&raw)?;
        self.raw = raw;
        let id = index(self.nodes.len());
        let parent = self.stack.last().copied().unwrap_or(NO_NODE);
        let close = if empty { (index(span.end), index(span.end)) } else { (0, 0) };
        self.nodes.push(Node {
            parent,
            prev: NO_NODE,
            next: NO_NODE,
            first: NO_NODE,
            last: NO_NODE,
            open: (index(span.start), index(span.end)),
            close,
            name_length: short(name.len()),
            prefix_length: short(prefix),
            ns,
            state: 0,
            attrs: (index(first_attr), index(self.attrs.len())),
        });
        if parent == NO_NODE {
            self.root = Some(id);
        } else {
            self.link(parent, id);
        }
        if empty {
            self.scope.leave(depth);
        } else {
            self.stack.push(id);
        }
        Ok(())
    }

    fn link(&mut self, parent: u32, id: u32) {
        let last = std::mem::replace(&mut self.nodes[parent as usize].last, id);
        if last == NO_NODE {
            self.nodes[parent as usize].first = id;
        } else {
            self.nodes[last as usize].next = id;
            self.nodes[id as usize].prev = last;
        }
    }

    fn declare(&mut self, raw: &[RawAttribute], depth: usize) -> Result<(), XmlError> {
        for attribute in raw {
            let name = &self.text[attribute.name.clone()];
            let prefix = match name.strip_prefix("xmlns") {
                Some("") => "",
                Some(rest) if rest.starts_with(':') => &rest[1..],
                _ => continue,
            };
            if !prefix.is_empty() && (prefix.contains(':') || !is_name(prefix)) {
                return Err(self.error(attribute.name.start, format!("{prefix:?} is not a namespace prefix")));
            }
            let uri = decode_value(&self.text[attribute.value.clone()]);
            if let Some(message) = bad_declaration(prefix, &uri) {
                return Err(self.error(attribute.name.start, message));
            }
            let Some(id) = self.namespaces.intern(&uri) else {
                return Err(self.error(attribute.name.start, "there are too many namespaces"));
            };
            self.scope.declare(prefix, id, depth);
        }
        Ok(())
    }

    fn element_name(&mut self, name: &Range<usize>) -> Result<(usize, NsId), XmlError> {
        let text = &self.text[name.clone()];
        let Some(length) = prefix_length(text) else {
            return Err(self.error(name.start, format!("{text:?} is not a name with a namespace prefix")));
        };
        let prefix = &text[..length];
        if prefix == "xml" {
            // libxml2 would read it, roxmltree would not.
            return Err(self.error(name.start, "the prefix xml is for attributes only"));
        }
        if let Some(id) = self.scope.resolve(prefix) {
            return Ok((length, id));
        }
        if prefix.is_empty() {
            return Ok((0, NsId::NONE));
        }
        let lenient = self.limits.undeclared_prefixes.iter().find(|(known, _)| *known == prefix);
        match lenient.and_then(|(_, uri)| self.namespaces.intern(uri)) {
            Some(id) => {
                if !self.undeclared.iter().any(|known| known == prefix) {
                    self.undeclared.push(prefix.to_owned());
                }
                Ok((length, id))
            }
            None => Err(self.error(name.start, format!("the namespace prefix {prefix} is not declared"))),
        }
    }

    fn attributes(&mut self, raw: &[RawAttribute]) -> Result<(), XmlError> {
        let first = self.attrs.len();
        for attribute in raw {
            let name = &self.text[attribute.name.clone()];
            let at = attribute.name.start;
            let Some(length) = prefix_length(name) else {
                return Err(self.error(at, format!("{name:?} is not an attribute name with a namespace prefix")));
            };
            let prefix = &name[..length];
            let ns = match prefix {
                "" if name == "xmlns" => NsId::XMLNS,
                "" => NsId::NONE,
                "xmlns" => NsId::XMLNS,
                _ => self
                    .scope
                    .resolve(prefix)
                    .ok_or_else(|| self.error(at, format!("the namespace prefix {prefix} is not declared")))?,
            };
            self.attrs.push(Attr {
                name: (index(at), short(name.len())),
                prefix_length: short(length),
                ns,
                value: (index(attribute.value.start), index(attribute.value.end)),
            });
        }
        self.no_duplicates(first)
    }

    /// No two attributes of one element may have the same name, nor the same local name and namespace.
    fn no_duplicates(&self, first: usize) -> Result<(), XmlError> {
        let attrs = &self.attrs[first..];
        let key = |attr: &Attr| (attr.local(self.text), if attr.prefix_length == 0 { 0 } else { 1 }, attr.ns);
        let duplicate = if attrs.len() < 32 {
            attrs.iter().enumerate().find(|(i, attr)| attrs[..*i].iter().any(|other| same(key(other), key(attr))))
        } else {
            let mut seen = std::collections::HashSet::with_capacity(attrs.len());
            attrs.iter().enumerate().find(|(_, attr)| {
                let (local, prefixed, ns) = key(attr);
                !seen.insert((local, prefixed, self.namespaces.uri(ns)))
            })
        };
        match duplicate {
            Some((_, attr)) => {
                let name = &self.text[attr.name_range()];
                Err(self.error(attr.name.0 as usize, format!("the attribute {name} is here twice")))
            }
            None => Ok(()),
        }
    }

    fn close(&mut self, span: &Range<usize>) -> Result<(), XmlError> {
        let raw = &self.text[span.start + 2..span.end - 1];
        let name = raw.trim_end_matches(|c: char| c.is_ascii() && is_space(c as u8));
        let Some(open) = self.stack.pop() else {
            return Err(self.error(span.start, format!("</{name}> closes nothing")));
        };
        let node = &self.nodes[open as usize];
        let expected = &self.text[node.name()];
        if name != expected {
            let line = self.text[..node.open.0 as usize].matches('\n').count() + 1;
            return Err(
                self.error(span.start, format!("</{name}> closes <{expected}>, which was opened in line {line}"))
            );
        }
        self.nodes[open as usize].close = (index(span.start), index(span.end));
        self.scope.leave(self.stack.len() + 1);
        Ok(())
    }
}

fn same(a: (&str, u8, NsId), b: (&str, u8, NsId)) -> bool {
    a == b
}

/// Spans are 32 bits wide: the size limit is far below.
fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Names are limited to 1000 bytes.
fn short(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}
