//! `virt-tailor check`: the same as mutate, without writing.

use crate::cli::Check;
use crate::domain::{check, mutate};

use super::{Failure, input, tell};

/// Says whether a domain can take what is asked; without a request, whether libvirt could take the domain.
pub(super) fn run(args: &Check) -> Result<(), Failure> {
    let domain = input::domain(&args.inputs)?;
    if domain.is_migration_target() {
        tell(format_args!("note: this is the domain of a migration target (type=\"\"); it is left as it is"));
        return Ok(());
    }
    let prepared = input::prepare(&args.inputs)?;
    let request = prepared.request();
    let findings = check(domain.document(), request.session());
    let outcome = mutate(domain, &request)?;
    if outcome.changes.is_empty() && !findings.is_empty() {
        return Err(Failure::Broken(findings.into_iter().map(|finding| finding.message).collect()));
    }
    for note in &outcome.notes {
        tell(format_args!("note: {note}"));
    }
    Ok(())
}
