//! Whatever roxmltree or libxml2 refuses, we refuse.

use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use crate::{cases, files, parse};

/// Whether roxmltree reads it.
fn roxmltree_reads(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| roxmltree::Document::parse(text).is_ok())
}

/// Whether libxml2 reads it without any error, namespace errors included (those do not change xmllint's exit code).
fn xmllint_reads(bytes: &[u8]) -> bool {
    let mut child = Command::new("xmllint")
        .args(["--noout", "--nonet", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("xmllint is needed (Debian: libxml2-utils)");
    let mut stdin = child.stdin.take().unwrap();
    // An early refusal closes the pipe.
    let _ = stdin.write_all(bytes);
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    output.status.success() && !String::from_utf8_lossy(&output.stderr).contains("error")
}

fn corpus() -> Vec<(String, Vec<u8>)> {
    ["xml-verdicts", "adversarial", "kubevirt"].into_iter().flat_map(files).collect()
}

#[test]
fn what_roxmltree_refuses_in_the_corpus_is_refused() {
    for (name, bytes) in corpus() {
        assert!(parse(&bytes).is_err() || roxmltree_reads(&bytes), "{name}: we read what roxmltree refuses");
    }
}

#[test]
#[ignore = "needs xmllint"]
fn what_libxml2_refuses_in_the_corpus_is_refused() {
    for (name, bytes) in corpus() {
        assert!(parse(&bytes).is_err() || xmllint_reads(&bytes), "{name}: we read what libxml2 refuses");
    }
}

/// A document broken in one place: a piece deleted, doubled, or replaced by something with meaning in XML.
fn broken() -> impl Strategy<Value = Vec<u8>> {
    let sources: Vec<Vec<u8>> = corpus().into_iter().map(|(_, bytes)| bytes).filter(|b| b.len() < 9000).collect();
    let pieces = prop::sample::select(vec![
        "<",
        ">",
        "&",
        "'",
        "\"",
        "/",
        "=",
        "]]>",
        "<!--",
        "-->",
        "--",
        "<a>",
        "</a>",
        "<a/>",
        "&lt;",
        "&#0;",
        "&#x41;",
        "&x;",
        "<?p ?>",
        "<?xml version='1.0'?>",
        "<![CDATA[",
        "xmlns:p='u'",
        "p:x='1'",
        " ",
        "\u{1}",
        "\u{fffe}",
        "é",
        ":",
        "<!DOCTYPE d>",
        "\u{feff}",
        " x='1'",
        " x=1",
        " xmlns=''",
        " xmlns:q=''",
        "1",
        "-",
        "<b",
        "<1>",
        "\t",
        "\r",
        "&#xD800;",
        "&#1114112;",
        "<p:q xmlns:p=' '/>",
    ]);
    (prop::sample::select(sources), any::<prop::sample::Index>(), 0usize..12, pieces, prop::bool::ANY).prop_map(
        |(mut bytes, at, length, piece, insert)| {
            let at = at.index(bytes.len() + 1);
            let end = (at + length).min(bytes.len());
            let new = if insert { piece.as_bytes().to_vec() } else { Vec::new() };
            bytes.splice(at..end, new);
            bytes
        },
    )
}

/// Small documents out of the words of XML: most are broken in some way.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "<a>",
        "</a>",
        "<a/>",
        "<b x='1'>",
        "</b>",
        "<p:c xmlns:p='urn:p'>",
        "</p:c>",
        "<d p:x='1' x='2'/>",
        "text",
        "&amp;",
        "&#65;",
        "&#x1F600;",
        "<!-- c -->",
        "<!-- - -->",
        "<?pi data?>",
        "<?xml version='1.0' encoding='utf-8'?>",
        "<![CDATA[ & ]]>",
        "\n",
        " ",
        "<e\n x = \"1\"\ty='2' />",
        "<f xmlns='urn:f' xmlns:p='urn:f' x='1' p:x='1'/>",
        "<g xmlns:p='urn:f' xmlns:q='urn:f' q:x='1' p:x='1'/>",
        "]]",
        ">",
        "\u{feff}",
        "<é/>",
        "<a:b/>",
        "<xml:a/>",
        "<a xml:lang='x'/>",
        "<h xmlns:p='http://www.w3.org/2000/xmlns/'/>",
        "<:a/>",
        "<a·/>",
        "<·a/>",
    ]);
    prop::collection::vec(words, 1..8).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #![proptest_config(cases(4000))]

    #[test]
    fn what_roxmltree_refuses_is_refused(bytes in prop_oneof![broken(), soup()]) {
        prop_assert!(parse(&bytes).is_err() || roxmltree_reads(&bytes), "{}", String::from_utf8_lossy(&bytes));
    }
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    #[ignore = "needs xmllint"]
    fn what_libxml2_refuses_is_refused(bytes in prop_oneof![broken(), soup()]) {
        // Only what we read has to be shown to libxml2.
        if parse(&bytes).is_ok() {
            prop_assert!(xmllint_reads(&bytes), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}
