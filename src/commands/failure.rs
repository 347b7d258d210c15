//! From error to exit code (sysexits.h) and to what a person reads.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::Problems;
use crate::domain::{DomainError, Refusal};
use crate::host::HostError;
use crate::kubevirt::VmiError;
use crate::kubevirt::hook::HookError;
use crate::kubevirt::serve::ServeError;
use crate::prep::engine::EngineError;
use crate::prep::journal::JournalError;

use super::rehearse::Trouble;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Profiles, annotations or settings are wrong.
    #[error("{}", listed("the request is wrong", &.0.0.iter().map(ToString::to_string).collect::<Vec<_>>()))]
    Request(#[from] Problems),
    /// The VM is wrong.
    #[error("{}: {error}", path.display())]
    Vmi {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: VmiError,
    },
    /// Two things are to come from standard input.
    #[error("standard input can be read once: give a file for --domain or for --vmi")]
    InputTwice,
    /// Text that should be UTF-8 is not.
    #[error("{}: this is not UTF-8 text", path.display())]
    NotText {
        /// Its file.
        path: PathBuf,
    },
    /// The input is no domain.
    #[error("{}: {}", name.display(), domain_error(.error))]
    NotADomain {
        /// Its file.
        name: PathBuf,
        /// What is wrong.
        error: Box<DomainError>,
    },
    /// The input is no XML at all: often the VM, given to the wrong option.
    #[error("{}: this is no XML: --domain takes libvirt's XML (virsh dumpxml); a VM goes to --vmi", name.display())]
    NotXml {
        /// Its file.
        name: PathBuf,
    },
    /// The domain cannot take what is asked.
    #[error("{}", listed("the domain cannot take what is asked", &.0.problems))]
    Refused(#[from] Refusal),
    /// The domain breaks rules by itself.
    #[error("{}", listed("libvirt or QEMU would not take this domain", .0))]
    Broken(Vec<String>),
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Facts about the host cannot be read.
    #[error("{}", chain(.0))]
    Host(#[from] HostError),
    /// Options of a hook program, which KubeVirt's shim gives.
    #[error("{0}")]
    Shim(String),
    /// The hook has no answer.
    #[error("{0}")]
    Hook(#[from] HookError),
    /// Nothing can be served.
    #[error("{0}")]
    Serve(#[from] ServeError),
    /// A VM would not start.
    #[error("{0}")]
    Rehearsal(#[from] Trouble),
    /// What is asked of the node is wrong in itself.
    #[error("{0}")]
    NodeRequest(String),
    /// Nobody has said what may be given away.
    #[error(
        "there is no NodeConfig at {}: write one that says which devices may be given away (`virt-tailor schema node-config` describes \
         it) and name it with --config",
        path.display()
    )]
    NoNodeConfig {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Something stands in the way on the node; nothing was changed.
    #[error("{}", listed("this cannot be done on this node", .0))]
    NodeRefused(Vec<String>),
    /// A plan did not go through.
    #[error("{0}")]
    Node(EngineError),
    /// The journal cannot be opened.
    #[error("{}", journal(.0))]
    Journal(#[from] JournalError),
    /// Files to import are not what they seem.
    #[error("{}", listed("these files cannot be imported", .0))]
    NotImported(Vec<String>),
    /// With `--strict`: what is not understood.
    #[error("{}", listed("not all of it is understood", .0))]
    NotUnderstood(Vec<String>),
    /// We made documents that we would not read ourselves.
    #[error("this is a mistake of ours, please report it: what was made of these files is not valid: {0}")]
    ImportBug(Problems),
    /// We produced something that we would not read ourselves.
    #[error("this is a mistake of ours, please report it: the new domain is malformed: {0}")]
    Bug(DomainError),
}

impl Failure {
    /// The request is wrong in itself.
    pub const USAGE: u8 = 64;
    /// The input is wrong, or does not go with the request.
    pub const DATA: u8 = 65;
    /// A file cannot be read or written.
    pub const INPUT: u8 = 66;
    /// A program that we need does not answer.
    pub const UNAVAILABLE: u8 = 69;
    /// Something was begun on the node and did not go through.
    pub const FAILED: u8 = 74;
    /// Somebody else is at it: ask again.
    pub const BUSY: u8 = 75;
    /// A mistake of ours.
    pub const BUG: u8 = 70;

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::NodeRequest(_)
            | Self::NoNodeConfig { .. }
            | Self::Request(_)
            | Self::Vmi { .. }
            | Self::InputTwice
            | Self::NotText { .. }
            | Self::Shim(_) => Self::USAGE,
            Self::NotADomain { .. } | Self::NotXml { .. } | Self::Refused(_) | Self::Broken(_) => Self::DATA,
            Self::NotImported(_) | Self::NotUnderstood(_) => Self::DATA,
            Self::Read { .. } | Self::Write { .. } | Self::Host(_) | Self::Serve(_) => Self::INPUT,
            Self::NodeRefused(_) => Self::UNAVAILABLE,
            Self::Node(_) => Self::FAILED,
            Self::Journal(JournalError::Held { .. }) => Self::BUSY,
            Self::Journal(_) => Self::INPUT,
            Self::Hook(error) => of_hook(error),
            Self::Rehearsal(trouble) => trouble.code(),
            Self::Bug(_) | Self::ImportBug(_) => Self::BUG,
        }
    }

    /// A failure to read a file.
    pub(super) fn read(path: &Path, error: io::Error) -> Self {
        Self::Read { path: path.to_owned(), error }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Refused { reasons } => Self::NodeRefused(reasons),
            EngineError::Journal(error) => Self::Journal(error),
            other => Self::Node(other),
        }
    }
}

fn of_hook(error: &HookError) -> u8 {
    match error {
        HookError::NoDomain | HookError::Domain(_) | HookError::DomainType { .. } => Failure::DATA,
        HookError::Refused(_) | HookError::TooLong { .. } | HookError::CloudInit(_) => Failure::DATA,
        HookError::NoVmi | HookError::VmiNotText { .. } | HookError::Vmi(_) => Failure::USAGE,
        HookError::Request(_) | HookError::NotServed { .. } => Failure::USAGE,
        HookError::Agent { .. } => Failure::UNAVAILABLE,
        HookError::Bug(_) => Failure::BUG,
    }
}

/// A single problem in one line, several as a list.
fn listed(what: &str, problems: &[String]) -> String {
    match problems {
        [one] => one.clone(),
        many => {
            let lines: String = many.iter().map(|problem| format!("\n  - {problem}")).collect();
            format!("{what}, for {} reasons:{lines}", many.len())
        }
    }
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        out.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    out
}

/// Who is not root is told so, and not only what was refused.
fn journal(error: &JournalError) -> String {
    let text = chain(error);
    match error {
        JournalError::System { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            format!("{text}: a node is changed by root alone, run it as root")
        }
        _ => text,
    }
}

fn domain_error(error: &DomainError) -> String {
    match error {
        DomainError::Xml(error) => format!("{error}\n{}", error.snippet()),
        DomainError::Root { .. } => error.to_string(),
    }
}
