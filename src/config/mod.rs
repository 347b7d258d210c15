//! What people write: DomainProfiles, annotations and settings, merged in order of strength and validated all at once.

mod builtin;
mod document;
mod merge;
pub mod node;
mod origins;
mod path;
mod problems;
mod read;
mod resolve;
mod scalars;
mod schema;
mod spec;
pub(crate) mod tree;

pub use builtin::{BUILT_IN, ProfileText, Profiles};
pub use document::{API_VERSION, KIND, document_name, is_profile_name};
pub use origins::Origins;
pub use problems::{Place, Problem, Problems, Source};
pub use resolve::{FIELD_PREFIX, INLINE, NODE_PROFILES, PREFIX, PROFILES, ProfileArgument, Request, resolve, validate};
pub use scalars::{DeviceSelector, DeviceSelectorError, OnOff, OnOffAuto, is_alias_text};
pub use schema::domain_profile_schema;
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
