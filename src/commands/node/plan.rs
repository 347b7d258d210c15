//! `virt-tailor node plan`: what apply would do.

use crate::cli::node::Want;
use crate::commands::{Failure, output};
use crate::prep::engine::Plan;
use crate::prep::guard::LiveGuard;

use super::session::{Session, configuration};
use super::{show, want};

/// Prints the plan.
pub(super) fn run(args: &Want) -> Result<(), Failure> {
    let session = Session::at(&args.place)?;
    let config = configuration(&args.configuration, &session.root)?;
    let ledger = session.ledger()?;
    let request = want::request(args, &config, &session.root, &ledger)?;
    let guard = LiveGuard::new(session.root.clone(), config);
    let plan = Plan::make(&ledger, &guard, &session.workshop(), &request)?;
    let text = if args.json { format!("{:#}\n", serde_json::json!(plan)) } else { show::plan(&plan) };
    output::write(text.as_bytes(), None)?;
    if plan.refused.is_empty() { Ok(()) } else { Err(Failure::NodeRefused(plan.refused)) }
}
