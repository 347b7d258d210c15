//! Golden folders of what people write: `tests/golden/config/<case>/`.
//!
//! A case has any of `annotations.yaml` (a map), `profiles.d/NAME.yaml`, `profile.yaml` and `profile2.yaml` (`--profile` files),
//! `profiles.txt` (`--profile` names, one a line) and `set.txt` (`--set`, one a line); and what comes of it: `problems.txt`, or
//! `resolved.txt`. `UPDATE_GOLDEN=1 cargo test --test config` rewrites the outcome; look at the difference before you keep it.

#![allow(clippy::unwrap_used, reason = "a test may stop at what should not be")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use virt_tailor::config::{
    BUILT_IN, ProfileArgument, ProfileText, Profiles, Request, Resolved, resolve,
};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/config")
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn sorted(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    paths.sort();
    paths
}

fn lines(path: &Path) -> Vec<String> {
    let text = read(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn load(case: &Path) -> (Request, Profiles) {
    let annotations: BTreeMap<String, String> = read(&case.join("annotations.yaml"))
        .map(|text| serde_saphyr::from_str(&text).unwrap())
        .unwrap_or_default();
    let mut profiles = Profiles::built_in();
    for path in sorted(&case.join("profiles.d")) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let label = format!("profiles.d/{name}.yaml");
        let text = read(&path).unwrap();
        profiles.insert(name, ProfileText { label, text });
    }
    let files = ["profile.yaml", "profile2.yaml"].iter().filter_map(|name| {
        let label = (*name).to_owned();
        let text = read(&case.join(name))?;
        Some(ProfileArgument::File(ProfileText { label, text }))
    });
    let named = lines(&case.join("profiles.txt"));
    let request = Request {
        annotations,
        profiles: files
            .chain(named.into_iter().map(ProfileArgument::Name))
            .collect(),
        sets: lines(&case.join("set.txt")),
    };
    (request, profiles)
}

fn shown(resolved: &Resolved) -> String {
    format!("{resolved:#?}\n")
}

#[test]
fn every_case_comes_out_as_written() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    let cases = sorted(&golden());
    assert!(cases.len() > 30);
    for case in cases {
        let (request, profiles) = load(&case);
        let (name, other, outcome) = match resolve(&request, &profiles) {
            Ok(resolved) => ("resolved.txt", "problems.txt", shown(&resolved)),
            Err(problems) => ("problems.txt", "resolved.txt", format!("{problems}\n")),
        };
        if update {
            fs::write(case.join(name), &outcome).unwrap();
            let _ = fs::remove_file(case.join(other));
        } else if read(&case.join(name)).as_ref() != Some(&outcome) {
            wrong.push(format!("{}/{name} should be:\n{outcome}", case.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nif this is meant: UPDATE_GOLDEN=1 cargo test --test config",
        wrong.join("\n")
    );
}

#[test]
fn each_built_in_is_valid_and_names_no_device() {
    for (name, _) in BUILT_IN {
        let request = Request {
            profiles: vec![ProfileArgument::Name(name.to_owned())],
            ..Request::default()
        };
        let resolved = resolve(&request, &Profiles::built_in()).unwrap();
        assert!(resolved.spec.host_devices.is_empty(), "{name}");
        assert_ne!(resolved.spec, Resolved::default().spec, "{name}");
    }
}

#[test]
fn nothing_asked_is_nothing() {
    let resolved = resolve(&Request::default(), &Profiles::built_in()).unwrap();
    assert_eq!(resolved, Resolved::default());
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn resolve_inline(text: &str) -> bool {
        let mut request = Request::default();
        request
            .annotations
            .insert("virt-tailor.io/domain".to_owned(), text.to_owned());
        resolve(&request, &Profiles::built_in()).is_ok()
    }

    /// Texts near to what people write: pieces of profiles in any order.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "viommu",
            "hostDevices",
            "model",
            "device",
            "gpu0",
            "properties",
            "memory",
            ":",
            ": ",
            "- ",
            "{",
            "}",
            "[",
            "]",
            ",",
            "\n",
            "\n  ",
            "\"",
            "'",
            "&a ",
            "*a",
            "<<",
            "null",
            "on",
            "auto",
            "0x10",
            "1e3",
            "64Mi",
            "0000:05:00.0",
            "10de:2206",
            "---",
            "!!int ",
            "|",
            "#",
            "\u{fe0f}",
            "\t",
            "é",
            "?",
            "%",
            "@",
            "~",
        ]);
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            resolve_inline(&text);
        }

        #[test]
        fn any_near_text_is_read_or_refused(text in pieces()) {
            resolve_inline(&text);
        }

        #[test]
        fn any_set_is_read_or_refused(path in "[a-zA-Z.\\[\\]:0-9-]{0,40}", value in pieces()) {
            let sets = vec![format!("{path}={value}"), path, value];
            let request = Request { sets, ..Request::default() };
            let _ = resolve(&request, &Profiles::built_in());
        }

        /// A field that a stronger layer resets is as if nobody had set it.
        #[test]
        fn null_takes_back(which in prop::sample::subsequence(
            vec![
                "viommu.model=intel", "memory.locked=on", "cpu.cache=emulate", "quirks=auto", "qemu.env.A=b",
                "hostDevices.gpu0.bootOrder=1", "hostDevices[0000:3b:00.0].rom.bar=off", "devices.sharedMemory.x=1Mi",
            ], 0..8), keep in any::<u8>()) {
            let kept = |i: usize| keep >> i & 1 == 1;
            let with = |i: &(usize, &&str)| kept(i.0);
            let few: Vec<String> = which.iter().enumerate().filter(with).map(|(_, set)| (*set).to_owned()).collect();
            let reset = |set: &str| {
                let path = set.split('=').next().unwrap_or_default();
                // Of a device, its item.
                let path = match path.split_once(']') {
                    Some((device, _)) => format!("{device}]"),
                    None if path.starts_with("hostDevices") => "hostDevices.gpu0".to_owned(),
                    None => path.to_owned(),
                };
                format!("{path}=null")
            };
            let resets = which.iter().enumerate().filter(|(i, _)| !kept(*i)).map(|(_, set)| reset(set));
            let all: Vec<String> = which.iter().map(|set| (*set).to_owned()).chain(resets).collect();
            let of = |sets| resolve(&Request { sets, ..Request::default() }, &Profiles::built_in()).unwrap();
            prop_assert_eq!(of(few), of(all));
        }
    }
}
