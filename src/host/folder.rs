//! One folder of sysfs, read with care: a captured tree is somebody else's input.
//!
//! Links are followed only on the way to a folder, and only inside the host root; below it every file is a plain file and of a link
//! only the name it leads to is taken. Nothing is read beyond a limit, and nothing that could block (a pipe in a captured tree).

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::error::HostError;

/// sysfs gives an attribute one page at most (kernel: filesystems/sysfs.rst), and no text we read comes near it.
const TEXT_LIMIT: u64 = 4096;

/// What of a wrong text is shown.
const SHOWN_CHARS: usize = 80;

/// A folder inside a host root.
#[derive(Debug)]
pub(super) struct Folder {
    /// As a person would name it, for messages.
    shown: PathBuf,
    /// Without links, certain to be inside the root.
    real: PathBuf,
}

impl Folder {
    /// Finds a folder, through links that stay inside `root` (which is without links itself).
    pub(super) fn open(root: &Path, shown: &Path) -> Result<Self, HostError> {
        let real = fs::canonicalize(shown).map_err(|source| read_error(shown, source))?;
        if !real.starts_with(root) {
            return Err(HostError::Outside { path: shown.to_owned(), target: real });
        }
        if !real.is_dir() {
            return Err(HostError::Shape { path: shown.to_owned(), expected: "a folder" });
        }
        Ok(Self { shown: shown.to_owned(), real })
    }

    /// Names of what is in it, sorted so that of several faults the same one is reported every time.
    pub(super) fn names(&self) -> Result<Vec<std::ffi::OsString>, HostError> {
        let list = || -> io::Result<Vec<_>> { fs::read_dir(&self.real)?.map(|entry| Ok(entry?.file_name())).collect() };
        let mut names = list().map_err(|source| read_error(&self.shown, source))?;
        names.sort();
        Ok(names)
    }

    /// The path of something in it, for messages.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.shown.join(name)
    }

    /// Whether there is anything of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        fs::symlink_metadata(self.real.join(name)).is_ok()
    }

    /// An attribute without the blanks around it; `None` if there is none.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, HostError> {
        // One byte more than allowed shows that there was more.
        let Some(bytes) = self.bytes(name, TEXT_LIMIT + 1)? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&bytes);
        if bytes.len() as u64 > TEXT_LIMIT {
            return Err(self.malformed(name, &text, "an attribute of at most 4096 bytes"));
        }
        Ok(Some(text.trim().to_owned()))
    }

    /// The first bytes of a file, as many as there are up to `limit`; `None` if there is no file.
    pub(super) fn bytes(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, HostError> {
        let path = self.real.join(name);
        let read = || -> io::Result<Option<Vec<u8>>> {
            if !fs::symlink_metadata(&path)?.is_file() {
                return Ok(None);
            }
            let mut bytes = Vec::new();
            File::open(&path)?.take(limit).read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        };
        match read() {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => Err(HostError::Shape { path: self.path_of(name), expected: "a plain file" }),
            Err(source) if is_gone(&source) => Ok(None),
            Err(source) => Err(read_error(&self.path_of(name), source)),
        }
    }

    /// The last name of where a link leads, whether or not there is anything; `None` if there is no link.
    pub(super) fn link_name(&self, name: &str) -> Result<Option<String>, HostError> {
        let path = self.real.join(name);
        let target = match fs::symlink_metadata(&path) {
            Ok(metadata) if !metadata.is_symlink() => {
                return Err(HostError::Shape { path: self.path_of(name), expected: "a link" });
            }
            Ok(_) => fs::read_link(&path),
            Err(source) => Err(source),
        };
        match target {
            Ok(target) => match target.file_name() {
                Some(last) => Ok(Some(last.to_string_lossy().into_owned())),
                None => Err(self.malformed(name, &target.to_string_lossy(), "a link that ends in a name")),
            },
            Err(source) if is_gone(&source) => Ok(None),
            Err(source) => Err(read_error(&self.path_of(name), source)),
        }
    }

    /// The error for a wrong text in one of its files.
    pub(super) fn malformed(&self, name: &str, text: &str, expected: &'static str) -> HostError {
        let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        HostError::Malformed { path: self.path_of(name), text: shown, expected }
    }
}

/// Whether the system says that a thing is not there. Reading an attribute of a device that is being removed gives ENODEV (kernel:
/// fs/kernfs/file.c).
pub(super) fn is_gone(error: &io::Error) -> bool {
    const ENODEV: i32 = 19;
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(ENODEV)
}

/// The error for what could not be read.
pub(super) fn read_error(path: &Path, source: io::Error) -> HostError {
    HostError::Read { path: path.to_owned(), source }
}
