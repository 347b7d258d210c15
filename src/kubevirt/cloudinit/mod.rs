//! The `guest` section of a profile, merged into the user data of cloud-init: what the VM's owner wrote stays as it is, byte for
//! byte, and a part of ours is put beside it.
//!
//! The user's text is never parsed and written again. Whatever cloud-init reads (cloud-config, scripts, includes, templates, archives,
//! MIME messages) becomes one part of a multi-part message, and our cloud-config the other. cloud-init then merges the two in the
//! guest, by the rule that our part names: our boot command is put before the user's, and no key of the user is touched.
//!
//! | room | what is in it |
//! |---|---|
//! | `form` | which of cloud-init's forms a text has; those that others read are refused |
//! | `envelope` | the multi-part message around it, and the way back |
//! | `part` | our cloud-config: the `guest` section as a boot command |
//! | `shell` | what may become an argument of it |
//! | `hook`, `json` | KubeVirt's two JSON documents, edited in one place each |
//! | `guest.sh` | what runs in the guest |

mod envelope;
mod error;
mod form;
mod hook;
mod json;
mod part;
mod shell;

pub use error::CloudInitError;
pub use hook::{Document, pre_cloud_init_iso, pre_cloud_init_iso_with};
pub use part::{Reboot, cloud_config};

use crate::config::Guest;
use form::Form;

/// What merging made of the user data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// Nothing is asked for the guest, or it is there already.
    Unchanged,
    /// The user data to give to the guest instead.
    Changed(String),
}

/// Merges what is asked for the guest into user data of any form; one reboot is allowed where kernel arguments need it.
///
/// Merging what was merged before replaces our part. An error names no byte of the user data.
pub fn merge_user_data(user_data: &[u8], guest: &Guest) -> Result<Merged, CloudInitError> {
    merge_user_data_with(user_data, guest, Reboot::Once)
}

/// As [`merge_user_data`], with a word on reboots.
pub fn merge_user_data_with(user_data: &[u8], guest: &Guest, reboot: Reboot) -> Result<Merged, CloudInitError> {
    if *guest == Guest::default() {
        return Ok(Merged::Unchanged);
    }
    let part = cloud_config(guest, reboot)?;
    let original = envelope::open(user_data)?;
    let original = original.as_deref().unwrap_or(user_data);
    let merged = envelope::seal(original, Form::of(original)?, &part)?;
    Ok(if merged.as_bytes() == user_data { Merged::Unchanged } else { Merged::Changed(merged) })
}

/// The user data as it was before we merged anything into it.
pub fn original_user_data(user_data: &[u8]) -> Result<Vec<u8>, CloudInitError> {
    Ok(envelope::open(user_data)?.unwrap_or_else(|| user_data.to_vec()))
}
