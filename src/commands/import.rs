//! `virt-tailor import`: boot-time files to a NodeConfig, DomainProfiles and a report.

use std::path::{Path, PathBuf};

use crate::cli::Import;
use crate::host::{Machine, Root};
use crate::import::{FILL_IN, ImportError, Input, Node, Outcome, Verdict, import};

use super::{Failure, input, output, tell};

/// Most files at a time.
const MOST: usize = 1000;

/// Reads the files, and writes what is made of them: nothing, if anything is wrong with them.
pub(super) fn run(args: &Import) -> Result<(), Failure> {
    let inputs = inputs(&args.files)?;
    let root = Root::new(&args.host_root);
    let machine = args.check_node.then(|| Machine::read(&root)).transpose()?;
    let node_name = match &args.node_name {
        Some(name) => name.clone(),
        None => root.text("proc/sys/kernel/hostname")?.unwrap_or_default().trim().to_lowercase(),
    };
    if machine.is_some() && node_name.is_empty() {
        return Err(Failure::NodeRequest("this node's name is not known: give it with --node-name".to_owned()));
    }
    let node = machine.as_ref().map(|machine| Node { name: &node_name, machine });
    let outcome = import(&inputs, args.name.as_str(), node).map_err(|error| match error {
        ImportError::Malformed(problems) => Failure::NotImported(problems),
        ImportError::Bug(problems) => Failure::ImportBug(problems),
    })?;
    if args.strict {
        strict(&outcome)?;
    }
    match &args.output {
        Some(folder) => write(&outcome, folder),
        None => output::write(stream(&outcome).as_bytes(), None),
    }
}

/// Refuses what is not understood.
fn strict(outcome: &Outcome) -> Result<(), Failure> {
    let unclear = outcome.items.iter().filter_map(|item| match &item.verdict {
        Verdict::Unclear(why) => {
            Some(crate::base::shown(&format!("{}: {}: {why}", item.place, item.said)).into_owned())
        }
        _ => None,
    });
    let unclear: Vec<String> = unclear.collect();
    if unclear.is_empty() { Ok(()) } else { Err(Failure::NotUnderstood(unclear)) }
}

/// The files that are named; a folder's in the order of their names, with what is in folders below it. Hidden ones are passed over.
fn inputs(paths: &[PathBuf]) -> Result<Vec<Input>, Failure> {
    let mut out = Vec::new();
    for path in paths {
        let before = out.len();
        gather(path, &mut out)?;
        if out.len() == before {
            return Err(Failure::NotImported(vec![format!(
                "{}: no file in this folder",
                crate::base::shown(&path.display().to_string())
            )]));
        }
    }
    Ok(out)
}

/// Adds a file, or those of a folder.
fn gather(path: &Path, out: &mut Vec<Input>) -> Result<(), Failure> {
    let mut left: Vec<(PathBuf, bool)> = vec![(path.to_owned(), true)];
    while let Some((path, named)) = left.pop() {
        if out.len() == MOST {
            return Err(Failure::NodeRequest(format!(
                "more than {MOST} files: name the ones that prepare a node at boot"
            )));
        }
        if path.is_dir() {
            let read = |error| Failure::read(&path, error);
            let mut entries: Vec<PathBuf> = std::fs::read_dir(&path)
                .map_err(read)?
                .map(|entry| Ok(entry?.path()))
                .collect::<Result<_, _>>()
                .map_err(read)?;
            entries.retain(|entry| entry.file_name().is_none_or(|name| !name.as_encoded_bytes().starts_with(b".")));
            entries.sort();
            left.extend(entries.into_iter().rev().map(|entry| (entry, false)));
            continue;
        }
        // One that was named may be a pipe or standard input; in a folder, only files are meant.
        let bytes = if named {
            input::bytes(&path)?
        } else {
            input::regular(&path).map_err(|error| Failure::read(&path, error))?
        };
        let label = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
        out.push(Input { label, bytes });
    }
    Ok(())
}

/// The documents as files, and the report beside them, one after another; then says where to look.
fn write(outcome: &Outcome, folder: &Path) -> Result<(), Failure> {
    let failed = |path: &Path, error| Failure::Write { path: path.to_owned(), error };
    let profiles = folder.join("profiles");
    let deepest = if outcome.profiles.is_empty() { folder } else { &profiles };
    std::fs::create_dir_all(deepest).map_err(|error| failed(deepest, error))?;
    output::write(outcome.node_config.as_bytes(), Some(&folder.join("node-config.yaml")))?;
    for (name, text) in &outcome.profiles {
        output::write(text.as_bytes(), Some(&profiles.join(format!("{name}.yaml"))))?;
    }
    let report = outcome.report();
    output::write(report.as_bytes(), Some(&folder.join("report.txt")))?;
    let folder = crate::base::shown(&folder.display().to_string()).into_owned();
    let first = report.lines().next().unwrap_or_default();
    // The heading names the word whether or not it comes again.
    let body = outcome.node_config.split_once("\napiVersion: ").map_or("", |(_, body)| body);
    let left = if body.contains(FILL_IN) {
        format!(", and look for {FILL_IN:?} in {folder}/node-config.yaml")
    } else {
        String::new()
    };
    tell(format_args!("{first}: see {folder}/report.txt{left}"));
    Ok(())
}

/// Everything in one stream of YAML, the report as comments before it.
fn stream(outcome: &Outcome) -> String {
    let mut out: String =
        outcome.report().lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect();
    out.push('\n');
    out.push_str(&outcome.node_config);
    for (_, text) in &outcome.profiles {
        out.push_str("---\n");
        out.push_str(text);
    }
    out
}
