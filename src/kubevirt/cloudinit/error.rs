//! Why nothing was merged. User data holds passwords and keys: no message shows any of it.

use super::hook::Document;

/// Why the user data stays unmerged; one line, without a byte of the user data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloudInitError {
    /// A value of the profile that cannot be handed to the guest.
    #[error("guest.{field}: {value:?} {what}")]
    Guest {
        /// The field of the profile's `guest` section.
        field: &'static str,
        /// The value, which is the profile's and no secret.
        value: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Compressed user data comes to a hook with its bytes replaced: KubeVirt puts them into JSON, which holds text only.
    #[error(
        "the user data is compressed, and KubeVirt hands it to a hook with bytes lost: give it uncompressed, or run the sidecar without --cloud-init"
    )]
    Compressed,
    /// Bytes that are no text.
    #[error("the user data is not UTF-8 text, and no form that cloud-init reads: give it as text")]
    NotText,
    /// Read by another program than cloud-init.
    #[error(
        "the user data is {0}, which cannot be merged: set there what the profile's guest section asks for, and leave that section out"
    )]
    NotCloudInit(&'static str),
    /// Begins like nothing cloud-init knows.
    #[error(
        "the user data begins with none of cloud-init's headers (#cloud-config, #!, #include, #cloud-boothook, MIME-Version ...), so a guest section cannot be merged into it: add the header on the first line"
    )]
    UnknownForm,
    /// A `bootcmd` that is no list: cloud-init refuses it, and would not merge ours into it.
    #[error(
        "bootcmd in the user data is not a list, so cloud-init runs no boot command at all: write a list or leave the key out"
    )]
    BootcmdIsNoList,
    /// Our own envelope, edited since.
    #[error(
        "the user data was merged by virt-tailor before and has been edited since: give it as it was before the merge"
    )]
    Edited,
    /// One of the hook's documents is not JSON.
    #[error("{document}: not valid JSON at line {line} column {column}")]
    Json {
        /// Which document.
        document: Document,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// One of the hook's documents has a field that is not as KubeVirt writes it.
    #[error("{document}: {field} {what}")]
    Field {
        /// Which document.
        document: Document,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
}
