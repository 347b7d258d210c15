//! Where a machine's pseudo file systems are: `/`, a host's root mounted somewhere in a container, or a captured tree.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::error::HostError;
use super::folder::{is_gone, read_error};

/// No text we read in `/sys` or `/proc` comes near it, but for `/proc` files with one line for each mount or interrupt: a node with
/// thousands of pods' mounts has some MiB of them.
const TEXT_LIMIT: u64 = 32 << 20;

/// A machine's root folder. Paths below it are written without a leading slash: `sys/class/net`.
///
/// What is not there is `None` or empty, for kernels differ in what they have (probe for an attribute, never for a version); every other
/// failure is an error that names the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// The machine whose root folder is at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The files that the node's first process sees. In a container of the node's process namespace these are the node's own, and what lies
    /// in `etc` or `run` here is the image's. A link there that begins with `/` leads into ours.
    pub fn of_first(&self) -> Self {
        Self(self.path("proc/1/root"))
    }

    /// Where something of the node's may lie that is no pseudo file: here, and as its first process sees it.
    pub fn seen(&self) -> [Self; 2] {
        [self.clone(), self.of_first()]
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The path of something below.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        // join() would let an absolute path replace the root.
        let below = below.as_ref();
        self.0.join(below.strip_prefix("/").unwrap_or(below))
    }

    /// Whether there is anything, a link that leads nowhere included.
    pub fn has(&self, below: impl AsRef<Path>) -> bool {
        fs::symlink_metadata(self.path(below)).is_ok()
    }

    /// A text without the blanks around it; `None` if there is no such file.
    ///
    /// # Errors
    ///
    /// [`HostError::Read`]: the system refused. [`HostError::Malformed`]: it is longer than 32 MiB.
    pub fn text(&self, below: impl AsRef<Path>) -> Result<Option<String>, HostError> {
        let Some(bytes) = self.bytes(below.as_ref())? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        Ok(Some(text.trim().to_owned()))
    }

    /// The bytes of a file; `None` if there is no such file.
    ///
    /// # Errors
    ///
    /// As for [`Self::text`].
    pub fn bytes(&self, below: impl AsRef<Path>) -> Result<Option<Vec<u8>>, HostError> {
        let path = self.path(below);
        let read = || {
            let mut bytes = Vec::new();
            File::open(&path)?.take(TEXT_LIMIT + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) if bytes.len() as u64 > TEXT_LIMIT => {
                Err(HostError::Malformed { path, text: "…".to_owned(), expected: "a text of at most 32 MiB" })
            }
            Ok(bytes) => Ok(Some(bytes)),
            Err(source) if is_gone(&source) => Ok(None),
            Err(source) => Err(read_error(&path, source)),
        }
    }

    /// A text as a value; `None` if there is no such file.
    ///
    /// # Errors
    ///
    /// As for [`Self::text`], and [`HostError::Malformed`] with what was `expected` if `value` finds none in it.
    pub fn value<T>(
        &self,
        below: impl AsRef<Path>,
        expected: &'static str,
        value: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, HostError> {
        let below = below.as_ref();
        let Some(text) = self.text(below)? else { return Ok(None) };
        match value(&text) {
            Some(value) => Ok(Some(value)),
            None => {
                let text = text.chars().take(80).collect();
                Err(HostError::Malformed { path: self.path(below), text, expected })
            }
        }
    }

    /// The names in a folder, sorted; empty if there is no such folder.
    ///
    /// # Errors
    ///
    /// [`HostError::Read`]: the system refused.
    pub fn names(&self, below: impl AsRef<Path>) -> Result<Vec<String>, HostError> {
        let path = self.path(below);
        let list = || fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>, _>>();
        match list() {
            Ok(names) => {
                let mut names: Vec<String> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
                names.sort();
                Ok(names)
            }
            Err(source) if is_gone(&source) => Ok(Vec::new()),
            Err(source) => Err(read_error(&path, source)),
        }
    }

    /// Where a link leads, as it is written in the link; `None` if there is no such link.
    ///
    /// # Errors
    ///
    /// [`HostError::Read`]: the system refused, or this is no link.
    pub fn link(&self, below: impl AsRef<Path>) -> Result<Option<PathBuf>, HostError> {
        let path = self.path(below);
        match fs::read_link(&path) {
            Ok(target) => Ok(Some(target)),
            Err(source) if is_gone(&source) => Ok(None),
            Err(source) => Err(read_error(&path, source)),
        }
    }

    /// The last name of where a link leads: of `driver`, the driver's name. `None` if there is no such link.
    ///
    /// # Errors
    ///
    /// As for [`Self::link`].
    pub fn link_name(&self, below: impl AsRef<Path>) -> Result<Option<String>, HostError> {
        let target = self.link(below)?;
        Ok(target.as_deref().and_then(Path::file_name).map(OsStr::to_string_lossy).map(std::borrow::Cow::into_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::Root;

    #[test]
    fn an_absolute_path_stays_below() {
        assert_eq!(Root::new("/host").path("/sys/bus").to_str(), Some("/host/sys/bus"));
    }

    #[test]
    fn what_is_not_there_is_none() {
        let root = Root::new("/nonexistent");
        assert_eq!(root.text("sys/x").unwrap(), None);
        assert_eq!(root.names("sys").unwrap(), Vec::<String>::new());
        assert_eq!(root.link_name("sys/driver").unwrap(), None);
    }
}
