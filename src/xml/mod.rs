//! A lossless XML document: bytes → tokens → span tree → edits → bytes.
//!
//! quick-xml is the tokenizer: its byte positions feed our own tree of spans over the original bytes. An edit is an insertion or a
//! deletion in those bytes, so whatever is not edited is copied byte for byte. Parsing is strict: what roxmltree, libxml2 or Go's
//! decoder would refuse is refused here, with line, column and a caret. Nothing in here knows libvirt, but for one name: the QEMU
//! namespace, whose declaration KubeVirt loses (`undeclared_prefixes` in [`Limits`]).

mod attributes;
mod chars;
mod document;
mod edit;
mod error;
mod escape;
mod lexer;
mod name_table;
mod namespaces;
mod parse;
mod prolog;
mod render;
mod style;

pub use document::{Document, Element};
pub use error::XmlError;
pub use lexer::{Token, TokenKind, tokens};
pub use parse::Limits;
pub use render::Edit;
