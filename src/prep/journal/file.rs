//! The file: opened for one process, replayed, appended to, begun anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::event::Event;
use super::ledger::Ledger;
use super::line;

/// The format this program writes, and the only one it reads.
const FORMAT: u32 = 1;
/// A journal in which nothing is held any more is begun anew beyond this size, bytes.
const ANEW_ABOVE: u64 = 256 << 10;
/// A journal in which something is held all the time is too.
const LIMIT: u64 = 64 << 20;

/// The open journal: this process alone may change the node.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    file: File,
    ledger: Ledger,
    size: u64,
    /// The first failure to write; nothing may be changed after it.
    broken: bool,
    _lock: Flock<File>,
}

/// What was found when a journal was opened.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Opened {
    /// What an earlier boot had left, which this one has wiped: nothing of it is true any more.
    pub earlier: Option<Ledger>,
    /// Whether the last line was torn by a crash; what it announced was never begun.
    pub torn: bool,
}

/// Why a journal cannot be opened or written. After any of these nothing on the node is changed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it.
    #[error("{path} is held by another virt-tailor{}: one at a time may change a node", holder.map_or_else(String::new, |pid| format!(" (process {pid})")), path = path.display())]
    Held {
        /// The lock.
        path: PathBuf,
        /// Who wrote its number into it.
        holder: Option<u32>,
    },
    /// Somebody else could write it.
    #[error("{path} must be a folder that only its owner, user {uid}, may enter: chown {uid} and chmod 700 it", path = path.display())]
    Open {
        /// The state folder.
        path: PathBuf,
        /// Who we are.
        uid: u32,
    },
    /// It does not hold what we wrote.
    #[error("{path}, line {line}, cannot be read: {why}; nothing is changed while it is damaged. {}", way_out(*line), path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The system refused.
    #[error("cannot {what} {path}", path = path.display())]
    System {
        /// What was to be done.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A write failed before.
    #[error("{path} could not be written before, so nothing more is changed: free the disk and restart", path = path.display())]
    Broken {
        /// The file.
        path: PathBuf,
    },
}

impl Journal {
    /// Opens the journal in a state folder, which is made if it is not there, for the boot that is going on.
    ///
    /// # Errors
    ///
    /// [`JournalError`].
    pub fn open(folder: &Path, boot: &str) -> Result<(Self, Opened), JournalError> {
        private_folder(folder)?;
        let lock = lock(folder)?;
        let path = folder.join("journal");
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW)
            .open(&path)
            .map_err(system("open", &path))?;
        let replayed = replay(&mut file, &path)?;
        let ours = replayed.ledger.boot == boot;
        if let Some(damage) = replayed.damage
            && (ours || replayed.ledger.boot.is_empty())
        {
            return Err(damage);
        }
        if replayed.torn {
            file.set_len(replayed.whole).map_err(system("shorten", &path))?;
        }
        let (ledger, size) = (replayed.ledger, replayed.whole);
        let mut journal = Self { folder: folder.to_owned(), file, ledger, size, broken: false, _lock: lock };
        let mut opened = Opened { earlier: None, torn: replayed.torn };
        if !ours {
            let earlier = std::mem::take(&mut journal.ledger);
            opened.earlier = (!earlier.is_empty()).then_some(earlier);
            journal.begin_anew(&[Event::Opened { format: FORMAT, boot: boot.to_owned() }])?;
        }
        Ok((journal, opened))
    }

    /// Reads a journal without changing anything, and without waiting for whoever has it. `None` if there is none, or of another boot.
    ///
    /// # Errors
    ///
    /// [`JournalError`].
    pub fn peek(folder: &Path, boot: &str) -> Result<Option<Ledger>, JournalError> {
        let path = folder.join("journal");
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(system("open", &path)(error)),
        };
        let Replayed { ledger, damage, .. } = replay(&mut file, &path)?;
        match damage {
            Some(damage) if ledger.boot == boot || ledger.boot.is_empty() => Err(damage),
            _ => Ok((ledger.boot == boot).then_some(ledger)),
        }
    }

    /// What the events add up to.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Writes an event down: when this returns, it is on the disk.
    ///
    /// # Errors
    ///
    /// [`JournalError`]; after the first one every call fails.
    pub fn append(&mut self, event: Event) -> Result<(), JournalError> {
        self.write(event, true)
    }

    /// Writes an event down that only saves work after a crash of this program, so need not survive one of the node: after that
    /// nothing of the journal is true anyway.
    ///
    /// # Errors
    ///
    /// As for [`Self::append`].
    pub fn note(&mut self, event: Event) -> Result<(), JournalError> {
        self.write(event, false)
    }

    fn write(&mut self, event: Event, durable: bool) -> Result<(), JournalError> {
        let path = self.folder.join("journal");
        if self.broken {
            return Err(JournalError::Broken { path });
        }
        let line = line::write(&event).map_err(io::Error::from).map_err(system("write", &path))?;
        let written =
            self.file.write_all(line.as_bytes()).and_then(|()| if durable { self.file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            // What follows a half-written line would be taken for its rest.
            self.broken = true;
            return Err(system("write", &path)(error));
        }
        self.size += line.len() as u64;
        self.ledger.take(event);
        if (self.size > ANEW_ABOVE && self.ledger.is_empty()) || self.size > LIMIT {
            self.shorten()?;
        }
        Ok(())
    }

    /// Begins the file anew with the events that make the ledger of now.
    fn shorten(&mut self) -> Result<(), JournalError> {
        let ledger = self.ledger.clone();
        self.begin_anew(&[Event::Opened { format: FORMAT, boot: ledger.boot.clone() }, Event::Snapshot { ledger }])
    }

    /// Puts a new file in the place of the old one, whole or not at all.
    fn begin_anew(&mut self, events: &[Event]) -> Result<(), JournalError> {
        let (path, new) = (self.folder.join("journal"), self.folder.join("journal.new"));
        let write = || -> io::Result<(File, u64)> {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .custom_flags(nix::libc::O_NOFOLLOW)
                .open(&new)?;
            let mut size = 0;
            for event in events {
                let line = line::write(event)?;
                file.write_all(line.as_bytes())?;
                size += line.len() as u64;
            }
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.folder)?.sync_all()?;
            // Appending from here on, whoever else may hold the file open.
            Ok((OpenOptions::new().read(true).append(true).open(&path)?, size))
        };
        let (file, size) = write().map_err(system("write", &new)).inspect_err(|_| self.broken = true)?;
        (self.file, self.size) = (file, size);
        self.ledger = Ledger::default();
        for event in events {
            self.ledger.take(event.clone());
        }
        Ok(())
    }
}

/// A state folder that nobody else may enter.
fn private_folder(folder: &Path) -> Result<(), JournalError> {
    let make = || match fs::DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    };
    make().map_err(system("make", folder))?;
    let uid = nix::unistd::geteuid().as_raw();
    let open = || JournalError::Open { path: folder.to_owned(), uid };
    // Looked at and changed through one descriptor: nobody puts another folder in its place in between.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_DIRECTORY;
    let opened = match OpenOptions::new().read(true).custom_flags(flags).open(folder) {
        Err(error) if matches!(error.raw_os_error(), Some(nix::libc::ENOTDIR | nix::libc::ELOOP)) => {
            return Err(open());
        }
        opened => opened.map_err(system("look at", folder))?,
    };
    let metadata = opened.metadata().map_err(system("look at", folder))?;
    if metadata.uid() != uid || metadata.mode() & 0o022 != 0 {
        return Err(open());
    }
    // kubelet makes the folder of a volume with 0755 (kubelet: DirectoryOrCreate). Nobody else could have put anything into it.
    if metadata.mode() & 0o077 != 0 {
        opened.set_permissions(fs::Permissions::from_mode(0o700)).map_err(system("close to others", folder))?;
    }
    Ok(())
}

/// The lock of a state folder, with our number in it for whoever finds it taken.
fn lock(folder: &Path) -> Result<Flock<File>, JournalError> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(&path)
        .map_err(system("open", &path))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            // Only for a message: what cannot be written is not worth failing for.
            let _ = lock.set_len(0).and_then(|()| write!(&mut *lock, "{}", std::process::id()));
            Ok(lock)
        }
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut text = String::new();
            let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text));
            Err(JournalError::Held { path, holder: text.trim().parse().ok() })
        }
        Err((_, errno)) => Err(system("lock", &path)(errno.into())),
    }
}

/// What a file holds.
#[derive(Debug, Default)]
struct Replayed {
    ledger: Ledger,
    /// The size of what is whole, bytes.
    whole: u64,
    /// Whether there is a torn line after it.
    torn: bool,
    /// What is wrong with it; the ledger is what stands before.
    damage: Option<JournalError>,
}

/// Reads a file from its start.
fn replay(file: &mut File, path: &Path) -> Result<Replayed, JournalError> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(system("read", path))?;
    file.take(2 * LIMIT).read_to_end(&mut bytes).map_err(system("read", path))?;
    let mut replayed = Replayed::default();
    for (index, text) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(whole) = text.strip_suffix(b"\n") else {
            // Where a crash tears: the write had not returned, so nothing had been done on its account.
            replayed.torn = true;
            break;
        };
        let event = std::str::from_utf8(whole).map_err(|error| error.to_string()).and_then(line::read);
        let why = match event {
            Ok(Event::Opened { format, boot }) if format != FORMAT => {
                // Of an earlier boot it does not matter what it says.
                replayed.ledger.boot = boot;
                format!("its format is {format}, and this virt-tailor knows {FORMAT}")
            }
            Ok(event) => {
                replayed.ledger.take(event);
                replayed.whole += text.len() as u64;
                continue;
            }
            Err(why) => why,
        };
        replayed.damage = Some(JournalError::Damaged { path: path.to_owned(), line: index + 1, why });
        break;
    }
    Ok(replayed)
}

/// What helps against damage in a line. Which boot a journal is of is in its first line.
fn way_out(line: usize) -> &'static str {
    if line == 1 {
        "a reboot of the node puts back whatever was done to it; remove the file after that"
    } else {
        "the lines before it say what was done to this node; a reboot of the node puts all of that back and begins the journal anew"
    }
}

/// The error for what the system refused.
fn system(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::System { what, path, source }
}
