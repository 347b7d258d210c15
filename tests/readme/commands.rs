//! Every command on every page: ours run and say what the page says, of others the files are there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser as _;
use tempfile::TempDir;
use virt_tailor::cli::Cli;

use crate::pages::{all, blocks, page, root};
use crate::rig::PROGRAM;

/// The `console` blocks: each command with the lines shown below it. A line that ends in `\` goes on, ` # ` begins a remark.
pub(crate) fn commands(page: &str) -> Vec<(String, Vec<String>)> {
    let mut out: Vec<(String, Vec<String>)> = Vec::new();
    for block in blocks(page, "console") {
        for line in block.replace("\\\n", " ").lines() {
            match line.strip_prefix("$ ") {
                Some(command) => out.push((command.split(" # ").next().unwrap().trim().to_owned(), Vec::new())),
                None => out.last_mut().unwrap().1.push(line.to_owned()),
            }
        }
    }
    out
}

/// A folder like that of the repository, with the VM of the front page beside.
fn desk() -> TempDir {
    let desk = tempfile::tempdir().unwrap();
    for name in ["examples", "images"] {
        symlink(root().join(name), desk.path().join(name)).unwrap();
    }
    let vm = blocks(&page("README.md"), "yaml").into_iter().find(|block| block.contains("kind: VirtualMachine"));
    fs::write(desk.path().join("vm.yaml"), vm.unwrap()).unwrap();
    // The document of the page about nodes.
    fs::write(desk.path().join("node.yaml"), &blocks(&page("docs/node.md"), "yaml")[0]).unwrap();
    desk
}

/// A command of ours: it can be read, and does what is shown. What needs a libvirt is not run here but in `tests/libvirt`; for what is
/// about a node see `node`.
fn ours(place: &Path, command: &str, shown: &[String]) {
    // Where its output goes is the shell's affair.
    let words: Vec<&str> = command.split(" > ").next().unwrap().split_whitespace().collect();
    if let Err(error) = Cli::try_parse_from(&words) {
        panic!("{command}\n{error}");
    }
    if words.contains(&"--connect") {
        return;
    }
    if words[1] == "node" {
        assert!(shown.is_empty(), "{command}");
        return crate::node::runs(place, command);
    }
    let output = Command::new(PROGRAM).args(&words[1..]).current_dir(place).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.success(), shown.is_empty(), "{command}\n{error}");
    if !shown.is_empty() {
        assert_eq!(error.lines().collect::<Vec<_>>(), shown, "{command}");
    }
}

/// Files that a foreign command names.
fn files(command: &str) -> Vec<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let after = |option: &str| words.windows(2).filter(|two| two[0] == option).map(|two| two[1].to_owned()).collect();
    let mut files: Vec<String> =
        ["-f", "--file", "--patch-file"].iter().flat_map(|option| -> Vec<_> { after(option) }).collect();
    let from = words.iter().filter_map(|word| word.strip_prefix("--from-file=")?.split_once('='));
    files.extend(from.map(|(_, file)| file.to_owned()));
    // Standard input.
    files.retain(|file| file != "-");
    files
}

/// `images/build` says which options it knows.
fn assert_known_options(command: &str) {
    let output = Command::new(root().join("images/build")).arg("--help").output().unwrap();
    let usage = String::from_utf8(output.stdout).unwrap();
    for option in command.split_whitespace().filter(|word| word.starts_with("--")) {
        assert!(usage.contains(&format!("  {option} ")), "{command}: {option}");
    }
}

#[test]
fn commands_do_what_the_pages_say() {
    let desk = desk();
    let (mut ran, mut foreign) = (0, 0);
    for path in all() {
        let folder = Path::new(&path).parent().unwrap();
        // Pages about one scenario are read in its folder.
        let mut place = match folder.strip_prefix("examples") {
            Ok(scenario) if scenario != Path::new("") => desk.path().join(folder),
            _ => desk.path().to_owned(),
        };
        for (command, shown) in commands(&page(&path)) {
            let (first, rest) = command.split_once(' ').unwrap_or((&command, ""));
            match first {
                "virt-tailor" => {
                    ours(&place, &command, &shown);
                    ran += 1;
                    continue;
                }
                "cd" => place = PathBuf::from(desk.path()).join(rest),
                "images/build" => assert_known_options(&command),
                "alias" => assert_eq!(rest, "virt-tailor=target/release/virt-tailor"),
                "cargo" => assert_eq!(rest, "build --release"),
                "tests/run" => assert_eq!(rest, ""),
                // A cluster and a registry are not to be had here.
                "kubectl" | "virtctl" | "buildah" | "podman" | "docker" | "export" => foreign += 1,
                other => panic!("{path}: {other}"),
            }
            assert!(shown.is_empty(), "{path}: {command}");
            for file in files(&command) {
                assert!(place.join(&file).exists(), "{path}: {command}: no {file} in {}", place.display());
            }
        }
    }
    assert!(ran >= 7 && foreign >= 10, "only {ran} of ours, {foreign} of others");
}

/// Commands in running text: they are known, with whatever options are named there.
#[test]
fn commands_in_running_text_are_known() {
    let mut known = 0;
    for path in all() {
        for command in page(&path).split('`').filter(|text| text.starts_with("virt-tailor ")) {
            let words: Vec<&str> = command
                .split_whitespace()
                .map(|word| match word {
                    "VERSION" => "1.8",
                    word => word,
                })
                .collect();
            // The name of a verb, its options apart.
            let missing = match Cli::try_parse_from(&words) {
                Ok(_) => continue,
                Err(error) => error,
            };
            use clap::error::ErrorKind;
            let only_named = [ErrorKind::MissingRequiredArgument, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand];
            assert!(only_named.contains(&missing.kind()), "{path}: {command}\n{missing}");
            known += 1;
        }
    }
    assert!(known >= 5, "only {known}");
}

#[test]
fn the_vm_of_the_front_page_gets_what_the_page_says() {
    let desk = desk();
    let mut command = Command::new(PROGRAM);
    command.args(["mutate", "--domain", "examples/gpu-workstation/before.xml", "--vmi", "vm.yaml"]);
    let output = command.current_dir(desk.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // All that the scenario's own profile does.
    assert_eq!(String::from_utf8(output.stdout).unwrap(), page("examples/gpu-workstation/after.xml"));
}

#[test]
fn the_profile_and_the_diff_are_those_of_the_example() {
    let page = page("README.md");
    let profile: serde_json::Value = serde_saphyr::from_str(&blocks(&page, "yaml")[0]).unwrap();
    let example: serde_json::Value =
        serde_saphyr::from_str(include_str!("../../examples/gpu-workstation/profile.yaml")).unwrap();
    assert_eq!(profile, example);
    let after = include_str!("../../examples/gpu-workstation/after.xml");
    for line in blocks(&page, "diff")[0].lines().filter_map(|line| line.strip_prefix('+')) {
        assert!(after.contains(line), "{line}");
    }
}
