//! Why a VM would not start: what its owner would see.

use nix::sys::signal::Signal;

use crate::commands::Failure;
use crate::kubevirt::launcher::CollectError;

/// Why a rehearsed VM does not start.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Nothing to tell the sidecar.
    #[error("a rehearsal needs --vmi: a sidecar is told the VM with every call")]
    NoVmi,
    /// virt-launcher finds no sidecar, or one that it cannot use.
    #[error("the virt-launcher pod would fail: {0}")]
    Pod(#[from] CollectError),
    /// The stand-in for libvirt has its limits.
    #[error("without a libvirt only q35 machines can be rehearsed: give --connect")]
    Board,
    /// The sidecar has ended by itself.
    #[error("the sidecar does not run, so the VM would stay in phase Scheduling: {message}")]
    Sidecar {
        /// Its last words.
        message: String,
        /// Its exit code.
        code: u8,
    },
    /// A call failed, or what it brought.
    #[error("the VM would not start. Its condition would say:\n  server error. command SyncVMI failed: {0:?}")]
    Sync(String),
    /// KubeVirt itself would crash.
    #[error("the VM would not start: virt-launcher would crash. {0}")]
    Crash(&'static str),
    /// virt-handler gives up waiting.
    #[error(
        "the VM would not start in order: its start takes {seconds:.1} s, and virt-handler waits {limit} s for \
         virt-launcher. Its condition would say:\n  server error. command SyncVMI failed: \"rpc error: code = \
         DeadlineExceeded desc = context deadline exceeded\""
    )]
    Late {
        /// How long it took so far.
        seconds: f64,
        /// How long it may take.
        limit: u64,
    },
    /// The VM runs, and its pod never completes.
    #[error("the VM would start, but its pod would not complete: {0}")]
    End(String),
    /// The libvirt that was asked for is not there.
    #[error("cannot use libvirt at {uri}: {why}")]
    Libvirt {
        /// Which.
        uri: String,
        /// In virsh's words.
        why: String,
    },
    /// A sidecar that runs already is not there.
    #[error("cannot reach the sidecar at {path}: {why}")]
    Unreachable {
        /// Its socket.
        path: String,
        /// Why.
        why: String,
    },
    /// Somebody has stopped it.
    #[error("{0} has stopped the rehearsal")]
    Stopped(Signal),
    /// This is a sidecar under rehearsal, and the rehearsal has ended.
    #[error("the rehearsal that has started this sidecar is over")]
    Orphan,
}

impl Trouble {
    /// The exit code.
    pub(in crate::commands) fn code(&self) -> u8 {
        match self {
            Self::NoVmi | Self::Board => Failure::USAGE,
            Self::Sidecar { code, .. } => *code,
            Self::Pod(_) | Self::Libvirt { .. } | Self::Unreachable { .. } | Self::Orphan => Failure::UNAVAILABLE,
            Self::Sync(_) | Self::Crash(_) | Self::Late { .. } | Self::End(_) => Failure::DATA,
            // As a shell has it.
            Self::Stopped(signal) => 128 + u8::try_from(*signal as i32).unwrap_or(0),
        }
    }
}
