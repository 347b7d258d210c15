//! Start tags: the name and the attributes with their exact spans.

use std::ops::Range;

use quick_xml::events::BytesStart;
use quick_xml::events::attributes::AttrError;

use super::chars::{is_blank, is_name, is_space};
use super::error::XmlError;
use super::escape::bad_reference;

/// An attribute as it stands in the input: absolute byte ranges of the name and of the value between its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawAttribute {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

/// Cuts a start tag (with its brackets) into name and attributes; every syntax rule of a tag is checked here.
pub(super) fn read_tag(text: &str, tag: &Range<usize>, out: &mut Vec<RawAttribute>) -> Result<Range<usize>, XmlError> {
    out.clear();
    let error = |at: usize, message: String| XmlError::at(text.as_bytes(), at, message);
    let end = if text[tag.clone()].ends_with("/>") { tag.end - 2 } else { tag.end - 1 };
    let body_start = tag.start + 1;
    let body = &text[body_start..end];
    let name_length = body.bytes().position(is_space).unwrap_or(body.len());
    let name = body_start..body_start + name_length;
    if name.is_empty() {
        return Err(error(tag.start, "'<' must be followed by a name; a literal '<' is written &lt;".to_owned()));
    }
    if !is_name(&text[name.clone()]) {
        return Err(error(name.start, format!("{:?} is not a name", &text[name.clone()])));
    }
    let tag_event = BytesStart::from_content(body, name_length);
    let mut at = name.end;
    for attribute in tag_event.attributes().with_checks(false) {
        let attribute = attribute.map_err(|e| attribute_error(text, body_start, &e))?;
        // Key and value borrow from `body`: their addresses are their offsets.
        let offset = |part: &str| body_start + (part.as_ptr() as usize - body.as_ptr() as usize);
        let key_start = offset(attribute.key.0);
        let key = key_start..key_start + attribute.key.0.len();
        let value_start = offset(&attribute.value);
        let value = value_start..value_start + attribute.value.len();
        let gap = &text.as_bytes()[at..key.start];
        if gap.is_empty() || !is_blank(gap) {
            return Err(error(at, "there must be white space before an attribute".to_owned()));
        }
        if !is_name(&text[key.clone()]) {
            return Err(error(key.start, format!("{:?} is not an attribute name", &text[key])));
        }
        let raw = &text[value.clone()];
        if let Some(found) = raw.find('<') {
            return Err(error(value.start + found, "'<' is not allowed in an attribute value: write &lt;".to_owned()));
        }
        if let Some(found) = raw.find("]]>") {
            // XML allows it here; Go's decoder, which is KubeVirt's, does not.
            return Err(error(
                value.start + found,
                "']]>' is not allowed in an attribute value: write ]]&gt;".to_owned(),
            ));
        }
        if let Some((found, message)) = bad_reference(raw) {
            return Err(error(value.start + found, message));
        }
        at = value.end + 1;
        out.push(RawAttribute { name: key, value });
    }
    let rest = &text.as_bytes()[at..end];
    if !is_blank(rest) {
        let junk = at + rest.iter().position(|b| !is_space(*b)).unwrap_or(0);
        return Err(error(junk, "this does not belong in a tag".to_owned()));
    }
    Ok(name)
}

fn attribute_error(text: &str, body: usize, error: &AttrError) -> XmlError {
    let (position, message) = match error {
        AttrError::ExpectedEq(at) => (*at, "an attribute needs '=' and a quoted value"),
        AttrError::ExpectedValue(at) => (*at, "an attribute needs a quoted value"),
        AttrError::UnquotedValue(at) => (*at, "an attribute value must be quoted"),
        AttrError::ExpectedQuote(at, _) => (*at, "an attribute value is not closed"),
        AttrError::Duplicated(at, _) => (*at, "this attribute is here twice"),
    };
    XmlError::at(text.as_bytes(), body + position, message)
}
