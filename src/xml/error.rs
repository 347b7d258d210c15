//! The one error of this room: what, where, and the line with a caret.

use std::fmt;

/// Why bytes are not a document we take. `Display` is one line; [`XmlError::snippet`] shows the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XmlError {
    message: String,
    offset: usize,
    line: usize,
    column: usize,
    snippet: String,
}

/// How much of a long line is shown on either side of the caret.
const WINDOW: usize = 50;

impl XmlError {
    /// An error at a byte offset of the input. Columns count characters from 1; bytes that are not UTF-8 count one each.
    pub(super) fn at(input: &[u8], offset: usize, message: impl Into<String>) -> Self {
        let offset = offset.min(input.len());
        let before = &input[..offset];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let line_end = input[offset..].iter().position(|b| *b == b'\n').map_or(input.len(), |i| offset + i);
        let left = shown(&input[line_start..offset]);
        let right = shown(&input[offset..line_end]);
        let column = left.len() + 1;
        let left_cut = left.len().saturating_sub(WINDOW);
        let left: String = left[left_cut..].iter().collect();
        let right: String = right.iter().take(WINDOW).collect();
        let gutter = line.to_string();
        let caret = " ".repeat(left.chars().count());
        let snippet = format!("{gutter} | {left}{}\n{} | {caret}^", right.trim_end(), " ".repeat(gutter.len()));
        Self { message: crate::base::shown(&message.into()).into_owned(), offset, line, column, snippet }
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Column in characters, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// Byte offset in the input.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Two lines: the source line (cut around the place) and a caret under it.
    pub fn snippet(&self) -> &str {
        &self.snippet
    }
}

/// Characters of a piece of a line as they can be shown: no tabs, no control characters.
fn shown(bytes: &[u8]) -> Vec<char> {
    let mut out = Vec::new();
    for chunk in bytes.utf8_chunks() {
        out.extend(
            chunk
                .valid()
                .chars()
                .filter(|c| *c != '\r')
                .map(|c| if crate::base::shown(c.encode_utf8(&mut [0; 4])).len() == c.len_utf8() { c } else { ' ' }),
        );
        out.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
    }
    out
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for XmlError {}
