//! What is refused, and with which words. `UPDATE_GOLDEN=1 cargo test` rewrites the golden.

use std::fmt::Write as _;

use crate::{QEMU, files, parse};
use virt_tailor::xml::{Document, Limits};

#[test]
fn every_verdict_is_pinned() {
    let mut report = String::new();
    for folder in ["xml-verdicts", "adversarial"] {
        for (name, bytes) in files(folder) {
            match parse(&bytes) {
                Ok(_) => writeln!(report, "{folder}/{name}: read").unwrap(),
                Err(error) => {
                    writeln!(report, "{folder}/{name}: {error}").unwrap();
                    for line in error.snippet().lines() {
                        writeln!(report, "    {line}").unwrap();
                    }
                }
            }
        }
    }
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/xml/verdicts.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &report).unwrap();
    }
    assert_eq!(report, std::fs::read_to_string(golden).unwrap(), "UPDATE_GOLDEN=1 accepts this");
}

#[test]
fn limits_are_limits() {
    let limits = Limits { max_bytes: 10, max_depth: 2, ..Limits::default() };
    assert!(Document::parse("<a><b/></a>", &limits).unwrap_err().to_string().contains("11 bytes, more than the 10"));
    assert!(Document::parse("<a><b/>", &limits).unwrap_err().to_string().contains("<a> is never closed"));
    let limits = Limits { max_depth: 2, ..limits };
    let deep = Limits { max_bytes: 100, ..limits };
    assert!(Document::parse("<a><b><c/></b></a>", &deep).unwrap_err().to_string().contains("deeper than 2"));
    let deepest = format!("{}{}", "<a>".repeat(256), "</a>".repeat(256));
    parse(deepest.as_bytes()).unwrap();
    let deeper = format!("{}{}", "<a>".repeat(257), "</a>".repeat(257));
    assert!(parse(deeper.as_bytes()).is_err());
}

#[test]
fn the_qemu_prefix_may_be_undeclared_where_asked() {
    let lenient = Limits { undeclared_prefixes: vec![("qemu", QEMU)], ..Limits::default() };
    let input = "<domain><qemu:commandline><qemu:arg value='x'/></qemu:commandline></domain>";
    assert!(parse(input.as_bytes()).is_err());
    let document = Document::parse(input, &lenient).unwrap();
    assert_eq!(document.undeclared_prefixes(), ["qemu"]);
    let commandline = document.children(document.root()).next().unwrap();
    assert!(document.is(commandline, QEMU, "commandline"));
    assert!(Document::parse("<domain><kemu:commandline/></domain>", &lenient).is_err());
}
