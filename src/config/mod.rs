//! What people write: DomainProfiles, annotations and settings, merged in order of strength and validated all at once.

mod origins;
mod scalars;
mod schema;
mod spec;

pub use origins::Origins;
pub use scalars::{DeviceSelector, DeviceSelectorError, OnOff, OnOffAuto, is_alias_text};
pub use spec::*;

/// The outcome of merging and validating all layers: what is asked for, and who asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resolved {
    /// The merged, valid profile.
    pub spec: DomainProfile,
    /// Where each field came from.
    pub origins: Origins,
    /// Names in `virt-tailor.io/node-profiles`: for the agent; here they are only checked for their form.
    pub node_profiles: Vec<String>,
}
