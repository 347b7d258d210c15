//! PreCloudInitIso: the two documents that KubeVirt sends, and takes back.
//!
//! `cloudInitData` is what counts: NoCloud and ConfigDrive alike have the resolved user data in `UserData`. `cloudInitNoCloudSource` is
//! the same for hooks of an older age, and what KubeVirt falls back on if the first has no user data or no metadata. Both
//! are merged.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use super::error::CloudInitError;
use super::form::Form;
use super::json::Object;
use super::part::Reboot;
use super::{Merged, merge_user_data_with};
use crate::config::Guest;

/// One of the hook's documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// The older one.
    NoCloudSource,
    /// The one that counts.
    Data,
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCloudSource => "cloudInitNoCloudSource",
            Self::Data => "cloudInitData",
        })
    }
}

/// The answer to PreCloudInitIso: both documents with the guest section merged into their user data, one reboot allowed for kernel
/// arguments. A document that is empty or null comes back as it is, as do both if nothing is asked for the guest.
pub fn pre_cloud_init_iso(
    no_cloud_source: &[u8],
    cloud_init_data: &[u8],
    guest: &Guest,
) -> Result<(Vec<u8>, Vec<u8>), CloudInitError> {
    pre_cloud_init_iso_with(no_cloud_source, cloud_init_data, guest, Reboot::Once)
}

/// As [`pre_cloud_init_iso`], with a word on reboots.
pub fn pre_cloud_init_iso_with(
    no_cloud_source: &[u8],
    cloud_init_data: &[u8],
    guest: &Guest,
    reboot: Reboot,
) -> Result<(Vec<u8>, Vec<u8>), CloudInitError> {
    let no_cloud_source = edited(Document::NoCloudSource, no_cloud_source, guest, reboot)?;
    let cloud_init_data = edited(Document::Data, cloud_init_data, guest, reboot)?;
    Ok((no_cloud_source, cloud_init_data))
}

fn edited(document: Document, json: &[u8], guest: &Guest, reboot: Reboot) -> Result<Vec<u8>, CloudInitError> {
    match merged(document, json, guest, reboot) {
        Ok(merged) => Ok(merged.map_or_else(|| json.to_vec(), String::into_bytes)),
        // Broken before it came here, and KubeVirt takes the answer for the truth whether anything is merged or not.
        Err(CloudInitError::Compressed) => Err(CloudInitError::Compressed),
        Err(_) if *guest == Guest::default() => Ok(json.to_vec()),
        Err(error) => Err(error),
    }
}

/// The document with merged user data; none if it stays as it is.
fn merged(document: Document, json: &[u8], guest: &Guest, reboot: Reboot) -> Result<Option<String>, CloudInitError> {
    if json.trim_ascii().is_empty() {
        return Ok(None);
    }
    let text = str::from_utf8(json).map_err(|_| CloudInitError::Json { document, line: 1, column: 1 })?;
    let object = Object::parse(text).map_err(|error| CloudInitError::Json {
        document,
        line: error.line(),
        column: error.column(),
    })?;
    if object.is_null() {
        return Ok(None);
    }
    let (plain, encoded) = match document {
        Document::Data => ("UserData", None),
        Document::NoCloudSource => ("userData", Some("userDataBase64")),
    };
    let user_data = string(document, &object, plain)?.unwrap_or_default();
    // KubeVirt reads the encoded field only if the plain one is empty, and its own documents have only the plain one.
    if let (true, Some(field)) = (user_data.is_empty(), encoded)
        && let Some(encoded) = string(document, &object, field)?.filter(|encoded| !encoded.is_empty())
    {
        let what = "is not base64";
        let decoded = BASE64.decode(&encoded).map_err(|_| CloudInitError::Field { document, field, what })?;
        return Ok(match merge_user_data_with(&decoded, guest, reboot)? {
            Merged::Unchanged => None,
            Merged::Changed(merged) => Some(object.with(field, &BASE64.encode(merged))),
        });
    }
    if Form::is_compressed(user_data.as_bytes()) {
        return Err(CloudInitError::Compressed);
    }
    Ok(match merge_user_data_with(user_data.as_bytes(), guest, reboot)? {
        Merged::Unchanged => None,
        Merged::Changed(merged) => Some(object.with(plain, &merged)),
    })
}

fn string(document: Document, object: &Object<'_>, field: &'static str) -> Result<Option<String>, CloudInitError> {
    let error = |what| CloudInitError::Field { document, field, what };
    let Some(raw) = object.field(field).map_err(|_| error("stands there twice"))? else {
        return Ok(None);
    };
    String::deserialize(raw).map(Some).map_err(|_| error("is not a string"))
}
