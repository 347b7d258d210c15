//! What was drafted, as text: documents with remarks, and the report.

mod flow;
mod node_config;
mod profiles;
mod report;

use crate::config::Problems;

use super::draft::Drafted;

pub(super) use flow::entry;
pub(super) use report::report;

/// A document by its name.
type Named = (String, String);

/// The NodeConfig and the DomainProfiles, read again by their own readers.
///
/// # Errors
///
/// What these say, if what was written is not valid: a mistake of ours.
pub(super) fn documents(drafted: &Drafted, name: &str) -> Result<(String, Vec<Named>), Problems> {
    Ok((node_config::text(drafted, name)?, profiles::texts(drafted, name)?))
}
