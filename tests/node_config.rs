//! Golden folders of NodeConfigs: `tests/golden/node-config/<case>/` has `input.yaml`, and what comes of it: `error.txt`, or
//! `normalised.json`. `UPDATE_GOLDEN=1 cargo test --test node_config` rewrites the outcome; look at the difference before you keep it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use virt_tailor::config::node::{NodeConfig, PrepareStep, ProfileStep, Target};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sorted(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn cases() -> Vec<(PathBuf, String)> {
    let cases = sorted(&root().join("tests/golden/node-config"));
    cases.into_iter().map(|case| (case.clone(), fs::read_to_string(case.join("input.yaml")).unwrap())).collect()
}

fn normalised(config: &NodeConfig) -> String {
    format!("{:#}\n", config.normalised())
}

#[test]
fn every_case_comes_out_as_written() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    let (mut good, mut bad) = (0, 0);
    for (case, text) in cases() {
        let (name, other, outcome) = match NodeConfig::read("input.yaml", &text) {
            Ok(config) => {
                good += 1;
                ("normalised.json", "error.txt", normalised(&config))
            }
            Err(problems) => {
                bad += 1;
                ("error.txt", "normalised.json", format!("{problems}\n"))
            }
        };
        if update {
            fs::write(case.join(name), &outcome).unwrap();
            let _ = fs::remove_file(case.join(other));
        } else if fs::read_to_string(case.join(name)).ok().as_ref() != Some(&outcome) || case.join(other).exists() {
            wrong.push(format!("{}/{name} should be:\n{outcome}", case.display()));
        }
    }
    assert!(good >= 3 && bad >= 15, "only {good} good and {bad} bad cases");
    assert!(wrong.is_empty(), "{}\nif this is meant: UPDATE_GOLDEN=1 cargo test --test node_config", wrong.join("\n"));
}

/// Every document that is good somewhere: goldens and samples.
static GOOD: LazyLock<Vec<(PathBuf, String)>> = LazyLock::new(good);

fn good() -> Vec<(PathBuf, String)> {
    let samples =
        sorted(&root().join("examples/node")).into_iter().filter(|path| path.extension().is_some_and(|e| e == "yaml"));
    let samples = samples.map(|path| (path.clone(), fs::read_to_string(path).unwrap()));
    let goldens = cases().into_iter().filter(|(case, _)| case.join("normalised.json").exists());
    goldens.chain(samples).collect()
}

#[test]
fn what_is_normalised_is_read_as_the_same() {
    for (path, text) in GOOD.iter() {
        let config = NodeConfig::read("x", text).unwrap_or_else(|problems| panic!("{}: {problems}", path.display()));
        let written = normalised(&config);
        let again = NodeConfig::read("normalised", &written)
            .unwrap_or_else(|problems| panic!("{}: {problems}", path.display()));
        assert_eq!(again, config, "{}", path.display());
        assert_eq!(normalised(&again), written, "{}", path.display());
    }
}

fn sample() -> NodeConfig {
    let path = root().join("examples/node/node-config.yaml");
    NodeConfig::read("node-config.yaml", &fs::read_to_string(path).unwrap())
        .unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_sample_covers_the_use_cases() {
    let spec = sample().spec;
    let steps = || spec.resources.iter().flat_map(|resource| &resource.prepare);
    assert!(steps().any(|step| matches!(step, PrepareStep::Consoles(_))));
    assert!(steps().any(|step| matches!(step, PrepareStep::Framebuffer(_))));
    assert!(steps().any(|step| matches!(step, PrepareStep::Module(_))));
    assert!(steps().any(|step| matches!(step, PrepareStep::Service(hold) if hold.max_hold.is_some())));
    let has = |fits: fn(&Target) -> bool| spec.resources.iter().any(|resource| fits(&resource.target));
    assert!(has(|target| matches!(target, Target::Pci { .. })));
    assert!(has(|target| matches!(target, Target::Sriov { .. })));
    assert!(has(|target| matches!(target, Target::Mdev(_))));
    assert!(spec.profiles.iter().flat_map(|profile| &profile.steps).any(|step| matches!(step, ProfileStep::Cpus(_))));
}

#[test]
fn a_node_has_what_names_it() {
    let config = sample();
    let names = |node: &str| -> Vec<String> {
        config.for_node(node).resources.iter().map(|resource| resource.name.to_string()).collect()
    };
    assert_eq!(names("workstation-1"), ["nvidia.com/rtx-3080", "example.com/usb-front", "example.com/capture-card"]);
    assert_eq!(names("dpdk-2"), ["example.com/capture-card", "example.com/dpdk-vf"]);
    assert_eq!(names("elsewhere"), ["example.com/capture-card"]);
    let here = config.for_node("trading-1");
    assert!(here.profile("low-latency", "trading").is_some());
    assert!(here.profile("low-latency", "default").is_none());
    assert!(config.for_node("elsewhere").profile("low-latency", "trading").is_none());
    assert!(here.resource("example.com/sfc").is_some());
    let risk = virt_tailor::config::node::Risk::LastConsole;
    let gpu = "0000:0a:00.0".parse().unwrap();
    assert!(config.for_node("workstation-1").acknowledged(gpu, risk).is_some());
    assert!(config.for_node("trading-1").acknowledged(gpu, risk).is_none());
    assert_eq!(here.limits, config.spec.limits);
}

/// Pieces of documents in any order: near to what people write.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "resources:",
        "profiles:",
        "guards:",
        "limits:",
        "\n- ",
        "\n  - ",
        "name: ",
        "a.b/c",
        "selector: ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "vendor: 10de",
        "address: ",
        "0000:01:00.0",
        "kind: ",
        "sriov",
        "mdev: {type: x}",
        "prepare: ",
        "service: ",
        "stop: chronyd.service",
        "module: ",
        "load: a",
        "cpus: ",
        "isolate: ",
        "\"0-8191\"",
        "nodes: ",
        "n-*",
        "*",
        "null",
        "\n",
        "\n    ",
        ": ",
        "maxHold: 1h",
        "reset: ",
        "flr",
        "release: ",
        "afterIdle: 1m",
        "&a ",
        "*a",
        "é",
        "\u{202e}",
        "\"",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// A document around a spec in one line.
fn around(spec: &str) -> String {
    format!(
        "apiVersion: virt-tailor.io/v1alpha1\nkind: NodeConfig\nmetadata: {{name: x}}\nspec:\n  {}\n",
        spec.replace('\n', "\n  ")
    )
}

/// Reads a text; what is good comes back from its normalised form, what is not has a reason in one line.
fn read(text: &str) -> bool {
    match NodeConfig::read("x.yaml", text) {
        Ok(config) => {
            assert_eq!(NodeConfig::read("y", &normalised(&config)).as_ref(), Ok(&config));
            true
        }
        Err(problems) => {
            assert!(!problems.0.is_empty());
            assert!(!problems.one_line().contains(['\n', '\r']));
            false
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>(), pieces in pieces()) {
        read(&text);
        read(&around(&pieces));
    }

    /// One value of a good document is exchanged for another text, or one line is left out or doubled.
    #[test]
    fn what_is_nearly_good_is_read_or_refused(at in any::<prop::sample::Index>(), which in any::<prop::sample::Index>(),
        how in 0..4_u8, value in "[-a-z0-9:./*@_{}\\[\\]\"# ]{0,12}")
    {
        let (_, text) = which.get(&GOOD);
        let lines: Vec<&str> = text.lines().collect();
        let at = at.index(lines.len());
        let changed: Vec<String> = lines.iter().enumerate().flat_map(|(i, line)| match (i == at, how) {
            (true, 0) => vec![],
            (true, 1) => vec![(*line).to_owned(), (*line).to_owned()],
            (true, 2) => vec![line.split_once(": ").map_or((*line).to_owned(), |(key, _)| format!("{key}: {value}"))],
            (true, _) => vec![line.replacen(char::is_alphanumeric, &value, 1)],
            (false, _) => vec![(*line).to_owned()],
        }).collect();
        read(&changed.join("\n"));
    }

    /// Of the samples' resources and profiles any choice is good again: no item leans on another.
    #[test]
    fn any_part_of_a_good_document_is_good(keep in any::<u64>(), which in any::<prop::sample::Index>()) {
        let (_, text) = which.get(&GOOD);
        let mut part = NodeConfig::read("x", text).unwrap();
        let mut i = 0;
        let mut kept = || { i += 1; keep >> (i % 64) & 1 == 1 };
        part.spec.resources.retain(|_| kept());
        part.spec.profiles.retain(|_| kept());
        prop_assert!(read(&normalised(&part)));
    }
}
