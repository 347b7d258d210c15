//! Which differences between two documents no change explains. Reads tags by itself: it is to judge the reader of this crate too.

use similar::{Algorithm, DiffOp, capture_diff_slices};
use virt_tailor::domain::Change;

/// Tags, comments, instructions, CDATA and the texts between them.
pub(crate) fn tokens(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let length = match rest {
            r if r.starts_with("<!--") => end_of(r, "-->"),
            r if r.starts_with("<![CDATA[") => end_of(r, "]]>"),
            r if r.starts_with("<?") => end_of(r, "?>"),
            r if r.starts_with('<') => tag_length(r),
            r => r.find('<').unwrap_or(r.len()),
        };
        let (token, after) = rest.split_at(length);
        out.push(token);
        rest = after;
    }
    out
}

fn end_of(text: &str, end: &str) -> usize {
    text.find(end).map_or(text.len(), |at| at + end.len())
}

fn tag_length(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '>') => return at + 1,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if c == open => quote = None,
            _ => {}
        }
    }
    text.len()
}

/// The name in a tag, without prefix.
fn name(tag: &str) -> &str {
    let name = tag.trim_start_matches(['<', '/']).split([' ', '\t', '\r', '\n', '/', '>']).next().unwrap_or_default();
    name.rsplit(':').next().unwrap_or_default()
}

/// The attributes of a tag as they are written: name, and all of it.
fn attributes(tag: &str) -> Vec<(&str, &str)> {
    let mut out = Vec::new();
    let mut rest = tag;
    while let Some(equals) = rest.find('=') {
        let before = rest[..equals].trim_end();
        let start = before.rfind([' ', '\t', '\r', '\n']).map_or(0, |at| at + 1);
        let value = rest[equals + 1..].trim_start();
        let Some(quote) = value.chars().next() else { break };
        let Some(length) = value[1..].find(quote) else { break };
        let end = rest.len() - value.len() + length + 2;
        out.push((&before[start..], &rest[start..end]));
        rest = &rest[end..];
    }
    out
}

/// What is gone from the input, or different in it, though no change names it.
pub(crate) fn unexplained(input: &str, output: &str, changes: &[Change]) -> Vec<String> {
    let (before, after) = (tokens(input), tokens(output));
    let named = |word: &str| changes.iter().any(|change| change.what.contains(word));
    let mut wrong = Vec::new();
    let ops = capture_diff_slices(Algorithm::Myers, &before, &after);
    let fresh: Vec<&str> = ops
        .iter()
        .filter(|op| !matches!(op, DiffOp::Equal { .. }))
        .flat_map(|op| &after[op.new_range()])
        .copied()
        .collect();
    for op in ops {
        if matches!(op, DiffOp::Equal { .. }) {
            continue;
        }
        let (old, new) = (&before[op.old_range()], &after[op.new_range()]);
        let blank = |tokens: &[&str]| tokens.iter().all(|token| token.trim().is_empty());
        if blank(old) && blank(new) {
            wrong.push(format!("only white space: {old:?} became {new:?}"));
        }
        // What stands in the output as it is was only aligned with something else; its order is not judged here.
        for token in old.iter().filter(|token| !token.trim().is_empty() && !fresh.contains(token)) {
            if !token.starts_with('<') {
                if !named(token.trim()) {
                    wrong.push(format!("text {token:?}"));
                }
                continue;
            }
            if token.starts_with("<!") || token.starts_with("<?") {
                wrong.push(format!("markup {token:?}"));
                continue;
            }
            // A tag that is still there with other attributes, or opened to hold something.
            let alike = |other: &str| name(other) == name(token) && other.starts_with("</") == token.starts_with("</");
            let kept = |other: &str| attributes(token).iter().filter(|a| attributes(other).contains(a)).count();
            let same = fresh.iter().filter(|other| alike(other)).max_by_key(|other| kept(other));
            let root = name(token) == "domain";
            if !root && !named(name(token)) {
                wrong.push(format!("tag {token:?}"));
            }
            for (attribute, written) in attributes(token) {
                let stays = same.is_some_and(|same| attributes(same).iter().any(|(_, other)| *other == written));
                if !stays && !named(attribute) {
                    wrong.push(format!("attribute {written} of {token:?}"));
                }
            }
        }
    }
    wrong
}

#[test]
fn what_is_not_explained_is_seen() {
    let change = |what: &str| Change { what: what.to_owned(), why: String::new(), from: String::new() };
    let input = "<domain>\n  <a x='1' y='2'/>\n  <!-- b -->\n  <c>text</c>\n</domain>";
    let seen = |output: &str, changes: &[Change]| unexplained(input, output, changes).len();
    assert_eq!(seen(input, &[]), 0);
    assert_eq!(
        seen("<domain>\n  <a x='1' y='3'/>\n  <!-- b -->\n  <c>text</c>\n</domain>", &[change("a: set y=\"3\"")]),
        0
    );
    assert_eq!(
        seen("<domain>\n  <a x='9' y='3'/>\n  <!-- b -->\n  <c>text</c>\n</domain>", &[change("a: set y=\"3\"")]),
        1
    );
    assert!(seen("<domain>\n  <a x='1' y='2'/>\n  <c>text</c>\n</domain>", &[change("a: set y")]) > 0);
    assert!(seen("<domain>\n <a x='1' y='2'/>\n  <!-- b -->\n  <c>text</c>\n</domain>", &[]) > 0);
    assert!(seen("<domain>\n  <a x='1' y='2'/>\n  <!-- b -->\n  <c>other</c>\n</domain>", &[change("a")]) > 0);
    let tag = "<a x = '1>'\n y=\"2\"/>";
    assert_eq!(tokens(&format!("{tag}<![CDATA[<]]>")), [tag, "<![CDATA[<]]>"]);
    assert_eq!(attributes(tag), [("x", "x = '1>'"), ("y", "y=\"2\"")]);
}
