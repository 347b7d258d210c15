//! Reducing twice is reducing once; nothing makes it panic; what it writes can be read.

use proptest::prelude::*;
use virt_tailor::kubevirt::reduce::{Release, reduce, reduce_for};

use crate::{NAMES, lines, sample};

/// All that the releases can know.
const ALL: Release = Release { keeps_qemu_commandline: true, keeps_nosharepages: true, knows_iommu: true };
/// Nothing that is new.
const NOTHING: Release = Release { keeps_qemu_commandline: false, keeps_nosharepages: false, knows_iommu: false };

fn idempotent(input: &str) {
    for release in [Release::default(), ALL, NOTHING] {
        if let Ok(once) = reduce_for(input.as_bytes(), release) {
            let twice = reduce_for(once.as_bytes(), release).expect("what was written is a domain");
            assert_eq!(once, twice, "{release:?}");
            lines(&once);
        }
    }
}

#[test]
fn samples_are_reduced_once() {
    for name in NAMES {
        for pass in ["pass1", "pass2", "pass2.edited", "pass3", "target"] {
            idempotent(&sample(name, pass));
        }
    }
}

#[test]
fn adversarial_samples_are_reduced_once() {
    let folder = format!("{}/tests/data/adversarial", env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        if let Ok(text) = std::str::from_utf8(&bytes) {
            idempotent(text);
        } else {
            assert!(reduce(&bytes).is_err());
        }
    }
}

/// Words of libvirt and KubeVirt, in any order and at any depth.
fn domain() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "domain",
        "memory",
        "devices",
        "iommu",
        "driver",
        "hostdev",
        "source",
        "address",
        "acpi",
        "controller",
        "target",
        "node",
        "disk",
        "backingStore",
        "dataStore",
        "slices",
        "slice",
        "memoryBacking",
        "hugepages",
        "nosharepages",
        "features",
        "hyperv",
        "stimer",
        "direct",
        "cpu",
        "model",
        "sysinfo",
        "system",
        "entry",
        "metadata",
        "vcpu",
        "vcpus",
        "x:name",
        "uuid",
        "qemu:commandline",
        "qemu:arg",
        "video",
        "memballoon",
        "stats",
        "interface",
        "alias",
    ]);
    let attribute = prop::sample::select(vec![
        "",
        " type='pci'",
        " index='07'",
        " order='1'",
        " model=''",
        " x:type='&#xA;&quot;'",
        " name=\"ua-é'\"",
        " value='a&lt;b'",
        " sockets='0'",
        " heads='2'",
        " port='-1'",
        " iommufd='yes'",
        " size='1' unit='M'",
    ]);
    let text = prop::sample::select(vec!["", "", "17", " 5 ", "&lt;x&gt;", "<![CDATA[ ' ]]>", "<!-- c -->", "true"]);
    let leaf = (name.clone(), attribute.clone(), text.clone())
        .prop_map(|(name, attribute, text)| format!("<{name}{attribute}>{text}</{name}>"));
    let tree = leaf.prop_recursive(6, 48, 6, move |inner| {
        (name.clone(), attribute.clone(), prop::collection::vec(inner, 0..6), text.clone()).prop_map(
            |(name, attribute, children, text)| format!("<{name}{attribute}>{text}{}</{name}>", children.concat()),
        )
    });
    prop::collection::vec(tree, 0..6)
        .prop_map(|trees| format!("<domain xmlns:x='urn:x' type='kvm'>{}</domain>", trees.concat()))
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn generated_domains_are_reduced_once(text in domain()) {
        idempotent(&text);
    }

    #[test]
    fn nothing_panics(mut text in domain(), at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..5)) {
        let mut broken = std::mem::take(&mut text).into_bytes();
        let at = at.index(broken.len());
        broken.splice(at..at, bytes);
        let _ = reduce(&broken);
    }
}
