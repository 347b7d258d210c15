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
    /// Lines of what is in it are told as this one.
    is_one_line: bool,
}

impl Place {
    /// A file as a whole.
    pub(super) fn file(label: &str) -> Self {
        Self { file: label.into(), line: None, inside: None, is_one_line: false }
    }

    /// A line, from 1, of what this place is: of the file, or of the file embedded there.
    pub(super) fn line(&self, line: u64) -> Self {
        let mut place = self.clone();
        if self.is_one_line {
            return place;
        }
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

    /// The same for a text that stands on one line, whatever lines it has in itself.
    pub(super) fn one_line(&self) -> Self {
        Self { is_one_line: true, ..self.clone() }
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
