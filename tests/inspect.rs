//! Golden folders of `node inspect`: `tests/golden/inspect/<case>/` has `host.txt` (a host as text) and perhaps `files/` (put over it)
//! and `node.yaml`, and what comes of it: `report.txt`, `report.json`, `report.svg`. The JSON is what others may rely on.
//! `UPDATE_GOLDEN=1 cargo test --test inspect` rewrites the outcome; look at the difference, and at the pictures, before you keep it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::host_tree;
use serde_json::Value;
use virt_tailor::host::{Groups, Iommu, Root};

/// Runs `node inspect`: what it prints. It must find nothing wrong with itself.
fn inspect(root: &Path, more: &[&str]) -> String {
    let root = root.to_str().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_virt-tailor"))
        .args(["node", "inspect", "--host-root", root])
        .args(more)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains(root) || root == "/", "where the tree lies is no fact");
    text
}

/// The picture alone; `more` as for [`inspect`].
fn picture(root: &Path, more: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.svg");
    inspect(root, &[more, &["--svg", file.to_str().unwrap()]].concat());
    fs::read_to_string(file).unwrap()
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/inspect");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// Puts a folder's files over another folder.
fn overlay(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten() {
        let entry = entry.unwrap().path();
        let place = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            fs::create_dir_all(&place).unwrap();
            overlay(&entry, &place);
        } else {
            fs::copy(&entry, &place).unwrap();
        }
    }
}

#[test]
fn every_case_comes_out_as_written() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 2);
    for case in cases {
        let tree = host_tree::unpack_text(&fs::read_to_string(case.join("host.txt")).unwrap());
        overlay(&case.join("files"), tree.path());
        let config = case.join("node.yaml");
        let more =
            if config.exists() { vec!["--config", config.to_str().unwrap(), "--node-name", "n"] } else { vec![] };
        let json = inspect(tree.path(), &[&more[..], &["--json"]].concat());
        let outcomes = [
            ("report.txt", inspect(tree.path(), &more)),
            ("report.json", json),
            ("report.svg", picture(tree.path(), &more)),
        ];
        for (name, outcome) in outcomes {
            let golden = case.join(name);
            if update {
                fs::write(&golden, &outcome).unwrap();
            } else if fs::read_to_string(&golden).ok().as_ref() != Some(&outcome) {
                wrong.push(format!("{} should be:\n{outcome}", golden.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\nif this is meant: UPDATE_GOLDEN=1 cargo test --test inspect", wrong.join("\n"));
}

/// The captured hosts have no groups and no firmware tables, but everything else.
#[test]
fn captured_hosts_have_a_report() {
    for name in host_tree::names() {
        let tree = host_tree::unpack(&name);
        let page = inspect(tree.path(), &[]);
        let report: Value = serde_json::from_str(&inspect(tree.path(), &["--json"])).unwrap();
        for unit in report["units"].as_array().unwrap() {
            assert!(page.contains(unit["primary"].as_str().unwrap()), "{name}: {page}");
        }
        let first = page.lines().next().unwrap();
        assert!(first.starts_with("not ready"), "{name}: {first}");
        for line in page.lines() {
            assert!(line.chars().count() <= 100, "{name}: {line}");
        }
        roxmltree::Document::parse(&picture(tree.path(), &[])).unwrap();
    }
}

#[test]
fn what_nothing_resets_is_named_if_it_may_go() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/inspect/server");
    let text = fs::read_to_string(golden.join("host.txt")).unwrap();
    let (before, device) = text.split_once("[sys/devices/pci0000:00/0000:00:14.0]\n").unwrap();
    let device = device.replacen("reset =\nreset_method = flr bus\n", "", 1);
    let tree = host_tree::unpack_text(&format!("{before}[sys/devices/pci0000:00/0000:00:14.0]\n{device}"));
    overlay(&golden.join("files"), tree.path());
    let words = |more: &[&str]| inspect(tree.path(), more).split_whitespace().collect::<Vec<_>>().join(" ");
    // The only keyboard hangs on it: it stays, and then nobody minds.
    assert!(!words(&[]).contains("knows no reset"), "{}", words(&[]));
    let config = tree.path().join("node.yaml");
    let acknowledged = "apiVersion: virt-tailor.io/v1alpha1\nkind: NodeConfig\nmetadata: {name: n}\nspec:\n  resources:\n  - {name: example.com/usb, nodes: [n], selector: {address: '0000:00:14.0'}}\n  guards:\n    acknowledge:\n    - {address: '0000:00:14.0', risk: lastKeyboard, reason: it has a network, nodes: [n]}\n";
    fs::write(&config, acknowledged).unwrap();
    let page = words(&["--config", config.to_str().unwrap(), "--node-name", "n"]);
    assert!(
        page.contains("the kernel knows no reset of 0000:00:14.0: what one VM leaves in it the next one finds"),
        "{page}"
    );
}

#[test]
fn this_machine() {
    let root = Root::new("/");
    let iommu = Iommu::read(&root, &Groups::read(&root).unwrap()).unwrap();
    let page = inspect(Path::new("/"), &[]);
    println!("{page}");
    // Line breaks are the page's own.
    let words: Vec<&str> = page.split_whitespace().collect();
    assert!(words.join(" ").contains(iommu.sentence()), "{page}");
    let report: Value = serde_json::from_str(&inspect(Path::new("/"), &["--json"])).unwrap();
    assert_eq!(report["ready"], page.starts_with("ready"));
    assert!(report["machine"]["iommu"]["state"].is_string());
}

/// Three hundred devices of the same kinds on two nodes.
fn big() -> String {
    let (mut entries, mut devices, mut groups) = (String::new(), String::new(), String::new());
    for number in 0..300 {
        let (node, bus) = (number / 150, 1 + number % 150);
        let address = format!("{node:04x}:{bus:02x}:00.0");
        let path = format!("pci{node:04x}:00/{address}");
        let class = ["0x020000", "0x030200", "0x010802"][number % 3];
        entries.push_str(&format!("{address} -> ../../../devices/{path}\n"));
        devices.push_str(&format!(
            "[sys/devices/{path}]\nvendor = 0x15b3\ndevice = 0x1017\nclass = {class}\nnuma_node = {node}\nreset_method = flr\n\
             resource[0] = 0x0 0x0 0x0\niommu_group -> ../../../kernel/iommu_groups/{number}\n"
        ));
        groups.push_str(&format!("[sys/kernel/iommu_groups/{number}/devices]\n{address} -> x\n"));
    }
    let nodes = "[sys/devices/system/node/node0]\ncpulist = 0-63\n[sys/devices/system/node/node1]\ncpulist = 64-127\n";
    format!("[sys/bus/pci/devices]\n{entries}{devices}{groups}{nodes}")
}

#[test]
fn a_big_machine_is_drawn_whole_and_without_overlaps() {
    let tree = host_tree::unpack_text(&big());
    let drawn = picture(tree.path(), &[]);
    assert_eq!(drawn, picture(tree.path(), &[]), "the same facts, the same picture");
    let document = roxmltree::Document::parse(&drawn).unwrap();
    let number = |node: &roxmltree::Node<'_, '_>, name: &str| node.attribute(name).unwrap().parse::<u32>().unwrap();
    let cards: Vec<(u32, u32, u32, u32)> = document
        .descendants()
        .filter(|node| node.attribute("class") == Some("card"))
        .map(|node| (number(&node, "x"), number(&node, "y"), number(&node, "width"), number(&node, "height")))
        .collect();
    assert_eq!(cards.len(), 300);
    let page = document.root_element();
    for (index, (x, y, width, height)) in cards.iter().enumerate() {
        assert!(x + width < number(&page, "width") && y + height < number(&page, "height"));
        for (other_x, other_y, ..) in &cards[index + 1..] {
            let apart = x.abs_diff(*other_x) >= *width || y.abs_diff(*other_y) >= *height;
            assert!(apart, "two cards at {x} {y} and {other_x} {other_y}");
        }
    }
    let text = inspect(tree.path(), &[]);
    // Of the NICs a captured tree cannot tell whether the node needs them.
    assert!(text.contains("300: 200 can be handed over"), "{text}");
}
