//! Where something stands: a line of a file, and of a file that is embedded in it.

use std::fmt;
use std::sync::Arc;

/// A place in what was given to be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    file: Arc<str>,
    line: Option<u64>,
    /// The path of the embedded file, as the node has it, and the line in it.
    inside: Option<(Arc<str>, Option<u64>)>,
}

impl Place {
    /// A file as a whole.
    pub(super) fn file(label: &str) -> Self {
        Self { file: label.into(), line: None, inside: None }
    }

    /// A line, from 1, of what this place is: of the file, or of the file embedded there.
    pub(super) fn line(&self, line: u64) -> Self {
        let mut place = self.clone();
        match &mut place.inside {
            Some((_, inside)) => *inside = Some(line),
            None => place.line = Some(line),
        }
        place
    }

    /// A file that is embedded here.
    pub(super) fn inside(&self, path: &str) -> Self {
        Self { inside: Some((path.into(), None)), ..self.clone() }
    }

    /// Whether both are in the same file, whatever the line.
    pub(super) fn same_file(&self, other: &Self) -> bool {
        let inside = |place: &Self| place.inside.as_ref().map(|(path, _)| path.clone());
        self.file == other.file && inside(self) == inside(other)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some((path, line)) = &self.inside {
            write!(f, " {path}")?;
            if let Some(line) = line {
                write!(f, ":{line}")?;
            }
        }
        Ok(())
    }
}
