//! One start of a VM: KubeVirt asks several times, and its own structs drop part of the answer in between. A refusal after the first
//! answer would leave the domain half made, so there may be none; and what was dropped must come back.

use std::collections::BTreeSet;

use proptest::prelude::*;
use virt_tailor::kubevirt::reduce::reduce;
use virt_tailor::xml::{Document, Element, Limits};

use crate::generate::domain;
use crate::properties::{asked, cases};
use crate::support::{Asked, soundness};

/// Paths of all elements with their attributes and texts, as a set.
fn facts(bytes: &[u8]) -> BTreeSet<String> {
    fn walk(doc: &Document, element: Element, path: &str, out: &mut BTreeSet<String>) {
        let path = format!("{path}/{}", doc.local_name(element));
        out.insert(path.clone());
        for (name, value) in doc.attributes(element) {
            out.insert(format!("{path} {name}={value:?}"));
        }
        let text = doc.text(element);
        if !text.trim().is_empty() {
            out.insert(format!("{path} {:?}", text.trim()));
        }
        for child in doc.children(element) {
            walk(doc, child, &path, out);
        }
    }
    let qemu = ("qemu", virt_tailor::domain::QEMU_NAMESPACE);
    let doc = Document::parse(bytes, &Limits { undeclared_prefixes: vec![qemu], ..Limits::default() }).unwrap();
    let mut out = BTreeSet::new();
    walk(&doc, doc.root(), "", &mut out);
    out
}

/// Fits a domain, lets KubeVirt's structs have it, fits what they leave: that must work, and give back what the first fitting had made.
fn survives(asked: &Asked, input: &str) -> Result<(), TestCaseError> {
    let Ok(first) = asked.run(input.as_bytes()) else { return Ok(()) };
    let Ok(reduced) = reduce(&first.bytes) else { return Ok(()) };
    let second =
        asked.run(reduced.as_bytes()).map_err(|refusal| TestCaseError::fail(format!("refused later: {refusal}")))?;
    soundness(asked, reduced.as_bytes(), &second).map_err(TestCaseError::fail)?;
    let (before, after) = (facts(input.as_bytes()), facts(&first.bytes));
    let made: BTreeSet<String> = after.difference(&before).filter(|fact| !fact.contains("xmlns")).cloned().collect();
    let again = facts(&second.bytes);
    // `<smm></smm>` counts as on.
    let lost: Vec<&String> = made.difference(&again).filter(|fact| !fact.ends_with("/smm state=\"on\"")).collect();
    prop_assert!(lost.is_empty(), "lost between the passes: {lost:#?}\n{reduced}");
    Ok(())
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn what_was_made_comes_back_after_kubevirts_structs((input, kept) in domain(), asked in asked()) {
        // KubeVirt's structs do not look at namespaces: what is no decoy to anybody else is one to them.
        let plain = kept.iter().fold(input, |input, kept| input.replace(kept, ""));
        survives(&asked, &plain)?;
    }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn what_was_made_of_a_sample_comes_back(asked in asked(), pass in prop::sample::select(vec!["pass1", "pass2", "pass2.edited"])) {
        for name in ["dpdk-worker", "gpu-workstation", "ignition", "plain", "sfc-onload", "vgpu-desktop"] {
            let path = crate::support::tests("data/kubevirt").join(format!("{name}.{pass}.xml"));
            survives(&asked, &std::fs::read_to_string(path).unwrap())?;
        }
    }
}
