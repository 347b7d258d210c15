//! Where inputs are, and files in the order in which the program reads them.

use std::fs;
use std::path::{Path, PathBuf};

use virt_tailor::import::Input;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder, in the order of names.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The files below a folder, called by their path from its parent.
pub(crate) fn inputs(folder: &Path) -> Vec<Input> {
    let from = folder.parent().unwrap();
    let label = |path: &Path| path.strip_prefix(from).unwrap().to_str().unwrap().to_owned();
    files(folder).iter().map(|path| Input { label: label(path), bytes: fs::read(path).unwrap() }).collect()
}

/// The cases of a folder.
pub(crate) fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> =
        fs::read_dir(root().join("tests/golden/import")).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}
