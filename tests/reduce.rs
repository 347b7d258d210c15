//! What KubeVirt's structs leave of a domain: the captured passes, and what must hold for any input.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

#[path = "common/big_domain.rs"]
mod big_domain;
#[path = "reduce/losses.rs"]
mod losses;
#[path = "reduce/properties.rs"]
mod properties;

use virt_tailor::kubevirt::reduce::reduce;
use virt_tailor::xml::{Document, Element, Limits};

/// The captured domains.
pub const NAMES: [&str; 6] = ["dpdk-worker", "gpu-workstation", "ignition", "plain", "sfc-onload", "vgpu-desktop"];

/// A captured document.
pub fn sample(name: &str, pass: &str) -> String {
    let path = format!("{}/tests/data/kubevirt/{name}.{pass}.xml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A document as lines, one per element: path, attributes in order, text.
pub fn lines(text: &str) -> Vec<String> {
    fn walk(document: &Document, element: Element, path: &str, out: &mut Vec<String>) {
        let path = format!("{path}/{}", document.name(element));
        let attributes: String =
            document.attributes(element).iter().map(|(name, value)| format!(" {name}={value:?}")).collect();
        out.push(format!("{path}{attributes} {}", document.text(element).trim()));
        for child in document.children(element) {
            walk(document, child, &path, out);
        }
    }
    let limits = Limits {
        undeclared_prefixes: vec![("qemu", "http://libvirt.org/schemas/domain/qemu/1.0")],
        ..Limits::default()
    };
    let document = Document::parse(text, &limits).unwrap();
    let mut out = Vec::new();
    walk(&document, document.root(), "", &mut out);
    out
}

#[test]
fn the_edits_of_pass_2_arrive_in_pass_3_as_captured() {
    for name in NAMES {
        let reduced = reduce(sample(name, "pass2.edited").as_bytes()).unwrap();
        let captured = sample(name, "pass3");
        same_lines(name, &lines(&reduced), &lines(&captured));
        assert_eq!(reduced, captured, "{name}: the same tree, but other bytes");
    }
}

fn same_lines(name: &str, ours: &[String], theirs: &[String]) {
    let differs = ours.iter().zip(theirs).find(|(ours, theirs)| ours != theirs);
    assert!(differs.is_none(), "{name}: {differs:#?}");
    assert_eq!(ours.len(), theirs.len(), "{name}");
}

#[test]
fn what_kubevirt_wrote_itself_stays_but_for_the_qemu_namespace() {
    for name in NAMES {
        for pass in ["pass1", "pass2", "pass3", "target"] {
            let before = sample(name, pass);
            let mut expected = lines(&before);
            expected.retain(|line| !line.contains("/qemu:"));
            expected[0] = expected[0].replace(" xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\"", "");
            let reduced = reduce(before.as_bytes()).unwrap();
            same_lines(&format!("{name}.{pass}"), &lines(&reduced), &expected);
        }
    }
}

/// The generator of the benchmarks writes what KubeVirt would write.
#[test]
fn a_big_domain_is_kubevirts_own() {
    let big = big_domain::big_domain(100_000);
    assert!((100_000..110_000).contains(&big.len()));
    let expected = big
        .replace(" multifunction=\"on\"", "")
        .replace(" xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\"", "");
    assert_eq!(reduce(big.as_bytes()).unwrap(), expected);
    for line in ["<alias ", "<address type=\"pci\"", "<target bus"] {
        let mut found: Vec<_> = big.lines().filter(|l| l.contains(line)).collect();
        let all = found.len();
        found.sort_unstable();
        found.dedup();
        assert!(all > 100 && found.len() == all, "{line}: {} of {all} are unique", found.len());
    }
}
