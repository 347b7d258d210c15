//! The lossless document: verdicts on nasty inputs, agreement with other readers, and bytes that stay.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

#[path = "xml/edits.rs"]
mod edits;
#[path = "xml/oracles.rs"]
mod oracles;
#[path = "xml/properties.rs"]
mod properties;
#[path = "xml/verdicts.rs"]
mod verdicts;

use virt_tailor::xml::{Document, Limits, XmlError};

/// The namespace that may be used without being declared.
pub const QEMU: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

/// Parses without leniency.
pub fn parse(bytes: &[u8]) -> Result<Document, XmlError> {
    Document::parse(bytes, &Limits::default())
}

/// The files of a data folder: name and bytes, in order.
pub fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder);
    let mut out: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "xml"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap()))
        .collect();
    out.sort();
    assert!(!out.is_empty());
    out
}

/// A number of cases for a property; `PROPTEST_CASES` overrides it for a long run by hand.
pub fn cases(cases: u32) -> proptest::test_runner::Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    proptest::test_runner::Config { cases, failure_persistence: None, ..Default::default() }
}
