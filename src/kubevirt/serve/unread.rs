//! Why a call never came to the hook: what goes wrong before there is a document. One line, as for everything else.

use std::time::Duration;

use tonic::{Code, Status};

use super::MAX_REQUEST;
use super::status::of_line;

/// Why a call was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unread {
    /// Longer than we take.
    #[error(
        "the call has {bytes} bytes, and {MAX_REQUEST} at most are read: make the VM's spec or its cloud-init data shorter"
    )]
    TooLong {
        /// How long.
        bytes: usize,
    },
    /// Others have all memory.
    #[error(
        "other calls have all memory that there is for messages, for {} s now: start the VM again, and look who else calls the sidecar",
        .after.as_secs()
    )]
    Full {
        /// How long it waited.
        after: Duration,
    },
    /// The message stops coming.
    #[error("the call has not come whole within {} s: start the VM again", .after.as_secs())]
    Slow {
        /// How long it took.
        after: Duration,
    },
    /// Not one whole message.
    #[error("the call cannot be read: {0}; whoever called is not KubeVirt, or of a version we do not know")]
    Broken(String),
    /// Something that we do not serve.
    #[error(
        "{0} is not served here: there are kubevirt.hooks.info.Info, kubevirt.hooks.v1alpha1 to v1alpha3 and, with --plugin, kubevirt.hooks.plugins.v1alpha1"
    )]
    Unknown(String),
    /// Whatever else the transport says.
    #[error("{point}: {text}")]
    Other {
        /// What was called.
        point: String,
        /// What it says.
        text: String,
        /// Its code.
        code: Code,
    },
}

impl Unread {
    /// What a status of the transport's own means.
    pub(super) fn of(status: &Status, point: &str) -> Self {
        match status.code() {
            Code::Unimplemented => Self::Unknown(point.to_owned()),
            // Undecodable, incomplete, compressed: a mistake of ours has a line of its own before it comes here.
            Code::Internal => Self::Broken(status.message().to_owned()),
            code => Self::Other { point: point.to_owned(), text: status.message().to_owned(), code },
        }
    }

    /// The status; logs it too, as nobody else does.
    pub(super) fn status(&self, point: &str) -> Status {
        tracing::error!(point, reason = %self, "refused unread");
        of_line(self.code(), self)
    }

    fn code(&self) -> Code {
        match self {
            Self::TooLong { .. } | Self::Full { .. } => Code::ResourceExhausted,
            Self::Slow { .. } => Code::DeadlineExceeded,
            Self::Broken(_) => Code::InvalidArgument,
            Self::Unknown(_) => Code::Unimplemented,
            Self::Other { code, .. } => *code,
        }
    }
}
