//! `virt-tailor node apply`: prepares the node.

use serde_json::json;

use crate::cli::node::Apply;
use crate::commands::{Failure, output};

use super::session::{Session, configuration};
use super::{plan, show, want};

/// Makes everything a resource asks for.
pub(super) fn run(args: &Apply) -> Result<(), Failure> {
    let want = &args.want;
    if args.dry_run {
        return plan::run(want);
    }
    let session = Session::at(&want.place)?;
    let config = configuration(&want.configuration, &session.root)?;
    let engine = session.engine(config.clone())?;
    let request = want::request(want, &config, &session.root, &engine.ledger())?;
    let applied = engine.apply(&request, &mut show::progress)?;
    let devices: Vec<String> = request.devices.iter().map(ToString::to_string).collect();
    let text = if want.json {
        let outcome = json!({
            "owner": request.owner, "resource": request.purpose, "devices": devices, "changed": applied.changed, "notes": applied.notes,
        });
        format!("{outcome:#}\n")
    } else {
        let before = if applied.changed { "" } else { ", as before" };
        format!("{} has {} ({}){before}\n", request.owner, request.purpose, devices.join(", "))
    };
    output::write(text.as_bytes(), None)
}
