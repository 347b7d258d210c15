//! `tests/golden/check`, read. See the README there.

use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Define,
    LossInDumpxml,
    Native,
    LossInArgv,
    Session,
    Start,
}

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) domain: Vec<u8>,
    /// More than one where libvirt's versions differ.
    pub(crate) stages: Vec<Stage>,
    /// For a refusal, texts of which one must be in libvirt's; for a loss, `- gone` and `+ there`.
    pub(crate) says: Vec<String>,
}

pub(crate) fn golden(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = fs::read_dir(golden("check"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let read =
                |file: &str| fs::read_to_string(path.join(file)).unwrap_or_else(|e| panic!("{name}/{file}: {e}"));
            let how = read("how.txt");
            let stages = how.lines().find_map(|line| line.strip_prefix("stage: ")).expect("how.txt begins with stage");
            let stages = stages
                .split('|')
                .map(|stage| match stage {
                    "define" => Stage::Define,
                    "loss-dumpxml" => Stage::LossInDumpxml,
                    "native" => Stage::Native,
                    "loss-argv" => Stage::LossInArgv,
                    "session" => Stage::Session,
                    "start" => Stage::Start,
                    other => panic!("{name}: unknown stage {other}"),
                })
                .collect();
            let says: Vec<String> = read("libvirt.txt").lines().map(ToOwned::to_owned).collect();
            assert!(!says.is_empty(), "{name}: nothing in libvirt.txt");
            let domain = read("domain.xml").into_bytes();
            Case { name, domain, stages, says }
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}
