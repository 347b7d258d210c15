//! What holds whatever comes in: over generated domains and settings, over the samples, and over anything at all.

use std::fs;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::Config;

use virt_tailor::config::ProfileArgument;
use virt_tailor::domain::{Domain, LibvirtMode, Outcome};
use virt_tailor::host::HostFacts;

use crate::generate::{domain, sets};
use crate::support::{Asked, diff, host, sorted, soundness, tests};
use crate::tokens::unexplained;

static HOST: LazyLock<HostFacts> = LazyLock::new(|| host("workstation-rebar"));

/// A number of cases; `PROPTEST_CASES` overrides it for a long run by hand.
pub(crate) fn cases(cases: u32) -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// A way to ask: settings, facts or none, session mode or system mode.
pub(crate) fn asked() -> impl Strategy<Value = Asked> {
    let profiles = prop_oneof![
        3 => Just(None),
        1 => proptest::sample::select(vec!["gpu-workstation", "dpdk-viommu", "vgpu-desktop", "low-latency"]).prop_map(Some),
    ];
    let args = prop::sample::select(vec![
        "{}",
        "{}",
        "qemu: {args: [-global, x=y, -no-shutdown]}",
        "qemu: {args: [-fw_cfg, 'name=opt/ovmf/X-PciMmio64Mb,string=1'], env: {A: c}}",
        "hostDevices:\n- device: 0000:0a:00.0\n  properties: {x-no-mmap: true}",
    ]);
    let parts = (profiles, args, sets(), any::<bool>(), any::<bool>(), any::<bool>());
    parts.prop_map(|(profile, spec, sets, facts, session, lock)| {
        let named = profile.map(|name| ProfileArgument::Name(name.to_owned()));
        Asked {
            profiles: named.into_iter().chain(Asked::spec(spec).profiles).collect(),
            sets,
            vm: None,
            host: facts.then(|| HOST.clone()),
            libvirt: if session { LibvirtMode::Session } else { LibvirtMode::System },
            lock_confirmed: lock,
        }
    })
}

/// A domain that fits, or a refusal in whole lines.
fn fits(asked: &Asked, input: &str) -> Result<Option<Outcome>, TestCaseError> {
    match asked.run(input.as_bytes()) {
        Ok(outcome) => {
            soundness(asked, input.as_bytes(), &outcome).map_err(TestCaseError::fail)?;
            Ok(Some(outcome))
        }
        Err(refusal) => {
            prop_assert!(!refusal.trim().is_empty());
            prop_assert!(refusal.lines().all(|line| !line.trim().is_empty()), "{refusal:?}");
            Ok(None)
        }
    }
}

/// What nobody asked for is there still, once, in order; and nothing changes that no change names.
fn keeps(input: &str, kept: &[String], outcome: &Outcome) -> Result<(), TestCaseError> {
    let output = str::from_utf8(&outcome.bytes).unwrap();
    let mut rest = output;
    for bytes in kept {
        let Some(at) = rest.find(bytes) else {
            return Err(TestCaseError::fail(format!(
                "lost or moved: {bytes}\n{}",
                diff(input.as_bytes(), &outcome.bytes)
            )));
        };
        rest = &rest[at + bytes.len()..];
    }
    let wrong = unexplained(input, output, &outcome.changes);
    prop_assert!(wrong.is_empty(), "{wrong:?}\n{:#?}\n{}", outcome.changes, diff(input.as_bytes(), &outcome.bytes));
    Ok(())
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_generated_domain_is_fitted_once_and_only_where_asked((input, kept) in domain(), asked in asked()) {
        if let Some(outcome) = fits(&asked, &input)? {
            keeps(&input, &kept, &outcome)?;
        }
    }

    /// Each subject by itself, so that a refusal of another does not hide it.
    #[test]
    fn one_setting_alone((input, kept) in domain(), asked in asked(), which in any::<prop::sample::Index>()) {
        let mut asked = asked;
        if !asked.sets.is_empty() {
            asked.sets = vec![which.get(&asked.sets).clone()];
        }
        asked.profiles.clear();
        if let Some(outcome) = fits(&asked, &input)? {
            keeps(&input, &kept, &outcome)?;
        }
    }

    #[test]
    fn who_asks_for_nothing_gets_the_very_bytes((input, _) in domain(), which in 0..3usize) {
        nothing(&input, which)?;
    }

    /// A domain with some lines out of place, doubled or missing: refused or fitted, never a crash.
    #[test]
    fn a_broken_domain_is_refused_or_fitted((input, _) in domain(), asked in asked(), cuts in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4)) {
        let mut pieces: Vec<&str> = input.split_inclusive('>').collect();
        for (index, what) in cuts {
            let at = index.index(pieces.len());
            match what % 3 {
                0 => drop(pieces.remove(at)),
                1 => pieces.insert(at, pieces[at]),
                _ => {
                    let other = usize::from(what) % pieces.len();
                    pieces.swap(at, other);
                }
            }
            if pieces.is_empty() {
                break;
            }
        }
        fits(&asked, &pieces.concat())?;
    }

    #[test]
    fn any_text_is_refused_or_fitted(text in any::<String>(), inner in "[<>/a-z \"'=&;!\\[\\]-]{0,40}", asked in asked()) {
        fits(&asked, &text)?;
        fits(&asked, &format!("<domain type='kvm'><devices>{inner}</devices></domain>"))?;
        fits(&asked, &format!("<domain>{inner}</domain>"))?;
    }

    /// Elements with the names that matter, anywhere, with any values.
    #[test]
    fn known_names_in_any_place(input in nested(), asked in asked()) {
        fits(&asked, &input)?;
    }
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn the_samples_are_fitted_once_and_only_where_asked(asked in asked()) {
        for folder in ["kubevirt", "adversarial"] {
            for path in sorted(&tests("data").join(folder)).into_iter().filter(|p| p.extension().is_some_and(|e| e == "xml")) {
                // Latin-1 and other bytes are refused in the golden cases.
                let Ok(input) = fs::read_to_string(&path) else { continue };
                if let Some(outcome) = fits(&asked, &input)? {
                    keeps(&input, &[], &outcome)?;
                }
                if Domain::parse(input.as_str()).is_ok() {
                    (0..3).try_for_each(|which| nothing(&input, which))?;
                }
            }
        }
    }
}

/// No profile at all, quirks off, only the guest's own section.
fn nothing(input: &str, which: usize) -> Result<(), TestCaseError> {
    let asked = match which {
        0 => Asked::default(),
        1 => Asked::spec("quirks: off"),
        _ => Asked::spec("guest: {kernelArgs: [quiet], memlock: unlimited}"),
    };
    let outcome = asked.run(input.as_bytes()).map_err(TestCaseError::fail)?;
    prop_assert!(outcome.bytes == input.as_bytes());
    prop_assert!(outcome.changes.is_empty() && outcome.notes.is_empty());
    Ok(())
}

/// Well-formed documents of known names in any nesting.
fn nested() -> impl Strategy<Value = String> {
    const NAMES: [&str; 28] = [
        "devices",
        "hostdev",
        "source",
        "address",
        "alias",
        "iommu",
        "driver",
        "features",
        "hyperv",
        "vendor_id",
        "kvm",
        "hidden",
        "ioapic",
        "cpu",
        "cache",
        "maxphysaddr",
        "feature",
        "os",
        "type",
        "loader",
        "nvram",
        "memory",
        "maxMemory",
        "memtune",
        "hard_limit",
        "memoryBacking",
        "controller",
        "video",
    ];
    const ATTRIBUTES: [&str; 12] =
        ["type", "model", "name", "index", "bus", "slot", "function", "domain", "mode", "unit", "state", "machine"];
    const VALUES: [&str; 18] = [
        "pci",
        "q35",
        "on",
        "off",
        "0",
        "1",
        "0x1f",
        "-1",
        "99999999999999999999",
        "",
        "intel",
        "ua-gpu-gpu0",
        "subsystem",
        "hostdev",
        "none",
        "GiB",
        "\u{fffd}",
        "host-passthrough",
    ];
    let name = || prop::sample::select(NAMES.to_vec());
    let attributes = prop::collection::btree_map(
        prop::sample::select(ATTRIBUTES.to_vec()),
        prop::sample::select(VALUES.to_vec()),
        0..4,
    );
    let tag = (name(), attributes).prop_map(|(name, attributes)| {
        let attributes: String = attributes.into_iter().map(|(name, value)| format!(" {name}='{value}'")).collect();
        (name, attributes)
    });
    let text = prop::sample::select(VALUES.to_vec());
    let leaf =
        (tag.clone(), text).prop_map(|((name, attributes), text)| format!("<{name}{attributes}>{text}</{name}>"));
    let node = leaf.prop_recursive(5, 60, 6, move |inner| {
        (tag.clone(), prop::collection::vec(inner, 0..6))
            .prop_map(|((name, attributes), inner)| format!("<{name}{attributes}>{}</{name}>", inner.concat()))
    });
    prop::collection::vec(node, 0..8).prop_map(|nodes| format!("<domain type='kvm'>{}</domain>", nodes.concat()))
}

#[test]
fn most_generated_domains_can_be_fitted() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut fitted, mut changed) = (0, 0);
    for _ in 0..200 {
        let ((input, _), mut asked) = (domain(), asked()).new_tree(&mut runner).unwrap().current();
        asked.sets.truncate(2);
        if let Ok(outcome) = asked.run(input.as_bytes()) {
            fitted += 1;
            changed += usize::from(!outcome.changes.is_empty());
        }
    }
    assert!(fitted > 60 && changed > 40, "{fitted} fitted, {changed} changed: the properties above say little");
}
