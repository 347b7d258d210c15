//! Edits → bytes: what was edited becomes sorted, disjoint replacements in the input; the rest is copied.

use std::ops::Range;

use super::chars::{is_blank, is_space};
use super::document::{Document, Element, GONE, MADE, NO_NODE, Node, TOUCHED};
use super::escape::{encode_text, encode_value};

/// One replacement in the input: these bytes are deleted, this text is inserted in their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is deleted (may be empty).
    pub range: Range<usize>,
    /// What is inserted (may be empty).
    pub text: String,
}

impl Document {
    /// The edits so far, sorted and disjoint.
    pub fn edits(&self) -> Vec<Edit> {
        let mut edits = Vec::new();
        if self.node(self.root()).is(TOUCHED) {
            self.collect(self.root(), &mut edits);
        }
        edits
    }

    /// The edited document. Without edits these are the very bytes of the input.
    pub fn to_bytes(&self) -> Vec<u8> {
        let edits = self.edits();
        let grown: usize = edits.iter().map(|edit| edit.text.len()).sum();
        let mut out = Vec::with_capacity(self.text.len() + grown);
        let mut at = 0;
        for edit in &edits {
            out.extend_from_slice(&self.text.as_bytes()[at..edit.range.start]);
            out.extend_from_slice(edit.text.as_bytes());
            at = edit.range.end;
        }
        out.extend_from_slice(&self.text.as_bytes()[at..]);
        out
    }

    /// The edits of an element of the input and of all below it, in order.
    fn collect(&self, element: Element, edits: &mut Vec<Edit>) {
        let node = self.node(element);
        self.collect_attributes(element, node, edits);
        if let Some(text) = self.patches.get(&element.0).and_then(|patch| patch.text.as_deref()) {
            let mut inner = encode_text(text).into_owned();
            let mut children = self.children(element).peekable();
            if children.peek().is_some() && children.all(|child| self.node(child).is(MADE)) {
                self.write_children(element, &mut inner);
            }
            self.replace_content(node, &inner, edits);
            return;
        }
        let mut live = false;
        let mut removed = false;
        let mut child = node.first;
        while child != NO_NODE {
            let node = &self.nodes[child as usize];
            live |= !node.is(GONE);
            removed |= node.is(GONE) && !node.is(MADE);
            child = node.next;
        }
        if !live && removed && self.gaps(node).all(|gap| is_blank(&self.text.as_bytes()[gap])) {
            edits.push(Edit { range: node.content(), text: String::new() });
            return;
        }
        let originals = self.has_originals(node);
        if live && !originals {
            let mut inner = String::new();
            self.write_children(element, &mut inner);
            let blank_lines = !node.closes_itself() && !node.content().is_empty();
            if blank_lines {
                edits.push(Edit { range: node.open.1 as usize..node.open.1 as usize, text: inner });
            } else {
                self.replace_content(node, &inner, edits);
            }
            return;
        }
        self.collect_children(node, edits);
    }

    fn has_originals(&self, node: &Node) -> bool {
        let mut child = node.first;
        while child != NO_NODE {
            if !self.nodes[child as usize].is(MADE) {
                return true;
            }
            child = self.nodes[child as usize].next;
        }
        false
    }

    fn collect_children(&self, node: &Node, edits: &mut Vec<Edit>) {
        let mut anchor = node.open.1 as usize;
        let mut child = node.first;
        while child != NO_NODE {
            let at = &self.nodes[child as usize];
            if at.is(MADE) {
                if !at.is(GONE) {
                    let mut text = String::new();
                    self.write(Element(child), &mut text);
                    edits.push(Edit { range: anchor..anchor, text });
                }
            } else {
                if at.is(GONE) {
                    edits.push(Edit { range: self.lead_start(at)..at.end(), text: String::new() });
                } else if at.is(TOUCHED) {
                    self.collect(Element(child), edits);
                }
                anchor = at.end();
            }
            child = at.next;
        }
    }

    fn collect_attributes(&self, element: Element, node: &Node, edits: &mut Vec<Edit>) {
        let Some(patch) = self.patches.get(&element.0) else {
            return;
        };
        let mut anchor = node.open.0 as usize + 1 + usize::from(node.name_length);
        for attr in &self.attrs[node.attrs.0 as usize..node.attrs.1 as usize] {
            let name = self.slice(attr.name_range());
            let value = attr.value_range();
            let quote = char::from(self.text.as_bytes()[value.start - 1]);
            let end = value.end + 1;
            match patch.attrs.iter().find(|(known, _)| known == name) {
                Some((_, Some(new))) => edits.push(Edit { range: value, text: encode_value(new, quote).into_owned() }),
                Some((_, None)) => {
                    let blank =
                        self.text.as_bytes()[..attr.name.0 as usize].iter().rev().take_while(|b| is_space(**b)).count();
                    edits.push(Edit { range: attr.name.0 as usize - blank..end, text: String::new() });
                }
                None => {}
            }
            anchor = end;
        }
        let quote = if anchor > node.name().end {
            char::from(self.text.as_bytes()[anchor - 1])
        } else {
            self.quote_for_new(element)
        };
        let mut text = String::new();
        for (name, value) in &patch.attrs {
            if let Some(value) = value
                && self.original_attribute(node, name).is_none()
            {
                write_attribute(name, value, quote, &mut text);
            }
        }
        if !text.is_empty() {
            edits.push(Edit { range: anchor..anchor, text });
        }
    }

    fn quote_for_new(&self, element: Element) -> char {
        self.style_for(self.parent(element).unwrap_or(element)).quote
    }

    /// Replaces everything between the tags, opening an element that closes itself.
    fn replace_content(&self, node: &Node, inner: &str, edits: &mut Vec<Edit>) {
        if node.closes_itself() {
            let open = node.open_range();
            let slash = open.end - "/>".len();
            let blank = self.text.as_bytes()[..slash].iter().rev().take_while(|b| is_space(**b)).count();
            let text = format!(">{inner}</{}>", self.slice(node.name()));
            edits.push(Edit { range: slash - blank..open.end, text });
        } else {
            edits.push(Edit { range: node.content(), text: inner.to_owned() });
        }
    }

    /// Writes the live children of an element that are all new, and the white space behind them.
    fn write_children(&self, element: Element, out: &mut String) {
        for child in self.children(element) {
            self.write(child, out);
        }
        out.push_str(self.tail_for(element));
    }

    /// Writes a new element with its white space.
    fn write(&self, element: Element, out: &mut String) {
        let made = self.made(self.node(element));
        out.push_str(&made.lead);
        out.push('<');
        out.push_str(&made.name);
        for (name, value) in &made.attrs {
            write_attribute(name, value, made.quote, out);
        }
        let text = made.text.as_deref().unwrap_or("");
        let has_children = self.children(element).next().is_some();
        if !has_children && text.is_empty() && !made.close_tag {
            out.push_str("/>");
            return;
        }
        out.push('>');
        out.push_str(&encode_text(text));
        if has_children {
            self.write_children(element, out);
        }
        out.push_str("</");
        out.push_str(&made.name);
        out.push('>');
    }
}

fn write_attribute(name: &str, value: &str, quote: char, out: &mut String) {
    out.push(' ');
    out.push_str(name);
    out.push('=');
    out.push(quote);
    out.push_str(&encode_value(value, quote));
    out.push(quote);
}
