//! One virsh at work.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tokio::time::sleep;

/// How often its end is looked for.
const LOOK: Duration = Duration::from_millis(5);
/// How long one that nobody waits for any more may take: it has a domain to undefine.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a virsh has said.
#[derive(Debug)]
pub(super) struct Said {
    /// On standard output.
    pub(super) text: String,
    /// On standard error.
    pub(super) errors: String,
}

/// A virsh; dropped before its end, it has a while to come to it.
///
/// It writes to files: a pipe whose reader has been killed would end it before it has undefined its domain.
#[derive(Debug)]
pub(super) struct Virsh {
    child: Child,
    text: PathBuf,
    errors: PathBuf,
}

impl Virsh {
    /// Starts one with a script. What it says is kept in a folder.
    pub(super) fn start(uri: &str, script: &str, folder: &Path) -> io::Result<Self> {
        let (text, errors) = (folder.join("virsh.out"), folder.join("virsh.err"));
        let child = Command::new("virsh")
            .args(["-q", "-c", uri, script])
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(File::create(&text)?)
            .stderr(File::create(&errors)?)
            // What a terminal sends to all (Ctrl-C) is not for it.
            .process_group(0)
            .spawn()?;
        Ok(Self { child, text, errors })
    }

    /// Waits for its end.
    pub(super) async fn said(mut self) -> io::Result<Said> {
        while self.child.try_wait()?.is_none() {
            sleep(LOOK).await;
        }
        let read = |path| Ok::<_, io::Error>(String::from_utf8_lossy(&fs::read(path)?).into_owned());
        Ok(Said { text: read(&self.text)?, errors: read(&self.errors)? })
    }
}

impl Drop for Virsh {
    fn drop(&mut self) {
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begin.elapsed() < PATIENCE {
            thread::sleep(LOOK);
        }
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
