//! Tokens cover the input; a document without edits is its input; edits leave the rest alone.

use proptest::prelude::*;
use virt_tailor::xml::{Document, Element, tokens};

use crate::{cases, files, parse};

#[test]
fn tokens_cover_every_sample() {
    for folder in ["adversarial", "kubevirt", "xml-verdicts"] {
        for (name, bytes) in files(folder) {
            let Ok(text) = std::str::from_utf8(&bytes) else {
                continue;
            };
            let Ok(tokens) = tokens(text) else { continue };
            let mut at = 0;
            for token in tokens {
                assert_eq!(token.span.start, at, "{name}");
                at = token.span.end;
            }
            assert_eq!(at, text.len(), "{name}");
        }
    }
}

/// A random element tree as text, in one of several hands.
fn document() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "devices", "é", "p:x"]);
    let gap = prop::sample::select(vec![
        "",
        "\n  ",
        "\r\n\t",
        " ",
        "\n<!-- <b/> -->\n",
        "<?p q?>",
        "text &amp; ",
        "<![CDATA[<b>]]>",
        "\n\n",
    ]);
    let attrs = prop::sample::select(vec!["", " x='1'", " x=\"&quot;\"", "\n y = 'é'", " x='1'  y=\"2\" ", " p:z='1'"]);
    let leaf = (name.clone(), attrs.clone(), prop::bool::ANY).prop_map(|(name, attrs, short)| {
        if short { format!("<{name}{attrs}/>") } else { format!("<{name}{attrs}></{name} >") }
    });
    let tree = leaf.prop_recursive(4, 24, 5, move |inner| {
        (name.clone(), attrs.clone(), prop::collection::vec((gap.clone(), inner), 0..5), gap.clone()).prop_map(
            |(name, attrs, children, tail)| {
                let inner: String = children.into_iter().map(|(gap, child)| gap.to_owned() + &child).collect();
                format!("<{name}{attrs}>{inner}{tail}</{name}>")
            },
        )
    });
    let prolog =
        prop::sample::select(vec!["", "\u{feff}", "<?xml version=\"1.0\" encoding='UTF-8'?>\n", "<!-- c -->\r\n"]);
    (prolog, tree, prop::sample::select(vec!["", "\n", "\n<!-- end -->"]))
        .prop_map(|(prolog, tree, end)| format!("{prolog}<r xmlns:p='urn:p'>{tree}</r>{end}"))
}

fn all(document: &Document) -> Vec<Element> {
    let mut out = vec![document.root()];
    let mut at = 0;
    while at < out.len() {
        out.extend(document.children(out[at]));
        at += 1;
    }
    out
}

/// The tree as a text without white space, to compare what edits mean: removing an element between two words of mixed content may
/// take the gap along.
fn meaning(document: &Document, element: Element, out: &mut String) {
    out.push_str(&format!("{{{}}}{}", document.namespace(element), document.local_name(element)));
    for (name, value) in document.attributes(element) {
        out.push_str(&format!(" {name}={value:?}"));
    }
    out.push_str(&format!(" {:?}(", document.text(element).split_whitespace().collect::<String>()));
    for child in document.children(element) {
        meaning(document, child, out);
    }
    out.push(')');
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn without_edits_nothing_changes(text in document()) {
        let document = parse(text.as_bytes()).unwrap();
        prop_assert!(document.edits().is_empty());
        prop_assert_eq!(document.to_bytes(), text.into_bytes());
    }

    #[test]
    fn edits_are_sorted_disjoint_and_mean_what_the_tree_shows(
        text in document(),
        steps in prop::collection::vec((0u8..5, any::<prop::sample::Index>(), "[a-z<&'\"\n\t ]{0,6}"), 1..8),
    ) {
        let mut document = parse(text.as_bytes()).unwrap();
        for (kind, index, value) in steps {
            let elements = all(&document);
            let element = elements[index.index(elements.len())];
            match kind {
                0 => drop(document.set_attribute(element, "x", &value)),
                1 => drop(document.remove_attribute(element, "y")),
                2 => drop(document.append(element, "new")),
                3 => document.remove(element),
                _ => {
                    let new = document.append_in(element, "urn:q", "q", "new");
                    document.set_attribute(new, "v", &value);
                }
            }
        }
        let edits = document.edits();
        let mut at = 0;
        for edit in &edits {
            prop_assert!(edit.range.start >= at, "{:?}", edits);
            at = edit.range.end;
        }
        let out = document.to_bytes();
        let again = parse(&out).map_err(|e| TestCaseError::fail(format!("{e}\n{}", String::from_utf8_lossy(&out))))?;
        let (mut ours, mut theirs) = (String::new(), String::new());
        meaning(&document, document.root(), &mut ours);
        meaning(&again, again.root(), &mut theirs);
        prop_assert_eq!(ours, theirs, "{}", String::from_utf8_lossy(&out));
    }
}
