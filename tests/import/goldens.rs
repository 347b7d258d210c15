//! Every case, through the program, comes out as written.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::host_tree;
use crate::places::{cases, files};

/// What came of a run in a folder: the files by name, or the error. With `host.txt`, compared with that node.
pub(crate) fn run(
    folder: &Path,
    input: &str,
    name: &str,
    extra: &[&str],
) -> Result<BTreeMap<String, String>, (i32, String)> {
    let out = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_virt-tailor"));
    command.current_dir(folder).args(["import", input, "--name", name, "-o"]).arg(out.path().join("made")).args(extra);
    let host = fs::read_to_string(folder.join("host.txt")).ok().map(|text| host_tree::unpack_text(&text));
    if let Some(host) = &host {
        command.args(["--check-node", "--node-name", "worker-1", "--host-root"]).arg(host.path());
    }
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    if !output.status.success() {
        assert!(!out.path().join("made").exists(), "failed, and yet wrote");
        return Err((output.status.code().unwrap(), error));
    }
    let made = out.path().join("made");
    let place = format!(": see {}", made.join("report.txt").display());
    assert!(error.lines().count() == 1 && error.contains(&place) && output.stdout.is_empty(), "{error}");
    // Where to look is said if there is anything to fill in; the heading has the word once.
    let config = fs::read_to_string(made.join("node-config.yaml")).unwrap();
    assert_eq!(error.contains(", and look for \"fill-in\""), config.matches("fill-in").count() > 1, "{error}");
    let name = |path: &Path| path.strip_prefix(&made).unwrap().to_str().unwrap().to_owned();
    Ok(files(&made).iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect())
}

/// Compares what was made with what stands in a folder, or writes it there.
pub(crate) fn compare(folder: &Path, made: &BTreeMap<String, String>, inputs: &[&str]) -> Vec<String> {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let of = |path: &Path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    let known: Vec<String> =
        if folder.exists() { files(folder).iter().map(|path| of(path)).collect() } else { Vec::new() };
    let known = known.into_iter().filter(|name| !inputs.iter().any(|input| name.starts_with(input)));
    let mut wrong = Vec::new();
    for name in known.filter(|name| !made.contains_key(name)) {
        if update {
            fs::remove_file(folder.join(&name)).unwrap();
        } else {
            wrong.push(format!("{}/{name} is not made any more", folder.display()));
        }
    }
    for (name, text) in made {
        let path = folder.join(name);
        if update {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
        } else if fs::read_to_string(&path).ok().as_ref() != Some(text) {
            wrong.push(format!("{} should be:\n{text}", path.display()));
        }
    }
    wrong
}

#[test]
fn every_case_comes_out_as_written() {
    let mut wrong = Vec::new();
    let (mut good, mut bad) = (0, 0);
    for case in cases() {
        let made = match run(&case, "input", "imported", &[]) {
            Ok(made) => {
                good += 1;
                made
            }
            Err((code, error)) => {
                bad += 1;
                assert_eq!(code, 65, "{}: {error}", case.display());
                BTreeMap::from([("error.txt".to_owned(), error)])
            }
        };
        let is_error = case.file_name().unwrap().to_str().unwrap().starts_with("error-");
        assert_eq!(made.contains_key("error.txt"), is_error, "{}: {made:?}", case.display());
        wrong.extend(compare(&case, &made, &["input/", "host.txt"]));
    }
    assert!(good >= 17 && bad >= 4, "only {good} good and {bad} bad cases");
    assert!(wrong.is_empty(), "{}\nif this is meant: UPDATE_GOLDEN=1 cargo test --test import", wrong.join("\n"));
}

/// With `--strict`, what is not understood is an error, and the others are none.
#[test]
fn strict_refuses_what_is_not_understood() {
    let case = cases().into_iter().find(|case| case.ends_with("shell")).unwrap();
    let (code, error) = run(&case, "input", "imported", &["--strict"]).unwrap_err();
    assert_eq!(code, 65);
    assert!(error.starts_with("virt-tailor: not all of it is understood, for "), "{error}");
    assert!(
        error.contains("input/usr/local/bin/prepare.sh:43: nvidia-smi -pm 0: nothing is known of nvidia-smi here"),
        "{error}"
    );
    let case = cases().into_iter().find(|case| case.ends_with("ignition-2")).unwrap();
    run(&case, "input", "imported", &["--strict"]).unwrap();
}

/// Without a folder: one stream, whose comments are the report and whose documents are the files.
#[test]
fn without_a_folder_all_goes_to_standard_output() {
    let case = cases().into_iter().find(|case| case.ends_with("modprobe")).unwrap();
    let made = run(&case, "input", "imported", &[]).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_virt-tailor")).current_dir(&case).args(["import", "input"]).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let report: String =
        made["report.txt"].lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect();
    let documents: Vec<&str> =
        made.iter().filter(|(name, _)| name.starts_with("profiles/")).map(|(_, text)| text.as_str()).collect();
    assert!(!documents.is_empty());
    let expected = format!("{report}\n{}", made["node-config.yaml"]);
    let expected = documents.iter().fold(expected, |all, one| format!("{all}---\n{one}"));
    assert_eq!(text, expected);
}
