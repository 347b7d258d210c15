//! `check` refuses every domain of which a real libvirt or QEMU is known to refuse it, and takes their sound neighbours.
//!
//! `tests/golden/check/README.md` says what the folders hold; `ours.txt` is our own text. That libvirt really says so is shown by
//! `tests/libvirt`. `UPDATE_GOLDEN=1` rewrites `ours.txt`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use virt_tailor::domain::{Domain, check};

fn sorted(folder: &str) -> Vec<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Our findings, one a line.
fn findings(path: &Path, session: bool) -> String {
    let domain = Domain::parse(fs::read(path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    check(domain.document(), session).into_iter().map(|f| format!("{}: {}\n", f.rule, f.message)).collect()
}

#[test]
fn every_rule_is_ours_too() {
    let mut wrong = String::new();
    for case in sorted("golden/check").into_iter().filter(|path| path.is_dir()) {
        let how = fs::read_to_string(case.join("how.txt")).unwrap();
        let found = findings(&case.join("domain.xml"), how.contains("stage: session"));
        if case.join("not-ours.txt").exists() {
            // Says why we cannot know.
            assert_eq!(found, "", "{}", case.display());
            continue;
        }
        let golden = case.join("ours.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() && !found.is_empty() {
            fs::write(&golden, &found).unwrap();
        }
        let name = case.file_name().unwrap().to_string_lossy();
        if found.lines().count() != 1 {
            wrong.push_str(&format!("{name}: one rule is broken, we find {}:\n{found}", found.lines().count()));
        } else if fs::read_to_string(&golden).unwrap_or_default() != found {
            wrong.push_str(&format!("{name}: not as in ours.txt:\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn sound_neighbours_are_taken() {
    for path in sorted("golden/check-sound") {
        assert_eq!(findings(&path, false), "", "{}", path.display());
    }
}

#[test]
fn kubevirts_own_domains_are_taken() {
    for path in sorted("data/kubevirt") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".xml") && !name.contains("target") {
            assert_eq!(findings(&path, true), "", "{name}");
        }
    }
}

/// The names of all rules, as they stand in the source.
fn rules_of(folder: &Path, into: &mut BTreeSet<String>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            rules_of(&path, into);
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let calls = source.split(".add(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
        into.extend(calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
}

#[test]
fn every_rule_is_confirmed_or_says_why_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut rules = BTreeSet::new();
    rules_of(&root.join("src/domain/check"), &mut rules);
    assert!(rules.len() > 50, "only {} rules found", rules.len());
    let name = |line: &str| line.split_once(": ").unwrap().0.to_owned();
    let cases = sorted("golden/check").into_iter().filter_map(|case| fs::read_to_string(case.join("ours.txt")).ok());
    let confirmed: BTreeSet<String> = cases.map(|text| name(&text)).collect();
    let list = fs::read_to_string(root.join("tests/golden/check/not-confirmed.txt")).unwrap();
    let excepted: BTreeSet<String> = list.lines().map(name).collect();
    let both: Vec<_> = confirmed.intersection(&excepted).collect();
    assert!(both.is_empty(), "confirmed and yet in not-confirmed.txt: {both:?}");
    let shown: BTreeSet<String> = confirmed.union(&excepted).cloned().collect();
    let missing: Vec<_> = rules.difference(&shown).collect();
    assert!(missing.is_empty(), "rules without a folder in tests/golden/check: {missing:?}");
    let unknown: Vec<_> = shown.difference(&rules).collect();
    assert!(unknown.is_empty(), "the source has no rules {unknown:?}");
}
