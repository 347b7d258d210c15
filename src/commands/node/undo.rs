//! `virt-tailor node undo`: puts the node back.

use serde_json::json;

use crate::cli::node::Undo;
use crate::commands::{Failure, output};
use crate::config::node::Effective;
use crate::prep::Owner;
use crate::prep::journal::Ledger;

use super::session::Session;
use super::show;

/// Undoes everything an owner has.
pub(super) fn run(args: &Undo) -> Result<(), Failure> {
    let session = Session::at(&args.place)?;
    if args.dry_run {
        return dry_run(args, &session.ledger()?);
    }
    // What is undone stands in the journal; what an admin allows by now does not matter.
    let engine = session.engine(Effective::default())?;
    let undone = engine.undo(&args.owner, &mut show::progress)?;
    for note in &undone.notes {
        show::note(note);
    }
    let text = if args.json {
        format!("{:#}\n", json!({ "owner": args.owner, "changed": undone.changed, "notes": undone.notes }))
    } else if undone.changed {
        format!("everything of {} is as it was\n", args.owner)
    } else {
        nothing(&args.owner, engine.ledger().holdings.keys())
    };
    output::write(text.as_bytes(), None)
}

/// An owner that has nothing may be another's name, mistyped.
fn nothing<'a>(owner: &Owner, holders: impl Iterator<Item = &'a Owner>) -> String {
    let holders: Vec<&str> = holders.map(Owner::as_str).collect();
    match holders.as_slice() {
        [] => format!("{owner} has nothing on this node, and nobody else has\n"),
        holders => format!("{owner} has nothing on this node; owners here: {}\n", holders.join(", ")),
    }
}

/// Says what would be undone, the last thing first.
fn dry_run(args: &Undo, ledger: &Ledger) -> Result<(), Failure> {
    let records = ledger.holdings.get(&args.owner).map(|holding| holding.records.as_slice()).unwrap_or_default();
    let mut steps = Vec::new();
    for record in records.iter().rev().filter_map(|id| ledger.records.get(id)) {
        let others: Vec<_> = record.owners.iter().filter(|owner| **owner != args.owner).collect();
        steps.push((record.step.describe(), others));
    }
    let text = if args.json {
        let steps: Vec<_> = steps.iter().map(|(what, others)| json!({ "undo": what, "staysFor": others })).collect();
        format!("{:#}\n", json!({ "owner": args.owner, "steps": steps }))
    } else {
        let line = |(what, others): &(String, Vec<_>)| match others.as_slice() {
            [] => format!("undo: {what}\n"),
            others => {
                let others: Vec<String> = others.iter().map(ToString::to_string).collect();
                format!("leave: {what} (still wanted by {})\n", others.join(", "))
            }
        };
        steps.iter().map(line).collect()
    };
    output::write(text.as_bytes(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_something_is_named_beside_who_has_not() {
        let [asked, one, other]: [Owner; 3] = ["default/vn", "default/vm", "trial"].map(|name| name.parse().unwrap());
        assert_eq!(nothing(&asked, [].iter()), "default/vn has nothing on this node, and nobody else has\n");
        let said = nothing(&asked, [one, other].iter());
        assert_eq!(said, "default/vn has nothing on this node; owners here: default/vm, trial\n");
    }
}
