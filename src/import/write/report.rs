//! The report: what became of every action, for a person.

use std::fmt::Write as _;

use crate::base::shown;
use crate::import::verdict::{Item, Verdict};
use crate::import::{Counts, Outcome};

/// The text. Actions of a class stand in the order of the files; equal ones at one place, once.
pub(in crate::import) fn report(outcome: &Outcome) -> String {
    let counts = Counts::of(&outcome.items);
    let mut out = format!(
        "{} in {}: {} now per VM, {} must stay at boot, {} never worked, {} not understood\n",
        many(counts.found, "boot-time action"),
        many(outcome.files, "file"),
        counts.now,
        counts.stay,
        counts.never,
        counts.unclear
    );
    let arguments = needed(&outcome.items);
    let needed = if arguments.is_empty() { "none".to_owned() } else { arguments.join(" ") };
    let _ = writeln!(out, "kernel arguments that are really needed: {needed}");
    type Belongs = fn(&Verdict) -> bool;
    let classes: [(&str, Belongs); 5] = [
        ("now per VM", |verdict| matches!(verdict, Verdict::Now(_))),
        ("must stay at boot", |verdict| matches!(verdict, Verdict::Stays { .. })),
        ("never worked", |verdict| matches!(verdict, Verdict::Never(_))),
        ("not understood", |verdict| matches!(verdict, Verdict::Unclear(_))),
        ("prepares no device and no VM, left as it is", |verdict| matches!(verdict, Verdict::Aside(_))),
    ];
    for (title, belongs) in classes {
        let items: Vec<&Item> = outcome.items.iter().filter(|item| belongs(&item.verdict)).collect();
        if items.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{title}:");
        for item in items {
            let _ = writeln!(out, "  {}: {}", item.place, shown(&item.said));
            let _ = writeln!(out, "      {}", shown(item.verdict.why()));
            if let Verdict::Stays { argument, .. } = &item.verdict {
                let _ = match argument {
                    Some(argument) => writeln!(out, "      needed: {}", shown(argument)),
                    None => writeln!(out, "      needed: no kernel argument"),
                };
            }
        }
    }
    if outcome.idle > 0 {
        let _ = writeln!(out, "\nbesides: {} that only hold the others together", many(outcome.idle, "line"));
    }
    if !outcome.node.is_empty() {
        out.push_str("\non this node:\n");
        for line in &outcome.node {
            let _ = writeln!(out, "  {}", shown(line));
        }
    }
    out
}

/// The arguments that are needed, each once, in the order of the files.
fn needed(items: &[Item]) -> Vec<&str> {
    let mut out: Vec<&str> = Vec::new();
    for item in items {
        if let Verdict::Stays { argument: Some(argument), .. } = &item.verdict
            && !out.contains(&argument.as_str())
        {
            out.push(argument);
        }
    }
    out
}

fn many(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
