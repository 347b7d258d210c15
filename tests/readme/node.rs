//! The page about nodes: its commands run on any machine, of which none is the page's.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::process::{Command, Output};

use virt_tailor::config::node::NodeConfig;

use crate::commands::commands;
use crate::pages::{blocks, page};
use crate::rig::PROGRAM;

const PAGE: &str = "docs/node.md";

/// A command in a folder that has the page's document, and keeps its journal there.
fn run(place: &tempfile::TempDir, command: &str) -> Output {
    let words: Vec<&str> = command.split_whitespace().collect();
    assert_eq!(words[..2], ["virt-tailor", "node"], "{command}");
    let mut process = Command::new(PROGRAM);
    process.args(&words[1..]).current_dir(place.path());
    if words[2] != "inspect" {
        process.arg("--state-dir").arg(place.path().join("state"));
    }
    process.output().unwrap()
}

#[test]
fn the_commands_of_the_page_run() {
    let (text, place) = (page(PAGE), tempfile::tempdir().unwrap());
    let document = &blocks(&text, "yaml")[0];
    let config = NodeConfig::read("node.yaml", document).unwrap();
    assert!(config.for_node("desk").resource("example.com/gpu").is_some());
    fs::write(place.path().join("node.yaml"), document).unwrap();
    fs::DirBuilder::new().mode(0o700).create(place.path().join("state")).unwrap();
    let mut verbs = Vec::new();
    for (command, _) in commands(&text) {
        let output = run(&place, &command);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let verb = command.split_whitespace().nth(2).unwrap().to_owned();
        let code = output.status.code();
        match &*verb {
            "inspect" => {
                assert_eq!(code, Some(0), "{command}\n{err}");
                if command.contains("--json") {
                    assert!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["units"].is_array());
                }
            }
            // The document is for a node called desk.
            "plan" | "apply" => {
                assert_eq!(code, Some(64), "{command}\n{out}{err}");
                assert!(err.contains("no resource \"example.com/gpu\" for node "), "{command}\n{err}");
            }
            "status" => assert_eq!((code, &*out), (Some(0), "nothing on this node is changed\n"), "{command}\n{err}"),
            "undo" | "recover" | "release" => assert_eq!(code, Some(0), "{command}\n{out}{err}"),
            other => panic!("{other}"),
        }
        verbs.push(verb);
    }
    roxmltree::Document::parse(&fs::read_to_string(place.path().join("node.svg")).unwrap()).unwrap();
    verbs.sort();
    verbs.dedup();
    assert_eq!(verbs, ["apply", "inspect", "plan", "recover", "status", "undo"]);
}
