//! `virt-tailor mutate`: bytes in, bytes out.

use std::fmt::Write as _;

use serde::Serialize;
use similar::TextDiff;

use crate::cli::{ChangesFormat, Mutate};
use crate::domain::{Change, Domain, Outcome, mutate};

use super::{Failure, input, output, tell};

/// Rewrites a domain.
pub(super) fn run(args: &Mutate) -> Result<(), Failure> {
    let domain = input::domain(&args.inputs)?;
    let before = domain.document().source().to_vec();
    let outcome = if domain.is_migration_target() {
        // KubeVirt throws this answer away; only an error would matter, so not even the profile is looked at.
        let mut outcome = domain.into_unchanged();
        outcome.notes.push("this is the domain of a migration target (type=\"\"); it is left as it is".to_owned());
        outcome
    } else {
        let prepared = input::prepare(&args.inputs)?;
        mutate(domain, &prepared.request())?
    };
    Domain::parse(outcome.bytes.clone()).map_err(Failure::Bug)?;
    let shown = match args.changes {
        Some(ChangesFormat::Json) => json(&outcome),
        Some(ChangesFormat::Text) => text(&outcome).into_bytes(),
        None if args.diff => diff(&before, &outcome.bytes, &args.inputs.domain.display().to_string()).into_bytes(),
        None => outcome.bytes,
    };
    if args.changes.is_none() {
        for note in &outcome.notes {
            tell(format_args!("note: {note}"));
        }
    }
    output::write(&shown, args.output.as_deref())
}

fn diff(before: &[u8], after: &[u8], name: &str) -> String {
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let diff = TextDiff::from_lines(before.as_ref(), after.as_ref());
    diff.unified_diff().context_radius(3).header(name, &format!("{name} (fitted)")).to_string()
}

fn text(outcome: &Outcome) -> String {
    let mut out = String::new();
    for change in &outcome.changes {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{change}");
    }
    if outcome.changes.is_empty() {
        out.push_str("nothing changes\n");
    }
    for note in &outcome.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out
}

fn json(outcome: &Outcome) -> Vec<u8> {
    #[derive(Serialize)]
    struct Shown<'a> {
        changes: &'a [Change],
        notes: &'a [String],
    }
    let shown = Shown { changes: &outcome.changes, notes: &outcome.notes };
    let mut out = serde_json::to_vec_pretty(&shown).unwrap_or_default();
    out.push(b'\n');
    out
}
