//! Memory limits and backing.

use super::super::units::bytes;
use super::Findings;

pub(super) fn check(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    for name in ["hard_limit", "soft_limit", "swap_hard_limit"] {
        let Some(limit) = doc.descend(doc.root(), &["memtune", name]) else { continue };
        let text = doc.text(limit);
        // libvirt does not strip white space here.
        if text.parse::<u64>().is_err() || bytes(doc, limit).is_none() {
            let unit = doc.attribute(limit, "unit").unwrap_or_default();
            findings.add(
                "memtune-value",
                format!(
                    "<memtune><{name}> is {text:?} with unit {unit:?}; it must be a whole number with a unit such as KiB, MiB, GiB"
                ),
            );
        }
    }
    let Some(backing) = doc.child(doc.root(), "memoryBacking") else { return };
    if doc.child(backing, "hugepages").is_none() {
        return;
    }
    let attribute = |child, name| doc.child(backing, child).and_then(|child| doc.attribute(child, name));
    if attribute("source", "type").as_deref() == Some("anonymous") {
        findings
            .add("hugepages-anonymous", "<hugepages> cannot be had with <source type='anonymous'/>; use memfd or file");
    }
    if attribute("allocation", "mode").as_deref() == Some("ondemand") {
        findings
            .add("hugepages-ondemand", "<hugepages> cannot be allocated on demand; use <allocation mode='immediate'/>");
    }
}
