//! `virt-tailor node recover`: after a crash.

use serde_json::json;

use crate::cli::node::Recover;
use crate::commands::{Failure, output};
use crate::config::node::Effective;
use crate::prep::engine::Recovered;

use super::session::{Session, configuration};
use super::show;

/// Finishes or undoes what was cut short.
pub(super) fn run(args: &Recover) -> Result<(), Failure> {
    let session = Session::at(&args.place)?;
    // Undoing needs none; without one nothing is finished.
    let config = match configuration(&args.configuration, &session.root) {
        Err(Failure::NoNodeConfig { .. }) => Effective::default(),
        other => other?,
    };
    let engine = session.engine(config)?;
    let guard = engine.guard();
    let recovered =
        engine.recover(&|holding| Ok(!guard.users_of(&holding.request)?.is_empty()), &mut show::progress)?;
    let open: Vec<String> = recovered
        .iter()
        .filter_map(|one| match one {
            Recovered::Open { owner, error } => Some(format!("{owner}: {error}")),
            _ => None,
        })
        .collect();
    let text = if args.json {
        let all: Vec<_> = recovered.iter().map(json_of).collect();
        format!("{:#}\n", json!(all))
    } else if recovered.is_empty() {
        "there is nothing to recover\n".to_owned()
    } else {
        recovered.iter().filter_map(line_of).collect()
    };
    output::write(text.as_bytes(), None)?;
    if open.is_empty() { Ok(()) } else { Err(Failure::NodeRefused(open)) }
}

fn json_of(recovered: &Recovered) -> serde_json::Value {
    match recovered {
        Recovered::Adopted { owner } => json!({ "owner": owner, "outcome": "adopted" }),
        Recovered::Finished { owner } => json!({ "owner": owner, "outcome": "finished" }),
        Recovered::Undone { owner, notes } => json!({ "owner": owner, "outcome": "undone", "notes": notes }),
        Recovered::Open { owner, error } => json!({ "owner": owner, "outcome": "open", "why": error.to_string() }),
        Recovered::Freed { process } => json!({ "process": process.pid, "outcome": "freed" }),
    }
}

/// One outcome in one line; what is still open is the error.
fn line_of(recovered: &Recovered) -> Option<String> {
    match recovered {
        Recovered::Adopted { owner } => Some(format!("{owner} keeps what it has\n")),
        Recovered::Finished { owner } => Some(format!("{owner} uses its device: what was begun is finished\n")),
        Recovered::Undone { owner, .. } => Some(format!("{owner} is gone: everything is as it was\n")),
        Recovered::Freed { process } => Some(format!("process {process}, which hung, is gone\n")),
        Recovered::Open { .. } => None,
    }
}
