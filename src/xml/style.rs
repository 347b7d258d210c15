//! How new elements look: indentation, quotes and empty elements as their siblings have them.

use super::chars::is_space;
use super::document::{Document, Element, MADE, NO_NODE, Node};

/// The look of a new child element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Style {
    /// White space before it.
    pub(super) lead: String,
    /// `<x></x>` instead of `<x/>`.
    pub(super) close_tag: bool,
    /// Quote of attribute values.
    pub(super) quote: char,
}

impl Document {
    /// The look of a new child of an element.
    pub(super) fn style_for(&self, parent: Element) -> Style {
        Style { lead: self.child_lead(parent), close_tag: self.closes_with_tag(parent), quote: self.quote_near(parent) }
    }

    /// The look of a new element right behind a sibling: that of the sibling, as far as it shows.
    pub(super) fn style_beside(&self, sibling: Element, parent: Element) -> Style {
        let node = self.node(sibling);
        if node.is(MADE) {
            let made = self.made(node);
            return Style { lead: made.lead.clone(), close_tag: made.close_tag, quote: made.quote };
        }
        let style = self.style_for(parent);
        let empty = |node: &Node| node.first == NO_NODE && node.content().is_empty();
        let mut below = node.first;
        let mut shown = empty(node).then(|| !node.closes_itself());
        while shown.is_none() && below != NO_NODE {
            let child = &self.nodes[below as usize];
            shown = (!child.is(MADE) && empty(child)).then(|| !child.closes_itself());
            below = child.next;
        }
        let attr = (node.attrs.0 < node.attrs.1).then(|| &self.attrs[node.attrs.0 as usize]);
        Style {
            lead: self.lead(sibling).to_owned(),
            close_tag: shown.unwrap_or(style.close_tag),
            quote: attr.map_or(style.quote, |attr| char::from(self.text.as_bytes()[attr.value.0 as usize - 1])),
        }
    }

    /// The line break and indentation before an element; empty if it does not stand at the start of a line.
    pub(super) fn lead(&self, element: Element) -> &str {
        let node = self.node(element);
        if node.is(MADE) {
            return &self.made(node).lead;
        }
        let end = node.open.0 as usize;
        let start = self.lead_start(node);
        let lead = self.slice(start..end);
        if lead.contains('\n') { lead } else { "" }
    }

    /// Where the white space of an element of the input begins: at the line break before it, or, within a line, behind the markup
    /// before it. White space behind text belongs to the text.
    pub(super) fn lead_start(&self, node: &Node) -> usize {
        let end = node.open.0 as usize;
        let blank = self.text.as_bytes()[..end].iter().rev().take_while(|b| is_space(**b)).count();
        let run = end - blank;
        let before = &self.text.as_bytes()[..run];
        if run > 0 && (!before.ends_with(b">") || before.ends_with(b"]]>")) {
            return end;
        }
        match self.text.as_bytes()[run..end].iter().rposition(|b| *b == b'\n') {
            Some(at) if at > 0 && self.text.as_bytes()[run + at - 1] == b'\r' => run + at - 1,
            Some(at) => run + at,
            None => run,
        }
    }

    /// White space before a new child: that of its nearest sibling, else one step deeper than its parent.
    fn child_lead(&self, parent: Element) -> String {
        let node = self.node(parent);
        // Removed siblings show the style too.
        if node.last != NO_NODE {
            return self.lead(Element(node.last)).to_owned();
        }
        let outer = self.lead(parent);
        let holds_text = !node.is(MADE) && !super::chars::is_blank(self.text[node.content()].as_bytes());
        if holds_text || (outer.is_empty() && self.parent(parent).is_some()) {
            return String::new();
        }
        if outer.is_empty() {
            // The root itself, with nothing in it.
            return String::new();
        }
        format!("{outer}{}", self.indent_unit())
    }

    /// One step of indentation: that of the first element below the root that stands on its own line.
    fn indent_unit(&self) -> &str {
        let first = self.node(self.root()).first;
        if first == NO_NODE || self.nodes[first as usize].is(MADE) {
            return "  ";
        }
        let lead = self.lead(Element(first));
        let indent = lead.trim_start_matches(['\r', '\n']);
        if indent.is_empty() { "  " } else { indent }
    }

    /// White space between the last child and the end tag of an element that had no child elements before.
    pub(super) fn tail_for(&self, parent: Element) -> &str {
        let node = self.node(parent);
        if !node.is(MADE) && self.text.as_bytes()[node.content()].contains(&b'\n') {
            return "";
        }
        let first = node.first;
        let on_lines = first != NO_NODE && self.lead(Element(first)).contains('\n');
        if on_lines { self.lead(parent) } else { "" }
    }

    /// Whether empty elements near here have an end tag: the siblings decide, then their children, then the whole document.
    fn closes_with_tag(&self, parent: Element) -> bool {
        let empty_style = |node: &Node| {
            let empty = !node.is(MADE) && node.first == NO_NODE && node.content().is_empty();
            empty.then(|| !node.closes_itself())
        };
        if self.node(parent).is(MADE) {
            return self.made(self.node(parent)).close_tag;
        }
        let mut sibling = self.node(parent).last;
        let mut looked_at = 0;
        while sibling != NO_NODE && looked_at < 16 {
            let node = &self.nodes[sibling as usize];
            let below = (node.last != NO_NODE).then(|| &self.nodes[node.last as usize]);
            if let Some(style) = empty_style(node).or_else(|| below.and_then(empty_style)) {
                return style;
            }
            sibling = node.prev;
            looked_at += 1;
        }
        self.nodes.iter().find_map(empty_style).unwrap_or(false)
    }

    /// The quote of the nearest attribute: of the siblings, of the parent, else of the document.
    fn quote_near(&self, parent: Element) -> char {
        let quote = |node: &Node| {
            let has = !node.is(MADE) && node.attrs.0 < node.attrs.1;
            has.then(|| &self.attrs[node.attrs.0 as usize])
                .map(|attr| char::from(self.text.as_bytes()[attr.value.0 as usize - 1]))
        };
        let node = self.node(parent);
        if node.is(MADE) {
            return self.made(node).quote;
        }
        let last = (node.last != NO_NODE).then(|| &self.nodes[node.last as usize]);
        let sibling = last.and_then(|last| if last.is(MADE) { Some(self.made(last).quote) } else { quote(last) });
        sibling.or_else(|| quote(node)).or_else(|| self.nodes.iter().find_map(quote)).unwrap_or('\'')
    }
}
