//! References in text and attribute values: checking, reading, writing.

use std::borrow::Cow;

use super::chars::is_char;

/// The first bad reference in a text: its offset, and what is wrong with it.
pub(super) fn bad_reference(text: &str) -> Option<(usize, String)> {
    let mut from = 0;
    while let Some(found) = text[from..].find('&') {
        let start = from + found;
        match reference(&text[start..]) {
            Ok((_, length)) => from = start + length,
            Err(message) => return Some((start, message)),
        }
    }
    None
}

/// Reads one reference at the start of a text: its character and its length in bytes.
fn reference(text: &str) -> Result<(char, usize), String> {
    let body = &text[1..];
    let end =
        body.find(|c: char| !(c.is_alphanumeric() || matches!(c, '#' | '_' | '-' | '.' | ':'))).unwrap_or(body.len());
    let name = &body[..end];
    if name.is_empty() {
        return Err("a bare '&' is not allowed: write &amp;".to_owned());
    }
    if !body[end..].starts_with(';') {
        return Err(format!("the reference &{name} does not end in ';' (a literal '&' is written &amp;)"));
    }
    let number = match name.strip_prefix('#') {
        None => None,
        Some(digits) => Some(match digits.strip_prefix('x') {
            Some(hex) if !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
                u32::from_str_radix(hex, 16).ok()
            }
            None if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
            _ => return Err(format!("&{name}; is not a character reference")),
        }),
    };
    let c = match number {
        Some(number) => number
            .filter(|n| is_char(*n))
            .and_then(char::from_u32)
            .ok_or_else(|| format!("&{name}; names a character that XML 1.0 does not allow"))?,
        None => match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "apos" => '\'',
            "quot" => '"',
            _ => return Err(format!("the entity &{name}; is not defined")),
        },
    };
    Ok((c, end + 2))
}

/// Character data as a reader sees it: references resolved, line ends normalised. The text was checked when it was parsed.
pub(super) fn decode_text(raw: &str) -> Cow<'_, str> {
    decode(raw, false)
}

/// An attribute value as a reader sees it: literal tabs and line ends are blanks.
pub(super) fn decode_value(raw: &str) -> Cow<'_, str> {
    decode(raw, true)
}

fn decode(raw: &str, value: bool) -> Cow<'_, str> {
    let special = |b: u8| b == b'&' || b == b'\r' || (value && matches!(b, b'\t' | b'\n'));
    if !raw.bytes().any(special) {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        match c {
            '&' => match reference(rest) {
                Ok((c, n)) => {
                    out.push(c);
                    length = n;
                }
                Err(_) => out.push('&'),
            },
            '\r' => {
                out.push(if value { ' ' } else { '\n' });
                if rest[1..].starts_with('\n') {
                    length = 2;
                }
            }
            '\t' | '\n' if value => out.push(' '),
            c => out.push(c),
        }
        rest = &rest[length..];
    }
    Cow::Owned(out)
}

/// Writes an attribute value for a quote so that every reader gets it back.
pub(super) fn encode_value(value: &str, quote: char) -> Cow<'_, str> {
    encode(value, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '\t' => Some("&#x9;"),
        '\n' => Some("&#xA;"),
        '\r' => Some("&#xD;"),
        '"' if quote == '"' => Some("&quot;"),
        '\'' if quote == '\'' => Some("&apos;"),
        _ => None,
    })
}

/// Writes character data so that every reader gets it back.
pub(super) fn encode_text(text: &str) -> Cow<'_, str> {
    encode(text, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '\r' => Some("&#xD;"),
        _ => None,
    })
}

fn encode(text: &str, replace: impl Fn(char) -> Option<&'static str>) -> Cow<'_, str> {
    if text.chars().all(|c| replace(c).is_none()) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match replace(c) {
            Some(reference) => out.push_str(reference),
            None => out.push(c),
        }
    }
    Cow::Owned(out)
}
