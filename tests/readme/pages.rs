//! Reading pages.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A page by its path.
pub(crate) fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every page with commands, by its path.
pub(crate) fn all() -> Vec<String> {
    let mut pages = ["README.md", "images/README.md", "examples/README.md"].map(str::to_owned).to_vec();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        pages.extend(name.ends_with(".md").then(|| format!("docs/{name}")));
    }
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path: PathBuf = entry.unwrap().path().join("README.md");
        if path.exists() {
            pages.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
        }
    }
    pages.sort();
    pages
}

/// What stands in the blocks of a language.
pub(crate) fn blocks(page: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    page.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The rows of the table below a line with this heading, cell by cell, without its head.
pub(crate) fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let below = page.split_once(heading).unwrap_or_else(|| panic!("no {heading:?}")).1;
    let rows = below.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.skip(2).map(cells).collect()
}
