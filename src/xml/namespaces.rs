//! Namespaces: a table of the URIs of a document, and the declarations in scope while it is parsed.

/// The URI of `xml:`.
pub(super) const XML_URI: &str = "http://www.w3.org/XML/1998/namespace";
/// The URI of `xmlns`.
pub(super) const XMLNS_URI: &str = "http://www.w3.org/2000/xmlns/";

/// Most namespaces a document may use; roxmltree stops at 65 535.
const MAX_URIS: usize = 4096;

/// Number of a namespace in the table of its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NsId(u16);

impl NsId {
    /// No namespace.
    pub(super) const NONE: Self = Self(0);
    /// Namespace declarations.
    pub(super) const XMLNS: Self = Self(1);
    /// `xml:`.
    pub(super) const XML: Self = Self(2);
}

/// The URIs of a document.
#[derive(Debug, Clone)]
pub(super) struct NsTable(Vec<String>);

impl NsTable {
    pub(super) fn new() -> Self {
        Self(vec![String::new(), XMLNS_URI.to_owned(), XML_URI.to_owned()])
    }

    pub(super) fn uri(&self, id: NsId) -> &str {
        &self.0[usize::from(id.0)]
    }

    pub(super) fn find(&self, uri: &str) -> Option<NsId> {
        self.0.iter().position(|known| known == uri).and_then(|i| u16::try_from(i).ok()).map(NsId)
    }

    /// The number of a URI, a new one if need be; `None` if there are too many.
    pub(super) fn intern(&mut self, uri: &str) -> Option<NsId> {
        self.find(uri).or_else(|| {
            let id = u16::try_from(self.0.len()).ok().filter(|id| usize::from(*id) < MAX_URIS)?;
            self.0.push(uri.to_owned());
            Some(NsId(id))
        })
    }
}

/// Declarations in scope: prefix, URI and the depth that declared it.
#[derive(Debug, Default)]
pub(super) struct Scope<'a>(Vec<(&'a str, NsId, usize)>);

impl<'a> Scope<'a> {
    pub(super) fn declare(&mut self, prefix: &'a str, id: NsId, depth: usize) {
        self.0.push((prefix, id, depth));
    }

    pub(super) fn leave(&mut self, depth: usize) {
        while self.0.last().is_some_and(|(_, _, at)| *at >= depth) {
            self.0.pop();
        }
    }

    pub(super) fn resolve(&self, prefix: &str) -> Option<NsId> {
        if prefix == "xml" {
            return Some(NsId::XML);
        }
        self.0.iter().rev().find(|(known, _, _)| *known == prefix).map(|(_, id, _)| *id)
    }
}

/// What is wrong with a declaration `xmlns[:prefix]="uri"`, after Namespaces in XML 1.0 and libxml2.
pub(super) fn bad_declaration(prefix: &str, uri: &str) -> Option<String> {
    match (prefix, uri) {
        ("xmlns", _) => Some("the prefix xmlns cannot be declared".to_owned()),
        ("xml", XML_URI) => None,
        ("xml", _) => Some("the prefix xml cannot be bound to another namespace".to_owned()),
        (_, XML_URI | XMLNS_URI) => Some(format!("{uri} cannot be bound to the prefix {prefix:?}")),
        ("", "") => None,
        (_, "") => Some(format!("the prefix {prefix} cannot be bound to nothing")),
        _ if !is_uri(uri) => Some(format!("{uri:?} is not a URI")),
        _ => None,
    }
}

/// Whether a text is a URI reference that libxml2's parser takes, by a rule that is a little narrower than RFC 3986.
fn is_uri(uri: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?#%".contains(&b);
    let bytes = uri.as_bytes();
    let escapes_ok = uri
        .match_indices('%')
        .all(|(i, _)| bytes.get(i + 1..i + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    let (scheme, rest) = uri.split_once(':').map_or(("", uri), |(scheme, rest)| (scheme, rest));
    let scheme_ok = !uri.contains(':')
        || (scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)));
    let authority = rest.strip_prefix("//").map_or("", |rest| rest.split(['/', '?', '#']).next().unwrap_or(""));
    let host_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port_ok = match host_port.split_once(':') {
        Some((_, port)) => !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()),
        None => true,
    };
    bytes.iter().all(|b| legal(*b)) && escapes_ok && scheme_ok && port_ok && uri.matches('#').count() <= 1
}
