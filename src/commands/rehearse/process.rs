//! The sidecar under rehearsal: our own program, in a process and a folder of its own.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::cli::{Libvirt, OnError, Rehearse};
use crate::commands::Failure;

/// What KubeVirt calls the first sidecar of a VM.
const NAME: &str = "hook-sidecar-0";

/// A folder that goes when it is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// A new one. Its path is short: a socket's may not have more than 107 bytes.
    pub(super) fn new() -> Result<Self, Failure> {
        let base = std::env::temp_dir();
        let mut attempt = 0_u32;
        loop {
            let path = base.join(format!("vt-{}-{attempt}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
                Err(error) => return Err(Failure::Write { path, error }),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is only litter.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running sidecar; killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
    /// The folder that virt-launcher looks at.
    pub(super) sockets: PathBuf,
}

impl Process {
    /// Starts the sidecar with the same options as the rehearsal.
    pub(super) fn start(args: &Rehearse, folder: &Folder) -> Result<Self, Failure> {
        let sockets = folder.path().join("s");
        let own = sockets.join(NAME);
        let nothing = folder.path().join("no-host");
        let log = folder.path().join("log");
        fs::create_dir_all(&own).map_err(|error| Failure::Write { path: own.clone(), error })?;
        let stderr = File::create(&log).map_err(|error| Failure::Write { path: log.clone(), error })?;
        let program = std::env::current_exe().map_err(|error| Failure::read(Path::new("/proc/self/exe"), error))?;
        let mut command = Command::new(&program);
        command.arg("sidecar").arg("--socket-dir").arg(&own).args(options(args));
        command.arg("--host-root").arg(args.inputs.host_root.as_deref().unwrap_or(&nothing));
        command.env("CONTAINER_NAME", NAME);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let child = command.spawn().map_err(|error| Failure::read(&program, error))?;
        let sockets = if args.release.has_folders() { sockets } else { own };
        Ok(Self { child, log, sockets })
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end; meanwhile connections are closed, which it waits for.
    pub(super) async fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let begin = Instant::now();
        loop {
            let ended = self.ended();
            if ended.is_some() || begin.elapsed() > limit {
                return ended;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// What it said that is not its log.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let words: Vec<&str> = text.lines().filter(|line| !line.starts_with('{')).collect();
        words.join("\n").trim_start_matches("virt-tailor: ").to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn options(args: &Rehearse) -> Vec<OsString> {
    let inputs = &args.inputs;
    let mut options: Vec<OsString> = Vec::new();
    for profile in &inputs.profiles {
        options.extend(["--profile".into(), profile.into()]);
    }
    if let Some(dir) = &inputs.profile_dir {
        options.extend(["--profile-dir".into(), dir.into()]);
    }
    for set in &inputs.sets {
        options.extend(["--set".into(), set.into()]);
    }
    match inputs.libvirt {
        Libvirt::Auto => {}
        Libvirt::Session => options.extend(["--libvirt".into(), "session".into()]),
        Libvirt::System => options.extend(["--libvirt".into(), "system".into()]),
    }
    if args.on_error == OnError::Keep {
        options.extend(["--on-error".into(), "keep".into()]);
    }
    if args.cloud_init {
        options.push("--cloud-init".into());
    }
    options
}
