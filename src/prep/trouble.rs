//! What went wrong on the node, in a form that can cross a pipe and be kept in the journal.

use std::error::Error;
use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::host::HostError;

/// Why a step could not be observed, planned or carried out: one line, with the system's error number where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The complete line: where, what, what instead.
    pub message: String,
    /// The system's error number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
}

impl Trouble {
    /// A refusal in words.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), errno: None }
    }

    /// What the system said about something.
    pub fn io(what: impl fmt::Display, source: &io::Error) -> Self {
        Self { message: format!("{what}: {source}"), errno: source.raw_os_error() }
    }

    /// What the system said, by its number.
    pub fn errno(what: impl fmt::Display, errno: nix::errno::Errno) -> Self {
        Self::io(what, &io::Error::from(errno))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::base::shown(&self.message))
    }
}

impl Error for Trouble {}

impl From<HostError> for Trouble {
    fn from(error: HostError) -> Self {
        let errno = match &error {
            HostError::Read { source, .. } => source.raw_os_error(),
            _ => None,
        };
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self { message, errno }
    }
}
