//! Hosts as text: `tests/data/hosts/<name>.txt` unpacked into a folder that reads like a captured `sys`.
//!
//! | line | what it makes |
//! |---|---|
//! | `[path]` | a folder; the lines below are about what is in it |
//! | `name = text` | a file with that line; without a text, an empty file |
//! | `name : de 10 06 22` | a file with these bytes |
//! | `name -> target` | a link |
//! | `name/` | a folder |
//! | `resource[1] = 0x0 0xfff 0x200` | one line of `resource`, whose other lines are filled up as the kernel does |
//! | `include name` | everything in that other host; what comes after overrides it |
//! | `# …` | a comment |

// Every test program that says `mod common` has its own copy and uses part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Lines in `resource` on a kernel with SR-IOV: 6 BARs, the ROM, 6 BARs of virtual functions.
const RESOURCES: usize = 13;

enum Node {
    Folder,
    File(Vec<u8>),
    Link(String),
    Resource(BTreeMap<usize, [u64; 3]>),
}

/// Unpacks the host of this name into a new folder, which can be used as `--host-root` until the value is dropped.
pub(crate) fn unpack(name: &str) -> tempfile::TempDir {
    unpack_text(&source(name))
}

/// Unpacks a host given as text.
pub(crate) fn unpack_text(text: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let mut nodes = BTreeMap::new();
    parse(text, &mut nodes);
    for (path, node) in &nodes {
        write(&root.path().join(path), node);
    }
    root
}

/// Names of all hosts there are.
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hosts")
}

fn source(name: &str) -> String {
    let path = folder().join(format!("{name}.txt"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parse(text: &str, nodes: &mut BTreeMap<PathBuf, Node>) {
    let mut folder = PathBuf::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        } else if let Some(name) = line.strip_prefix("include ") {
            parse(&source(name), nodes);
        } else if let Some(path) = line.strip_prefix('[') {
            folder = path.strip_suffix(']').unwrap().into();
            nodes.insert(folder.clone(), Node::Folder);
        } else if let Some((name, target)) = line.split_once(" -> ") {
            nodes.insert(folder.join(name), Node::Link(target.to_owned()));
        } else if let Some((index, fields)) = line.strip_prefix("resource[").and_then(|rest| rest.split_once("] = ")) {
            let path = folder.join("resource");
            let node = nodes.entry(path).or_insert_with(|| Node::Resource(BTreeMap::new()));
            let Node::Resource(lines) = node else {
                panic!("resource is given in two ways: {line}");
            };
            lines.insert(index.parse().unwrap(), fields_of(fields));
        } else if let Some((name, bytes)) = line.split_once(" : ") {
            let byte = |byte| u8::from_str_radix(byte, 16).unwrap();
            let bytes = bytes.split_whitespace().map(byte).collect();
            nodes.insert(folder.join(name), Node::File(bytes));
        } else if let Some(name) = line.strip_suffix(" =") {
            nodes.insert(folder.join(name), Node::File(Vec::new()));
        } else if let Some((name, text)) = line.split_once(" = ") {
            nodes.insert(folder.join(name), Node::File(format!("{text}\n").into()));
        } else if let Some(name) = line.strip_suffix('/') {
            nodes.insert(folder.join(name), Node::Folder);
        } else {
            panic!("not a line of a host: {line}");
        }
    }
}

fn fields_of(text: &str) -> [u64; 3] {
    let field = |field: &str| u64::from_str_radix(field.strip_prefix("0x").unwrap(), 16).unwrap();
    let fields: Vec<u64> = text.split_whitespace().map(field).collect();
    fields.try_into().unwrap()
}

fn write(path: &Path, node: &Node) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match node {
        Node::Folder => fs::create_dir_all(path).unwrap(),
        Node::File(bytes) => fs::write(path, bytes).unwrap(),
        Node::Link(target) => symlink(target, path).unwrap(),
        Node::Resource(lines) => {
            let line = |index| {
                let [start, end, flags] = lines.get(&index).copied().unwrap_or_default();
                format!("{start:#018x} {end:#018x} {flags:#018x}\n")
            };
            fs::write(path, (0..RESOURCES).map(line).collect::<String>()).unwrap();
        }
    }
}
