//! What a mutation says it did.

use std::fmt;

use serde::Serialize;

/// One change of the domain: what, why, and who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What changed, e.g. `devices/hostdev ua-gpu-gpu0: add <rom bar="off"/>`.
    pub what: String,
    /// The reason.
    pub why: String,
    /// The layer that asked: a profile, an annotation, `--set`, a quirk.
    pub from: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    why: {}\n    from: {}", self.what, self.why, self.from)
    }
}

/// The outcome of a mutation: the new bytes and how they came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The document; the very input if nothing changed.
    pub bytes: Vec<u8>,
    /// Every change, in the order of the subjects. Empty if the domain was right already.
    pub changes: Vec<Change>,
    /// What the user should know though nothing was changed for it.
    pub notes: Vec<String>,
}

/// Why a domain cannot take what is asked: every problem, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One complete line per problem.
    pub problems: Vec<String>,
}

impl Refusal {
    /// All problems in one line, for a gRPC status.
    pub fn one_line(&self) -> String {
        self.problems.join("; ")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for Refusal {}
