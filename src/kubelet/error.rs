//! Why a call to kubelet brought nothing. One line each.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::Status;

use crate::base::shown;

/// Why there is no answer of kubelet's.
#[derive(Debug, thiserror::Error)]
pub enum KubeletError {
    /// Nobody listens, or nobody may.
    #[error("kubelet cannot be reached at {}: {error}", socket.display())]
    Reach {
        /// Where.
        socket: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// What listens there does not speak HTTP/2.
    #[error("what listens at {} does not speak gRPC: it is not kubelet", socket.display())]
    Foreign {
        /// Where.
        socket: PathBuf,
    },
    /// The connection ended before an answer: kubelet has ended too, or it is not kubelet.
    #[error("the connection to kubelet at {} broke before {call} was answered: {}", socket.display(), shown(cause))]
    Broken {
        /// Where.
        socket: PathBuf,
        /// What.
        call: &'static str,
        /// In the transport's words.
        cause: String,
    },
    /// No answer in time.
    #[error("kubelet has not answered {call} at {} within {} s", socket.display(), within.as_secs_f32())]
    Silent {
        /// Where.
        socket: PathBuf,
        /// What.
        call: &'static str,
        /// How long we waited.
        within: Duration,
    },
    /// An answer, and it is no.
    #[error("kubelet refuses {call} at {}: {} ({:?})", socket.display(), shown(status.message()), status.code())]
    Refused {
        /// Where.
        socket: PathBuf,
        /// What.
        call: &'static str,
        /// In kubelet's words.
        status: Box<Status>,
    },
    /// An answer that cannot be right.
    #[error("kubelet's answer to {call} at {} cannot be used: {what}", socket.display())]
    Odd {
        /// Where.
        socket: PathBuf,
        /// What.
        call: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

impl KubeletError {
    /// What a status means: kubelet's own, or the transport's, which has a cause.
    pub(super) fn of(status: Status, socket: &Path, call: &'static str) -> Self {
        let socket = socket.to_owned();
        let mut cause = status.source();
        while let Some(deeper) = cause.and_then(|error| error.source()) {
            cause = Some(deeper);
        }
        match cause.map(ToString::to_string) {
            Some(cause) => Self::Broken { socket, call, cause },
            None => Self::Refused { socket, call, status: Box::new(status) },
        }
    }
}
