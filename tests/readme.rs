//! Every command of the front page that runs here is run, and says what the page says.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

use std::process::Command;

/// The `console` blocks: each command with the lines shown below it. A line that ends in `\` goes on.
fn commands(page: &str) -> Vec<(String, Vec<String>)> {
    let mut out: Vec<(String, Vec<String>)> = Vec::new();
    for block in page.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap().replace("\\\n", " ");
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => out.push((command.to_owned(), Vec::new())),
                None => out.last_mut().unwrap().1.push(line.to_owned()),
            }
        }
    }
    out
}

#[test]
fn the_commands_do_what_the_page_says() {
    let page = include_str!("../README.md");
    let mut ran = 0;
    for (command, shown) in commands(page) {
        let mut words = command.split_whitespace();
        if words.next() != Some("virt-tailor") {
            assert!(
                ["cargo build --release", "alias virt-tailor=target/release/virt-tailor", "tests/run"]
                    .contains(&command.as_str())
            );
            continue;
        }
        let output = Command::new(env!("CARGO_BIN_EXE_virt-tailor"))
            .args(words)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.success(), shown.is_empty(), "{command}\n{error}");
        if !shown.is_empty() {
            assert_eq!(error.lines().collect::<Vec<_>>(), shown, "{command}");
        }
        ran += 1;
    }
    assert!(ran >= 3, "only {ran} commands of ours are on the page");
}

#[test]
fn the_profile_and_the_diff_are_those_of_the_example() {
    let page = include_str!("../README.md");
    let profile: serde_json::Value =
        serde_saphyr::from_str(page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap()).unwrap();
    let example: serde_json::Value =
        serde_saphyr::from_str(include_str!("../examples/gpu-workstation/profile.yaml")).unwrap();
    assert_eq!(profile, example);
    let after = include_str!("../examples/gpu-workstation/after.xml");
    let diff = page.split("```diff\n").nth(1).unwrap().split("```").next().unwrap();
    for line in diff.lines().filter_map(|line| line.strip_prefix('+')) {
        assert!(after.contains(line), "{line}");
    }
}
