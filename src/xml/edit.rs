//! Changing a document: attributes, text, new elements, removed elements. Each edit says whether it changed anything.

use super::document::{Document, Element, GONE, MADE, Made, NO_NODE, Node, TOUCHED};
use super::namespaces::NsId;

impl Document {
    /// Sets an attribute in no namespace (or a declaration, by its written name). Returns whether anything changed.
    pub fn set_attribute(&mut self, element: Element, name: &str, value: &str) -> bool {
        if self.attribute(element, name).as_deref() == Some(value) {
            return false;
        }
        self.put_attribute(element, name, Some(value));
        true
    }

    /// Removes an attribute. Returns whether it was there.
    pub fn remove_attribute(&mut self, element: Element, name: &str) -> bool {
        if self.attribute(element, name).is_none() {
            return false;
        }
        self.put_attribute(element, name, None);
        true
    }

    fn put_attribute(&mut self, element: Element, name: &str, value: Option<&str>) {
        let node = self.node(element);
        if node.is(MADE) {
            let index = node.open.0 as usize;
            let attrs = &mut self.made[index].attrs;
            let known = attrs.iter().position(|(known, _)| known == name);
            match (known, value) {
                (Some(i), Some(value)) => value.clone_into(&mut attrs[i].1),
                (Some(i), None) => drop(attrs.remove(i)),
                (None, Some(value)) => attrs.push((name.to_owned(), value.to_owned())),
                (None, None) => {}
            }
            return;
        }
        let original = self
            .original_attribute(node, name)
            .map(|attr| super::escape::decode_value(self.slice(attr.value_range())).into_owned());
        let patch = self.patches.entry(element.0).or_default();
        patch.attrs.retain(|(known, _)| known != name);
        // Back to what the input says: then there is nothing to write.
        if original.as_deref() != value {
            patch.attrs.push((name.to_owned(), value.map(str::to_owned)));
        }
        self.touch(element);
    }

    /// Sets the character data of an element that has no child elements. Returns whether anything changed.
    pub fn set_text(&mut self, element: Element, text: &str) -> bool {
        if self.text(element) == text {
            return false;
        }
        let node = self.node(element);
        if node.is(MADE) {
            let index = node.open.0 as usize;
            self.made[index].text = Some(text.to_owned());
        } else {
            self.patches.entry(element.0).or_default().text = Some(text.to_owned());
            self.touch(element);
        }
        true
    }

    /// Appends a child element in no namespace behind the last child element.
    pub fn append(&mut self, parent: Element, name: &str) -> Element {
        self.insert(parent, None, name, NsId::NONE)
    }

    /// Inserts a sibling in no namespace right behind an element.
    pub fn insert_after(&mut self, sibling: Element, name: &str) -> Element {
        let parent = self.parent(sibling).unwrap_or(sibling);
        self.insert(parent, Some(sibling), name, NsId::NONE)
    }

    /// Appends a child element in a namespace, with a prefix that is in scope there, else one declared on the root
    /// (`prefix`, or the first free one made of it).
    pub fn append_in(&mut self, parent: Element, namespace: &str, prefix: &str, name: &str) -> Element {
        let ns = self.ns_id(namespace);
        let prefix = self.prefix_for(parent, namespace).unwrap_or_else(|| self.declare(parent, namespace, prefix));
        let qualified = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}:{name}") };
        self.insert(parent, None, &qualified, ns)
    }

    /// A prefix (maybe empty) that means this namespace at an element.
    fn prefix_for(&self, element: Element, namespace: &str) -> Option<String> {
        let mut at = Some(element);
        while let Some(declaring) = at {
            for (name, uri) in self.attributes(declaring) {
                let prefix = match name.strip_prefix("xmlns") {
                    Some("") => "",
                    Some(rest) if rest.starts_with(':') => &rest[1..],
                    _ => continue,
                };
                if uri == namespace && self.binding(element, prefix).as_deref() == Some(namespace) {
                    return Some(prefix.to_owned());
                }
            }
            at = self.parent(declaring);
        }
        None
    }

    /// Declares a namespace on the root under a prefix that is free from there down to `scope`; returns the prefix.
    fn declare(&mut self, scope: Element, namespace: &str, prefix: &str) -> String {
        let mut free = prefix.to_owned();
        let mut n = 1;
        while self.binding(scope, &free).is_some() || self.binding(self.root(), &free).is_some() {
            n += 1;
            free = format!("{prefix}{n}");
        }
        self.set_attribute(self.root(), &format!("xmlns:{free}"), namespace);
        free
    }

    fn insert(&mut self, parent: Element, after: Option<Element>, name: &str, ns: NsId) -> Element {
        let style = after.map_or_else(|| self.style_for(parent), |sibling| self.style_beside(sibling, parent));
        // Below a default namespace a bare name would be in it.
        let undeclare = ns == NsId::NONE && self.binding(parent, "").is_some_and(|uri| !uri.is_empty());
        let attrs = if undeclare { vec![("xmlns".to_owned(), String::new())] } else { Vec::new() };
        let made = u32::try_from(self.made.len()).unwrap_or(u32::MAX);
        self.made.push(Made {
            name: name.to_owned(),
            attrs,
            text: None,
            lead: style.lead,
            close_tag: style.close_tag,
            quote: style.quote,
        });
        let id = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let last = self.node(parent).last;
        let prev = after.map_or(last, |element| element.0);
        let next = if prev == NO_NODE { NO_NODE } else { self.nodes[prev as usize].next };
        self.nodes.push(Node {
            parent: parent.0,
            prev,
            next,
            first: NO_NODE,
            last: NO_NODE,
            open: (made, made),
            close: (made, made),
            name_length: 0,
            prefix_length: name
                .split_once(':')
                .map_or(0, |(prefix, _)| u16::try_from(prefix.len()).unwrap_or(u16::MAX)),
            ns,
            state: MADE,
            attrs: (0, 0),
        });
        match prev {
            NO_NODE => self.nodes[parent.0 as usize].first = id,
            prev => self.nodes[prev as usize].next = id,
        }
        match next {
            NO_NODE => self.nodes[parent.0 as usize].last = id,
            next => self.nodes[next as usize].prev = id,
        }
        self.touch(parent);
        Element(id)
    }

    /// Removes an element with its own white space. The root cannot be removed.
    pub fn remove(&mut self, element: Element) {
        let Some(parent) = self.parent(element) else {
            return;
        };
        let node = self.node(element);
        if node.is(MADE) {
            // Nothing of it is in the input: unlink it, so that it does not keep its parent open.
            let (prev, next) = (node.prev, node.next);
            match prev {
                NO_NODE => self.nodes[parent.0 as usize].first = next,
                prev => self.nodes[prev as usize].next = next,
            }
            match next {
                NO_NODE => self.nodes[parent.0 as usize].last = prev,
                next => self.nodes[next as usize].prev = prev,
            }
        }
        self.nodes[element.0 as usize].state |= GONE;
        self.touch(parent);
    }

    /// Marks an element and all above it, so that rendering finds it.
    fn touch(&mut self, element: Element) {
        let mut at = element.0;
        while at != NO_NODE && !self.nodes[at as usize].is(TOUCHED) {
            self.nodes[at as usize].state |= TOUCHED;
            at = self.nodes[at as usize].parent;
        }
    }
}
