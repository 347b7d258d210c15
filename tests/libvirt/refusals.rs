//! `tests/golden/check`: each folder is a domain that breaks one rule, and what libvirt or QEMU makes of it.
//! `tests/golden/check-sound` holds the neighbours that break none. See `tests/golden/check/README.md`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use crate::cases::{Case, Stage, cases, golden};
use crate::embed::{Doc, Libvirt, Verdict};
use crate::schema;

/// All verdicts on a set of domains; `start` only where asked, because it takes two seconds each.
#[derive(Debug)]
struct Verdicts {
    define: BTreeMap<String, Verdict>,
    native: BTreeMap<String, Verdict>,
    session: BTreeMap<String, Verdict>,
    start: BTreeMap<String, Verdict>,
}

impl Verdicts {
    fn of(docs: &[Doc<'_>], starts: &[Doc<'_>]) -> Self {
        let by_name = |docs: &[Doc<'_>], verdicts: Vec<Verdict>| {
            docs.iter().map(|(name, _)| (*name).to_owned()).zip(verdicts).collect()
        };
        let (system, session) = (Libvirt::embed(), Libvirt::session());
        let begun = Instant::now();
        let verdicts = Self {
            define: by_name(docs, system.define(docs)),
            native: by_name(docs, system.native(docs)),
            session: by_name(docs, session.native(docs)),
            start: BTreeMap::new(),
        };
        println!("{} domains, define and native in both modes: {:?}", docs.len(), begun.elapsed());
        let begun = Instant::now();
        let verdicts = Self { start: by_name(starts, system.start(starts)), ..verdicts };
        println!("{} starts: {:?}", starts.len(), begun.elapsed());
        verdicts
    }

    /// What libvirt says to a case at a stage; `Ok` is silence.
    fn at(&self, stage: Stage, name: &str) -> Verdict {
        let of = match stage {
            Stage::Define | Stage::LossInDumpxml => &self.define,
            Stage::Native | Stage::LossInArgv => &self.native,
            Stage::Session => &self.session,
            Stage::Start => &self.start,
        };
        of.get(name).cloned().unwrap_or_else(|| panic!("{name} was not run at {stage:?}"))
    }

    /// Whether the case is confirmed at this stage, with what libvirt said if it is not.
    fn confirms(&self, stage: Stage, case: &Case) -> Result<(), String> {
        let verdict = self.at(stage, &case.name);
        if matches!(stage, Stage::LossInDumpxml | Stage::LossInArgv) {
            let text = verdict.map_err(|error| format!("refused instead of lost: {error}"))?;
            let wrong = case.says.iter().find(|line| match line.split_at_checked(2) {
                Some(("- ", gone)) => text.contains(gone),
                Some(("+ ", there)) => !text.contains(there),
                // A text for the versions that refuse.
                _ => false,
            });
            return wrong.map_or(Ok(()), |line| Err(format!("not so: `{line}` in {text}")));
        }
        match verdict {
            Err(error) if case.says.iter().any(|text| error.contains(text.as_str())) => Ok(()),
            Err(error) => Err(format!("refused with another text: {error}")),
            Ok(_) => Err("accepted".to_owned()),
        }
    }
}

#[test]
#[ignore = "needs libvirt 11 and QEMU"]
fn libvirt_or_qemu_refuses_every_case_of_check() {
    let cases = cases();
    let docs: Vec<Doc<'_>> = cases.iter().map(|case| (case.name.as_str(), case.domain.as_slice())).collect();
    let starts: Vec<Doc<'_>> =
        cases.iter().zip(&docs).filter(|(case, _)| case.stages.contains(&Stage::Start)).map(|(_, doc)| *doc).collect();
    let verdicts = Verdicts::of(&docs, &starts);
    let privileged = Libvirt::embed().privileged();

    let mut wrong = Vec::new();
    for case in &cases {
        let answers: Vec<_> = case.stages.iter().map(|stage| (stage, verdicts.confirms(*stage, case))).collect();
        if answers.iter().all(|(_, answer)| answer.is_err()) {
            wrong.extend(answers.iter().map(|(stage, answer)| format!("{} at {stage:?}: {answer:?}", case.name)));
            continue;
        }
        // It must be *this* rule: whatever comes before the stage has nothing against the domain.
        let first = case.stages.iter().min().expect("at least one stage");
        for earlier in [Stage::Define, Stage::Native, Stage::Session] {
            // Where the tests run as a user, the first libvirt is in session mode too.
            let same = *first == Stage::Session && earlier == Stage::Native && !privileged;
            if earlier < *first
                && !same
                && let Err(error) = verdicts.at(earlier, &case.name)
            {
                wrong.push(format!("{} was refused at {earlier:?} already: {error}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
#[ignore = "needs libvirt 11 and QEMU"]
fn libvirt_and_qemu_take_the_sound_neighbours() {
    let mut docs: Vec<(String, Vec<u8>)> = fs::read_dir(golden("check-sound"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    docs.sort();
    let docs: Vec<Doc<'_>> = docs.iter().map(|(name, xml)| (name.as_str(), xml.as_slice())).collect();
    // What needs hardware, or a place for variables that only exists in a pod, cannot be started here; shared memory
    // would stay in /dev/shm.
    let startable = |xml: &[u8]| {
        let text = String::from_utf8_lossy(xml);
        !["<hostdev", "<nvram", "<shmem"].iter().any(|tag| text.contains(tag))
    };
    let starts: Vec<Doc<'_>> = docs.iter().copied().filter(|(_, xml)| startable(xml)).collect();
    let verdicts = Verdicts::of(&docs, &starts);
    let mut wrong = Vec::new();
    for (name, _) in &docs {
        for stage in [Stage::Define, Stage::Native, Stage::Session, Stage::Start] {
            let started = stage != Stage::Start || starts.iter().any(|(start, _)| start == name);
            if started && let Err(error) = verdicts.at(stage, name) {
                wrong.push(format!("{name} at {stage:?}: {error}"));
            }
        }
    }
    for ((name, _), verdict) in docs.iter().zip(schema::validate(&docs)) {
        wrong.extend(verdict.err().map(|error| format!("{name} in the schema: {error}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
