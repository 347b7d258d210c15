//! The span tree: elements and attributes as ranges of the original bytes, with what was edited laid over them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::error::XmlError;
use super::escape::{decode_text, decode_value};
use super::namespaces::{NsId, NsTable};
use super::parse::{Limits, parse};

pub(super) const NO_NODE: u32 = u32::MAX;

/// Made by us: `open.0` is an index into `Document::made`.
pub(super) const MADE: u8 = 1;
/// Removed.
pub(super) const GONE: u8 = 2;
/// This element, or one below it, was edited.
pub(super) const TOUCHED: u8 = 4;

/// An element of a [`Document`]. Only meaningful for the document it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Element(pub(super) u32);

/// An element's place in the tree and in the bytes. Kept small: peak memory is promised to stay below eight times the input.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) parent: u32,
    pub(super) prev: u32,
    pub(super) next: u32,
    pub(super) first: u32,
    pub(super) last: u32,
    /// The start tag.
    pub(super) open: (u32, u32),
    /// The end tag; empty behind the start tag if the element closes itself.
    pub(super) close: (u32, u32),
    pub(super) name_length: u16,
    pub(super) prefix_length: u16,
    pub(super) ns: NsId,
    pub(super) state: u8,
    pub(super) attrs: (u32, u32),
}

impl Node {
    pub(super) fn name(&self) -> Range<usize> {
        let start = self.open.0 as usize + 1;
        start..start + usize::from(self.name_length)
    }

    pub(super) fn open_range(&self) -> Range<usize> {
        self.open.0 as usize..self.open.1 as usize
    }

    pub(super) fn content(&self) -> Range<usize> {
        self.open.1 as usize..self.close.0 as usize
    }

    pub(super) fn end(&self) -> usize {
        self.close.1 as usize
    }

    pub(super) fn closes_itself(&self) -> bool {
        self.close.0 == self.close.1
    }

    pub(super) fn is(&self, state: u8) -> bool {
        self.state & state != 0
    }
}

#[derive(Debug, Clone)]
pub(super) struct Attr {
    pub(super) name: (u32, u16),
    pub(super) prefix_length: u16,
    pub(super) ns: NsId,
    pub(super) value: (u32, u32),
}

impl Attr {
    pub(super) fn name_range(&self) -> Range<usize> {
        self.name.0 as usize..self.name.0 as usize + usize::from(self.name.1)
    }

    pub(super) fn value_range(&self) -> Range<usize> {
        self.value.0 as usize..self.value.1 as usize
    }

    pub(super) fn local<'a>(&self, text: &'a str) -> &'a str {
        let name = &text[self.name_range()];
        if self.prefix_length == 0 { name } else { &name[usize::from(self.prefix_length) + 1..] }
    }
}

/// An element that we made.
#[derive(Debug, Clone, Default)]
pub(super) struct Made {
    /// Qualified name as it will be written.
    pub(super) name: String,
    pub(super) attrs: Vec<(String, String)>,
    pub(super) text: Option<String>,
    /// White space before it, as its siblings have it (may be empty).
    pub(super) lead: String,
    /// Closed by a tag of its own when empty, as its siblings are.
    pub(super) close_tag: bool,
    pub(super) quote: char,
}

/// What was edited in an element of the input.
#[derive(Debug, Clone, Default)]
pub(super) struct Patch {
    /// Attribute name → new value, `None` for removed.
    pub(super) attrs: Vec<(String, Option<String>)>,
    pub(super) text: Option<String>,
}

/// A parsed document and the edits laid over it. Reading always shows the edited state.
#[derive(Debug, Clone)]
pub struct Document {
    pub(super) text: String,
    pub(super) nodes: Vec<Node>,
    pub(super) attrs: Vec<Attr>,
    pub(super) namespaces: NsTable,
    pub(super) made: Vec<Made>,
    pub(super) patches: HashMap<u32, Patch>,
    undeclared: Vec<String>,
}

impl Document {
    /// Parses bytes, or says with line and column why they are not a document.
    pub fn parse(bytes: impl Into<Vec<u8>>, limits: &Limits) -> Result<Self, XmlError> {
        parse(bytes.into(), limits)
    }

    pub(super) fn new(
        text: String,
        nodes: Vec<Node>,
        attrs: Vec<Attr>,
        namespaces: NsTable,
        undeclared: Vec<String>,
    ) -> Self {
        Self { text, nodes, attrs, namespaces, made: Vec::new(), patches: HashMap::new(), undeclared }
    }

    /// The bytes it was parsed from.
    pub fn source(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Prefixes that were used without being declared, and let through by [`Limits::undeclared_prefixes`].
    pub fn undeclared_prefixes(&self) -> &[String] {
        &self.undeclared
    }

    pub(super) fn slice(&self, range: Range<usize>) -> &str {
        &self.text[range]
    }

    pub(super) fn node(&self, element: Element) -> &Node {
        &self.nodes[element.0 as usize]
    }

    pub(super) fn made(&self, node: &Node) -> &Made {
        &self.made[node.open.0 as usize]
    }

    /// The root element.
    pub fn root(&self) -> Element {
        Element(0)
    }

    /// The parent, `None` for the root.
    pub fn parent(&self, element: Element) -> Option<Element> {
        let parent = self.node(element).parent;
        (parent != NO_NODE).then_some(Element(parent))
    }

    /// The child elements in order.
    pub fn children(&self, element: Element) -> impl Iterator<Item = Element> + '_ {
        let mut at = self.node(element).first;
        std::iter::from_fn(move || {
            while at != NO_NODE {
                let node = &self.nodes[at as usize];
                let id = at;
                at = node.next;
                if !node.is(GONE) {
                    return Some(Element(id));
                }
            }
            None
        })
    }

    /// The child elements of a local name, in no namespace.
    pub fn children_named<'a>(&'a self, element: Element, name: &'a str) -> impl Iterator<Item = Element> + 'a {
        self.children(element).filter(move |child| self.is(*child, "", name))
    }

    /// The first child element of a local name, in no namespace.
    pub fn child(&self, element: Element, name: &str) -> Option<Element> {
        self.children(element).find(|child| self.is(*child, "", name))
    }

    /// The element at a path of local names below another, in no namespace; the first of each.
    pub fn descend(&self, element: Element, path: &[&str]) -> Option<Element> {
        path.iter().try_fold(element, |at, name| self.child(at, name))
    }

    /// Whether an element has this namespace (empty for none) and local name.
    pub fn is(&self, element: Element, namespace: &str, local: &str) -> bool {
        self.local_name(element) == local && self.namespace(element) == namespace
    }

    /// The qualified name as it is written.
    pub fn name(&self, element: Element) -> &str {
        let node = self.node(element);
        if node.is(MADE) { &self.made(node).name } else { self.slice(node.name()) }
    }

    /// The name without its prefix.
    pub fn local_name(&self, element: Element) -> &str {
        let prefix = usize::from(self.node(element).prefix_length);
        let name = self.name(element);
        if prefix == 0 { name } else { &name[prefix + 1..] }
    }

    /// The namespace URI, empty for none.
    pub fn namespace(&self, element: Element) -> &str {
        self.namespaces.uri(self.node(element).ns)
    }

    /// Whether the element is still in the document.
    pub fn is_attached(&self, element: Element) -> bool {
        let mut at = Some(element);
        while let Some(element) = at {
            if self.node(element).is(GONE) {
                return false;
            }
            at = self.parent(element);
        }
        true
    }

    /// The value of an attribute in no namespace, references resolved.
    pub fn attribute(&self, element: Element, name: &str) -> Option<Cow<'_, str>> {
        let node = self.node(element);
        if node.is(MADE) {
            let made = self.made(node);
            return made.attrs.iter().find(|(known, _)| known == name).map(|(_, value)| Cow::Borrowed(value.as_str()));
        }
        if node.is(TOUCHED)
            && let Some(patch) = self.patches.get(&element.0)
            && let Some((_, value)) = patch.attrs.iter().find(|(known, _)| known == name)
        {
            return value.as_deref().map(Cow::Borrowed);
        }
        let attr = self.original_attribute(node, name)?;
        Some(decode_value(self.slice(attr.value_range())))
    }

    /// An attribute of the input by its written name (`xmlns:…` too).
    pub(super) fn original_attribute(&self, node: &Node, name: &str) -> Option<&Attr> {
        let attrs = &self.attrs[node.attrs.0 as usize..node.attrs.1 as usize];
        attrs.iter().find(|attr| self.text[attr.name_range()] == *name)
    }

    /// All attributes as written name and value, in order, namespace declarations included.
    pub fn attributes(&self, element: Element) -> Vec<(&str, Cow<'_, str>)> {
        let node = self.node(element);
        if node.is(MADE) {
            return self
                .made(node)
                .attrs
                .iter()
                .map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str())))
                .collect();
        }
        let patch = self.patches.get(&element.0);
        let patched = |name: &str| patch.and_then(|patch| patch.attrs.iter().find(|(known, _)| known == name));
        let mut out = Vec::new();
        for attr in &self.attrs[node.attrs.0 as usize..node.attrs.1 as usize] {
            let name = self.slice(attr.name_range());
            match patched(name) {
                Some((_, Some(value))) => out.push((name, Cow::Borrowed(value.as_str()))),
                Some((_, None)) => {}
                None => out.push((name, decode_value(self.slice(attr.value_range())))),
            }
        }
        for (name, value) in patch.iter().flat_map(|patch| &patch.attrs) {
            if let Some(value) = value
                && self.original_attribute(node, name).is_none()
            {
                out.push((name, Cow::Borrowed(value.as_str())));
            }
        }
        out
    }

    /// The character data of an element itself (not of its children), references and CDATA resolved.
    pub fn text(&self, element: Element) -> Cow<'_, str> {
        let node = self.node(element);
        if node.is(MADE) {
            return Cow::Borrowed(self.made(node).text.as_deref().unwrap_or(""));
        }
        if let Some(text) = self.patches.get(&element.0).and_then(|patch| patch.text.as_deref()) {
            return Cow::Borrowed(text);
        }
        if node.first == NO_NODE {
            let raw = self.slice(node.content());
            if !raw.contains('<') {
                return decode_text(raw);
            }
        }
        Cow::Owned(self.gaps(node).map(|gap| own_text(self.slice(gap))).collect())
    }

    /// The stretches of an element's content between its child elements.
    pub(super) fn gaps<'a>(&'a self, node: &Node) -> impl Iterator<Item = Range<usize>> + 'a {
        let content = node.content();
        let mut at = Some(content.start);
        let mut child = node.first;
        std::iter::from_fn(move || {
            let start = at?;
            while child != NO_NODE && self.nodes[child as usize].is(MADE) {
                child = self.nodes[child as usize].next;
            }
            if child == NO_NODE {
                at = None;
                return Some(start..content.end);
            }
            let node = &self.nodes[child as usize];
            child = node.next;
            at = Some(node.end());
            Some(start..node.open.0 as usize)
        })
    }

    /// The bytes of the input that an element takes; `None` for one we made.
    pub fn span(&self, element: Element) -> Option<Range<usize>> {
        let node = self.node(element);
        (!node.is(MADE)).then(|| node.open.0 as usize..node.end())
    }

    /// Line and column (in characters) where an element of the input starts; `None` for one we made.
    pub fn position(&self, element: Element) -> Option<(usize, usize)> {
        let node = self.node(element);
        (!node.is(MADE)).then(|| {
            let place = XmlError::at(self.text.as_bytes(), node.open.0 as usize, "");
            (place.line(), place.column())
        })
    }

    /// The namespace URI bound to a written prefix at an element.
    pub(super) fn binding(&self, element: Element, prefix: &str) -> Option<String> {
        let name = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
        let mut at = Some(element);
        while let Some(element) = at {
            if let Some(uri) = self.attribute(element, &name) {
                return Some(uri.into_owned());
            }
            at = self.parent(element);
        }
        None
    }

    pub(super) fn ns_id(&mut self, uri: &str) -> NsId {
        self.namespaces.intern(uri).unwrap_or(NsId::NONE)
    }
}

/// Character data of a stretch of content that holds comments, instructions and CDATA but no elements.
fn own_text(raw: &str) -> String {
    let mut out = String::new();
    let mut rest = raw;
    while let Some(start) = rest.find('<') {
        out.push_str(&decode_text(&rest[..start]));
        let markup = &rest[start..];
        let (skip, end) = match markup {
            m if m.starts_with("<![CDATA[") => ("<![CDATA[".len(), "]]>"),
            m if m.starts_with("<!--") => ("<!--".len(), "-->"),
            _ => ("<?".len(), "?>"),
        };
        let Some(length) = markup[skip..].find(end) else {
            return out;
        };
        if end == "]]>" {
            out.push_str(&markup[skip..skip + length].replace("\r\n", "\n").replace('\r', "\n"));
        }
        rest = &markup[skip + length + end.len()..];
    }
    out.push_str(&decode_text(rest));
    out
}
