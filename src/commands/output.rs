//! Writing: to standard output, to a file that is replaced as a whole, or words to standard error.

use std::fmt;
use std::fs::Permissions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::Failure;

/// Writes bytes to a file, or to standard output. A reader that has gone away is no error.
pub(super) fn write(bytes: &[u8], file: Option<&Path>) -> Result<(), Failure> {
    match file {
        Some(path) => replace(path, bytes).map_err(|error| Failure::Write { path: path.to_owned(), error }),
        None => {
            let mut out = io::stdout().lock();
            match out.write_all(bytes).and_then(|()| out.flush()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                other => other.map_err(|error| Failure::Write { path: PathBuf::from("standard output"), error }),
            }
        }
    }
}

/// Says something to whoever reads standard error. Nobody may: `eprintln!` would then end the program by a panic, in the midst of
/// what it does.
pub fn tell(words: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_all(format!("{words}\n").as_bytes());
}

/// Replaces a file in one step, so that nobody ever sees half of it. A link stays one, and the file keeps its mode.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let known = std::fs::metadata(path).ok();
    if known.as_ref().is_some_and(|known| !known.is_file()) {
        // A pipe or /dev/stdout cannot be replaced, only written to.
        return std::fs::write(path, bytes);
    }
    let path = if known.is_some() { std::fs::canonicalize(path)? } else { path.to_owned() };
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = write_new(&temporary, bytes, known.map(|known| known.permissions()));
    let done = written.and_then(|()| std::fs::rename(&temporary, &path));
    if done.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&temporary);
    }
    done
}

/// Writes a file that is to take the place of another; its mode is set before there is anything to read in it.
fn write_new(path: &Path, bytes: &[u8], mode: Option<Permissions>) -> io::Result<()> {
    // Nothing may be there already, not even a link: the folder may be everybody's.
    let mut file = std::fs::File::create_new(path)?;
    if let Some(mode) = mode {
        file.set_permissions(mode)?;
    }
    file.write_all(bytes)
}
