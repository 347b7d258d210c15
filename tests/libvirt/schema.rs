//! libvirt's RELAX NG schema, as xmllint judges by it. KubeVirt never asks it, but it is the only judge that sees a
//! misspelt element: everything else in libvirt ignores what it does not know.

use std::fs;
use std::process::{Command, Stdio};

use crate::embed::{Doc, Verdict};
use crate::normalise;

const SCHEMA: &str = "/usr/share/libvirt/schemas/domain.rng";

/// Validates all documents in one xmllint call, after [`normalise::for_schema`].
pub(crate) fn validate(docs: &[Doc<'_>]) -> Vec<Verdict> {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("xmllint");
    command.args(["--noout", "--nonet", "--relaxng", SCHEMA]).stdin(Stdio::null()).current_dir(directory.path());
    let problems: Vec<Option<String>> = docs
        .iter()
        .enumerate()
        .map(|(number, (_, xml))| {
            let xml = match normalise::for_schema(xml) {
                Ok(xml) => xml,
                Err(why) => return Some(why),
            };
            fs::write(directory.path().join(format!("{number}.xml")), xml).unwrap();
            command.arg(format!("{number}.xml"));
            None
        })
        .collect();
    let output = command.output().expect("xmllint");
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    let verdict = |number: usize, problem: Option<String>| {
        if let Some(why) = problem {
            return Err(why);
        }
        let of_this = |line: &&str| line.starts_with(&format!("{number}.xml"));
        let lines: Vec<&str> = output.lines().filter(of_this).collect();
        match lines.as_slice() {
            [one] if one.ends_with(" validates") => Ok(String::new()),
            [] => panic!("xmllint did not judge document {number}:\n{output}"),
            _ => Err(lines.join("\n")),
        }
    };
    problems.into_iter().enumerate().map(|(number, problem)| verdict(number, problem)).collect()
}
