//! Golden folders: `tests/golden/cloudinit/<case>/` with `user-data`, `guest.yaml` (a profile's `guest` section) and what comes of it:
//! `output`, or `error.txt`. The functions that every output has alike are left out of it.
//!
//! `UPDATE_GOLDEN=1 cargo test --test cloudinit` rewrites the outcome; look at the difference before you keep it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use virt_tailor::config::{Guest, INLINE, Profiles, Request, resolve};
use virt_tailor::kubevirt::cloudinit::{Merged, merge_user_data, original_user_data};

const FUNCTIONS: &str = include_str!("../../src/kubevirt/cloudinit/guest.sh");

/// Reads a `guest` section as it is written in a profile.
pub(crate) fn guest(yaml: &str) -> Guest {
    let annotations = BTreeMap::from([(INLINE.to_owned(), yaml.to_owned())]);
    let request = Request { annotations, ..Request::default() };
    resolve(&request, &Profiles::built_in()).unwrap().spec.guest
}

/// The folders.
pub(crate) fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cloudinit");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// The two inputs of a case.
pub(crate) fn inputs(case: &Path) -> (Vec<u8>, Guest) {
    let yaml = fs::read_to_string(case.join("guest.yaml")).unwrap();
    (fs::read(case.join("user-data")).unwrap(), guest(&yaml))
}

fn without_functions(text: &str) -> String {
    let lines = FUNCTIONS.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") });
    let functions: String = lines.collect();
    assert!(text.contains(&functions));
    text.replacen(&functions, "    # (the functions)\n", 1)
}

#[test]
fn every_case_comes_out_as_written() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 20);
    for case in cases {
        let (user_data, guest) = inputs(&case);
        let (name, other, outcome) = match merge_user_data(&user_data, &guest) {
            Ok(Merged::Changed(merged)) => ("output", "error.txt", without_functions(&merged)),
            Ok(Merged::Unchanged) => ("output", "error.txt", String::from_utf8(user_data).unwrap()),
            Err(error) => ("error.txt", "output", format!("{error}\n")),
        };
        if update {
            fs::write(case.join(name), &outcome).unwrap();
            let _ = fs::remove_file(case.join(other));
        } else if fs::read_to_string(case.join(name)).ok().as_ref() != Some(&outcome) {
            wrong.push(format!("{}/{name} should be:\n{outcome}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nif this is meant: UPDATE_GOLDEN=1 cargo test --test cloudinit", wrong.join("\n"));
}

#[test]
fn merging_again_replaces_our_part_and_the_original_can_be_had_back() {
    let other = guest("guest: {denyModules: [ixgbevf]}");
    for case in cases() {
        let (user_data, guest) = inputs(&case);
        let Ok(Merged::Changed(once)) = merge_user_data(&user_data, &guest) else {
            continue;
        };
        let once = once.as_bytes();
        assert_eq!(merge_user_data(once, &guest), Ok(Merged::Unchanged), "{}", case.display());
        assert_eq!(original_user_data(once).unwrap(), user_data, "{}", case.display());
        let direct = merge_user_data(&user_data, &other).unwrap();
        assert_eq!(merge_user_data(once, &other).unwrap(), direct, "{}", case.display());
    }
}

#[test]
fn no_error_shows_the_user_data() {
    for case in cases() {
        let (user_data, guest) = inputs(&case);
        if let Err(error) = merge_user_data(&user_data, &guest) {
            let error = error.to_string();
            assert_eq!(error.lines().count(), 1, "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
