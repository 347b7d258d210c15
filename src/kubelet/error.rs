//! Why a call to kubelet brought nothing. One line each.

use std::io;
use std::path::PathBuf;
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
