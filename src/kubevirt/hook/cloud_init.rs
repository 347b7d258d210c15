//! PreCloudInitIso: the `guest` section of what is asked, merged into the guest's user data.

use crate::config::Guest;

/// What a call brings and what its answer takes back, both as KubeVirt's JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudInit {
    /// A `CloudInitNoCloudSource`: the older form.
    pub no_cloud: Vec<u8>,
    /// A `CloudInitData`: what counts.
    pub data: Vec<u8>,
}

/// Merges a guest section into cloud-init data, or says in one sentence why that cannot be.
pub(super) type Merge = fn(&Guest, CloudInit) -> Result<CloudInit, String>;

/// **The integration point for merging cloud-init.** `None` until there is a function; then `--cloud-init` is refused at the start
/// and PreCloudInitIso is never offered, as a subscriber that cannot answer would stop every VM.
pub(super) const MERGE: Option<Merge> = None;
