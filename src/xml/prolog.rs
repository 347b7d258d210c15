//! The XML declaration, comments and processing instructions: strict syntax.

use std::ops::Range;

use super::chars::{is_name, is_space};
use super::error::XmlError;

/// Checks `<?xml …?>`: version 1.0, then perhaps encoding (UTF-8), then perhaps standalone.
pub(super) fn check_declaration(text: &str, span: &Range<usize>) -> Result<(), XmlError> {
    let error = |at: usize, message: String| XmlError::at(text.as_bytes(), at, message);
    let mut at = span.start + "<?xml".len();
    let end = span.end - "?>".len();
    let mut found = Vec::new();
    loop {
        let blank = text[at..end].bytes().take_while(|b| is_space(*b)).count();
        if at + blank == end {
            break;
        }
        if blank == 0 {
            return Err(error(at, "white space is missing in the XML declaration".to_owned()));
        }
        at += blank;
        let Some((name, value, next)) = pseudo_attribute(text, at, end) else {
            return Err(error(at, "the XML declaration is malformed".to_owned()));
        };
        let ok = match (name, found.as_slice()) {
            ("version", []) => match value {
                "1.0" => true,
                other => {
                    return Err(error(at, format!("XML version {other:?} is not read, only 1.0")));
                }
            },
            ("encoding", ["version"]) => match value {
                utf8 if utf8.eq_ignore_ascii_case("utf-8") => true,
                other => {
                    return Err(error(at, format!("the encoding {other:?} is not read, only UTF-8")));
                }
            },
            ("standalone", ["version"] | ["version", "encoding"]) => matches!(value, "yes" | "no"),
            _ => false,
        };
        if !ok {
            return Err(error(at, format!("{name}={value:?} is wrong here in the XML declaration")));
        }
        found.push(name);
        at = next;
    }
    if found.is_empty() {
        return Err(error(span.start, "the XML declaration has no version".to_owned()));
    }
    Ok(())
}

/// `name = "value"` at an offset: name, value and the offset behind.
fn pseudo_attribute(text: &str, at: usize, end: usize) -> Option<(&str, &str, usize)> {
    let rest = &text[at..end];
    let (name, after) = rest.split_once('=')?;
    let name = name.trim_end_matches(|c: char| c.is_ascii() && is_space(c as u8));
    let value_at = after.trim_start_matches(|c: char| c.is_ascii() && is_space(c as u8));
    let quote = value_at.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, behind) = value_at[1..].split_once(quote)?;
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase())).then_some((name, value, end - behind.len()))
}

/// Checks a comment: `--` is not allowed inside.
pub(super) fn check_comment(text: &str, span: &Range<usize>) -> Result<(), XmlError> {
    let start = span.start + "<!--".len();
    let Some(end) = span.end.checked_sub("-->".len()).filter(|end| *end >= start) else {
        return Err(XmlError::at(text.as_bytes(), span.start, "this comment is malformed"));
    };
    // One dash of the end counts too: `--->` is not allowed.
    match text[start..=end].find("--") {
        Some(found) => Err(XmlError::at(text.as_bytes(), start + found, "'--' is not allowed in a comment")),
        None => Ok(()),
    }
}

/// Checks `<?target …?>`.
pub(super) fn check_instruction(text: &str, span: &Range<usize>) -> Result<(), XmlError> {
    let body = &text[span.start + 2..span.end - 2];
    let target = body.split(|c: char| c.is_ascii() && is_space(c as u8)).next().unwrap_or("");
    let message = if target.eq_ignore_ascii_case("xml") {
        "an XML declaration may only be the very first thing".to_owned()
    } else if !is_name(target) {
        format!("{target:?} is not the name of a processing instruction")
    } else if target.contains(':') {
        "a processing instruction's name may not have a colon".to_owned()
    } else {
        return Ok(());
    };
    Err(XmlError::at(text.as_bytes(), span.start, message))
}
