//! Characters and names of XML 1.0.

use super::name_table::{CONTINUE, START};

/// XML white space.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether a text is white space only.
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| is_space(*b))
}

/// Whether XML 1.0 allows this character, literally or as a reference (production `Char`).
pub(super) fn is_char(c: u32) -> bool {
    matches!(c, 0x9 | 0xa | 0xd | 0x20..=0xd7ff | 0xe000..=0xfffd | 0x1_0000..=0x10_ffff)
}

/// The byte offset of the first character that XML 1.0 does not allow.
pub(super) fn first_illegal(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().position(|(i, b)| match b {
        0..0x20 => !is_space(*b),
        // U+FFFE and U+FFFF; surrogates cannot be in a `str`.
        0xef => matches!(bytes.get(i + 1..i + 3), Some([0xbf, 0xbe | 0xbf])),
        _ => false,
    })
}

fn starts_name(c: char) -> bool {
    match c {
        'a'..='z' | 'A'..='Z' | '_' | ':' => true,
        c if c.is_ascii() => false,
        c => in_table(c, &START),
    }
}

fn continues_name(c: char) -> bool {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | ':' | '-' | '.' => true,
        c if c.is_ascii() => false,
        c => in_table(c, &START) || in_table(c, &CONTINUE),
    }
}

fn in_table(c: char, table: &[(u16, u16)]) -> bool {
    let Ok(c) = u16::try_from(u32::from(c)) else {
        return false;
    };
    let after = table.partition_point(|(start, _)| *start <= c);
    after > 0 && c <= table[after - 1].1
}

/// Longest name we take; libxml2 stops at 50 000 bytes.
const MAX_NAME: usize = 1000;

/// Whether a text is a name (production `Name`, colons allowed) that every reader takes.
pub(super) fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    text.len() <= MAX_NAME && chars.next().is_some_and(starts_name) && chars.all(continues_name)
}

/// Splits a qualified name at its colon: the length of the prefix (0 without one). `None` if it is no `QName`.
pub(super) fn prefix_length(name: &str) -> Option<usize> {
    match name.split_once(':') {
        None => Some(0),
        Some((prefix, local)) => (!prefix.is_empty() && !local.contains(':') && is_name(local)).then_some(prefix.len()),
    }
}
