//! What is wrong with what a person wrote, and where: all of it at once.

use std::fmt;
use std::sync::Arc;

use crate::base::shown;

/// One text a person gave us, and how it is called in messages and in [`super::Origins`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A file (or a built-in profile, whose label is `profile NAME (built-in)`): `label:line:column`.
    File {
        /// As the file is called in messages: its path, as the caller gave it.
        label: String,
        /// What it is to its author: `profile gpu-workstation (built-in)`, `profile /etc/…/x.yaml`.
        origin: String,
    },
    /// An annotation whose value is a YAML document: `annotation KEY, line 2 column 3`.
    Inline {
        /// The annotation's whole key.
        key: String,
    },
    /// An annotation that sets one field, or is a list of names.
    Annotation {
        /// The annotation's whole key.
        key: String,
        /// The field it sets; empty if none.
        path: String,
    },
    /// A `--set PATH=VALUE`.
    Set {
        /// The path.
        path: String,
    },
    /// An option of the command line that names a profile.
    Option {
        /// The option and its value, e.g. `--profile gpu`.
        text: String,
    },
}

impl Source {
    /// Who asks, as a person reads it.
    pub fn origin(&self) -> String {
        match self {
            Self::File { origin, .. } => origin.clone(),
            Self::Inline { key } | Self::Annotation { key, .. } => format!("annotation {key}"),
            Self::Set { path } => format!("--set {path}"),
            Self::Option { text } => text.clone(),
        }
    }

    /// The one field that this source sets, if it is of that kind.
    pub(super) fn own_path(&self) -> Option<&str> {
        match self {
            Self::Annotation { path, .. } | Self::Set { path } => Some(path),
            _ => None,
        }
    }
}

/// Where a value, a key or a mistake stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The text it stands in.
    pub source: Arc<Source>,
    /// Line and column, both from 1, in characters; for sources of more than one value.
    pub at: Option<(u64, u64)>,
}

impl Place {
    /// The source as a whole.
    pub fn whole(source: &Arc<Source>) -> Self {
        Self { source: Arc::clone(source), at: None }
    }

    /// A line and column of the source, both from 1.
    pub fn at(source: &Arc<Source>, line: u64, column: u64) -> Self {
        Self { source: Arc::clone(source), at: Some((line, column)) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.source, self.at) {
            (Source::File { label, .. }, Some((line, column))) => {
                write!(f, "{label}:{line}:{column}")
            }
            (Source::File { label, .. }, None) => f.write_str(label),
            (Source::Inline { key }, Some((line, column))) => {
                write!(f, "annotation {key}, line {line} column {column}")
            }
            (source, _) => f.write_str(&source.origin()),
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// What it is, with the value, and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&format!("{}: {}", self.place, self.message)))
    }
}

/// How many mistakes are told at once; a text with more is not a profile.
const SHOWN: usize = 100;

/// All mistakes that were found (at most 100), weakest layer first; never empty when it is an error. Shown one a line.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// A single mistake.
    pub fn one(place: Place, message: impl Into<String>) -> Self {
        Self(vec![Problem { place, message: message.into() }])
    }

    /// All in one line, as a gRPC status shows them.
    pub fn one_line(&self) -> String {
        let shown: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        shown.join("; ").replace(['\n', '\r'], " ")
    }

    /// Adds a mistake, unless the very same one is known or there are too many already.
    pub(super) fn add(&mut self, problem: Problem) {
        if self.0.len() < SHOWN && !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    /// Adds what is new among others.
    pub(super) fn extend(&mut self, others: Self) {
        for problem in others.0 {
            self.add(problem);
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}
