//! Tokens with exact spans, from quick-xml.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::error::XmlError;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// The byte order mark.
    Bom,
    /// `<?xml …?>`.
    Declaration,
    /// `<a …>`.
    Start,
    /// `<a …/>`.
    Empty,
    /// `</a>`.
    End,
    /// Character data between markup, references included.
    Text,
    /// `<![CDATA[…]]>`.
    CData,
    /// `<!--…-->`.
    Comment,
    /// `<?…?>`.
    Instruction,
    /// `<!DOCTYPE …>`.
    Doctype,
}

/// A token: its kind and its bytes in the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it is. The spans of all tokens cover the input without gap or overlap.
    pub span: Range<usize>,
}

/// The byte order mark, in UTF-8.
const BOM: &str = "\u{feff}";

/// Walks over the tokens of a text.
pub(super) struct Lexer<'a> {
    text: &'a str,
    reader: Reader<&'a [u8]>,
    bom: usize,
    at: usize,
    /// A token that ended a run of character data.
    held: Option<Token>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // quick-xml drops a BOM without counting it, so it never gets to see one.
        let bom = if text.starts_with(BOM) { BOM.len() } else { 0 };
        let mut reader = Reader::from_str(&text[bom..]);
        let config = reader.config_mut();
        // Names, references and comments are checked by us, with our own words and places.
        config.check_end_names = false;
        config.allow_unmatched_ends = true;
        config.allow_dangling_amp = true;
        config.check_comments = false;
        Self { text, reader, bom, at: 0, held: None }
    }

    /// The next token, `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token>, XmlError> {
        if self.text[self.at..].starts_with(BOM) && self.at == self.bom {
            // quick-xml would drop this one as well; other readers take it for text outside the root.
            return Err(XmlError::at(self.text.as_bytes(), self.at, "a second byte order mark"));
        }
        if self.at < self.bom {
            return Ok(Some(self.take(TokenKind::Bom, self.bom)));
        }
        if let Some(token) = self.held.take() {
            self.at = token.span.end;
            return Ok(Some(token));
        }
        let start = self.at;
        let mut text_end = None;
        loop {
            let token_start = text_end.unwrap_or(start);
            let Some((kind, end)) = self.raw()? else {
                return Ok(match text_end {
                    Some(end) => Some(self.take(TokenKind::Text, end)),
                    None if start == self.text.len() => None,
                    None => {
                        return Err(XmlError::at(
                            self.text.as_bytes(),
                            start,
                            "the input ends in the middle of markup",
                        ));
                    }
                });
            };
            if kind == TokenKind::Text {
                // References are tokens of their own in quick-xml; here a run of character data is one.
                text_end = Some(end);
            } else if let Some(text_end) = text_end {
                self.held = Some(Token { kind, span: token_start..end });
                return Ok(Some(self.take(TokenKind::Text, text_end)));
            } else {
                return Ok(Some(self.take(kind, end)));
            }
        }
    }

    fn take(&mut self, kind: TokenKind, end: usize) -> Token {
        let span = self.at..end;
        self.at = end;
        Token { kind, span }
    }

    /// The next token as quick-xml cuts it: kind and end.
    fn raw(&mut self) -> Result<Option<(TokenKind, usize)>, XmlError> {
        let kind = match self.reader.read_event() {
            Ok(Event::Start(_)) => TokenKind::Start,
            Ok(Event::Empty(_)) => TokenKind::Empty,
            Ok(Event::End(_)) => TokenKind::End,
            Ok(Event::Text(_) | Event::GeneralRef(_)) => TokenKind::Text,
            Ok(Event::CData(_)) => TokenKind::CData,
            Ok(Event::Comment(_)) => TokenKind::Comment,
            Ok(Event::Decl(_)) => TokenKind::Declaration,
            Ok(Event::PI(_)) => TokenKind::Instruction,
            Ok(Event::DocType(_)) => TokenKind::Doctype,
            Ok(Event::Eof) => return Ok(None),
            Err(error) => {
                let offset = self.bom + usize::try_from(self.reader.error_position()).unwrap_or(usize::MAX);
                let message = error.to_string();
                let message = message.strip_prefix("syntax error: ").unwrap_or(&message);
                return Err(XmlError::at(self.text.as_bytes(), offset, message));
            }
        };
        let end = self.bom + usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
        Ok(Some((kind, end)))
    }
}

/// All tokens of a text. Only markup is cut here; whether it is well-formed is for [`super::Document::parse`] to say.
pub fn tokens(text: &str) -> Result<Vec<Token>, XmlError> {
    let mut lexer = Lexer::new(text);
    let mut out = Vec::new();
    while let Some(token) = lexer.next()? {
        out.push(token);
    }
    Ok(out)
}

/// The input as text, if it is UTF-8.
pub(super) fn into_text(input: Vec<u8>) -> Result<String, XmlError> {
    if input.starts_with(b"\xff\xfe") || input.starts_with(b"\xfe\xff") {
        return Err(XmlError::at(&input, 0, "the input is UTF-16; only UTF-8 is read"));
    }
    String::from_utf8(input).map_err(|error| {
        XmlError::at(error.as_bytes(), error.utf8_error().valid_up_to(), "this is not UTF-8; only UTF-8 is read")
    })
}
