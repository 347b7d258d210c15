//! Commands about nodes: they run on any machine, of which none is the page's.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{Command, Output};

use virt_tailor::config::node::NodeConfig;

use crate::commands::commands;
use crate::pages::{blocks, page};
use crate::rig::PROGRAM;

const PAGE: &str = "docs/node.md";

/// A command in a folder that has the document it names; it keeps its journal elsewhere. `home`: where that is.
fn run(place: &Path, home: &Path, command: &str) -> Output {
    let words: Vec<&str> = command.split_whitespace().collect();
    assert_eq!(words[..2], ["virt-tailor", "node"], "{command}");
    let mut process = Command::new(PROGRAM);
    process.args(&words[1..]).current_dir(place);
    if words[2] != "inspect" {
        process.arg("--state-dir").arg(home.join("state"));
    }
    process.output().unwrap()
}

/// A folder for journals.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::DirBuilder::new().mode(0o700).create(home.path().join("state")).unwrap();
    home
}

/// Runs a command of any page: this machine is none of the page's, so that what it asks for is not here, and nothing else is wrong.
pub(crate) fn runs(place: &Path, command: &str) {
    let output = run(place, home().path(), command);
    let error = String::from_utf8_lossy(&output.stderr);
    match command.split_whitespace().nth(2).unwrap() {
        "plan" | "apply" => {
            let not_here = ["has no resource ", "no device of this node is what ", "this node has no IOMMU"];
            let code = output.status.code();
            assert!(code == Some(64) || code == Some(69), "{command}\n{error}");
            assert!(not_here.iter().any(|why| error.contains(why)), "{command}\n{error}");
        }
        _ => assert_eq!(output.status.code(), Some(0), "{command}\n{error}"),
    }
}

#[test]
fn the_commands_of_the_page_run() {
    let (text, place) = (page(PAGE), tempfile::tempdir().unwrap());
    let document = &blocks(&text, "yaml")[0];
    let config = NodeConfig::read("node.yaml", document).unwrap();
    assert!(config.for_node("desk").resource("example.com/gpu").is_some());
    fs::write(place.path().join("node.yaml"), document).unwrap();
    let home = home();
    let mut verbs = Vec::new();
    for (command, _) in commands(&text) {
        let output = run(place.path(), home.path(), &command);
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
