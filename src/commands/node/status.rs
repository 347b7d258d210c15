//! `virt-tailor node status`: what is changed now.

use crate::cli::node::Status;
use crate::commands::{Failure, output};

use super::session::Session;
use super::show;

/// Prints what the journal adds up to.
pub(super) fn run(args: &Status) -> Result<(), Failure> {
    let ledger = Session::at(&args.place)?.ledger()?;
    let text = if args.json { format!("{:#}\n", serde_json::json!(ledger)) } else { show::ledger(&ledger) };
    output::write(text.as_bytes(), None)
}
