//! Golden folders: `tests/golden/domain/<subject>-<point>/`.
//!
//! | file | what it is |
//! |---|---|
//! | `domain.xml`, or `domain.txt` | the input, or the name of a file below `tests/data` |
//! | `profile.yaml` | a DomainProfile document |
//! | `profiles.txt`, `set.txt` | `--profile` names and `--set` settings, one a line |
//! | `vmi.yaml`, or `vmi.txt` | the VM or VMI, or the name of a file below `tests/data` |
//! | `host.txt` | the name of a host in `tests/data/hosts` |
//! | `libvirt.txt` | `session`, `system` or (without this file) `auto` |
//! | `lock-confirmed` | somebody has confirmed that enough memory may be locked |
//!
//! What comes of it: `output.diff` (against the input; missing if nothing changes) and `changes.txt`, or `error.txt`.
//! `UPDATE_GOLDEN=1 cargo test --test domain` rewrites the outcome; look at the difference before you keep it.

use std::fs;
use std::path::Path;

use virt_tailor::config::{ProfileArgument, ProfileText};
use virt_tailor::domain::LibvirtMode;

use crate::support::{Asked, Golden, changes, diff, host, line, read, sorted, soundness, tests, vm};

/// The input of a case.
pub(crate) fn input(case: &Path) -> Vec<u8> {
    let path = match line(&case.join("domain.txt")) {
        Some(name) => tests("data").join(name),
        None => case.join("domain.xml"),
    };
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a case asks for.
pub(crate) fn asked(case: &Path) -> Asked {
    let lines =
        |name: &str| -> Vec<String> { read(&case.join(name)).unwrap_or_default().lines().map(str::to_owned).collect() };
    let label = "profile.yaml".to_owned();
    let file = read(&case.join(&label)).map(|text| ProfileArgument::File(ProfileText { label, text }));
    let named = lines("profiles.txt").into_iter().map(ProfileArgument::Name);
    let written = [case.join("vmi.yaml")].into_iter().find(|path| path.exists());
    let vmi = written.or_else(|| line(&case.join("vmi.txt")).map(|name| tests("data").join(name)));
    Asked {
        profiles: file.into_iter().chain(named).collect(),
        sets: lines("set.txt"),
        vm: vmi.as_deref().map(vm),
        host: line(&case.join("host.txt")).as_deref().map(host),
        libvirt: match line(&case.join("libvirt.txt")).as_deref() {
            Some("session") => LibvirtMode::Session,
            Some("system") => LibvirtMode::System,
            None | Some("auto") => LibvirtMode::Auto,
            Some(other) => panic!("{}: libvirt.txt says {other}", case.display()),
        },
        lock_confirmed: case.join("lock-confirmed").exists(),
    }
}

#[test]
fn every_case_comes_out_as_written() {
    let mut golden = Golden::default();
    let cases = sorted(&tests("golden/domain"));
    assert!(cases.len() > 400, "only {} cases", cases.len());
    for case in cases {
        let name = case.file_name().unwrap().to_string_lossy();
        let (input, asked) = (input(&case), asked(&case));
        let [mut shown_diff, mut shown_changes, mut error] = [None, None, None];
        match asked.run(&input) {
            Ok(outcome) => {
                if let Err(what) = soundness(&asked, &input, &outcome) {
                    golden.wrong(format!("{name}: {what}"));
                }
                shown_diff = Some(diff(&input, &outcome.bytes)).filter(|diff| !diff.is_empty());
                shown_changes = Some(changes(&outcome));
            }
            Err(message) => error = Some(format!("{message}\n")),
        }
        golden.expect(&case.join("output.diff"), shown_diff.as_deref());
        golden.expect(&case.join("changes.txt"), shown_changes.as_deref());
        golden.expect(&case.join("error.txt"), error.as_deref());
    }
    golden.done();
}

/// A case without its outcome, or with a name that says nothing, has been forgotten.
#[test]
fn cases_are_named_and_complete() {
    for case in sorted(&tests("golden/domain")) {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let subject = name.split_once('-').map(|(subject, _)| subject);
        let subjects = [
            "viommu",
            "device",
            "place",
            "setting",
            "companions",
            "memory",
            "firmware",
            "pci",
            "cpu",
            "features",
            "devices",
            "qemu",
            "quirk",
            "document",
            "rule",
            "start",
        ];
        assert!(subject.is_some_and(|subject| subjects.contains(&subject)), "{name}: <subject>-<point>");
        for entry in sorted(&case) {
            let file = entry.file_name().unwrap().to_string_lossy().into_owned();
            let known = [
                "domain.xml",
                "domain.txt",
                "profile.yaml",
                "profiles.txt",
                "set.txt",
                "vmi.yaml",
                "vmi.txt",
                "host.txt",
                "libvirt.txt",
                "lock-confirmed",
                "output.diff",
                "changes.txt",
                "error.txt",
            ];
            assert!(known.contains(&file.as_str()), "{name}: nothing reads {file}");
        }
    }
}
