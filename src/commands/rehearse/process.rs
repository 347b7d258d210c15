//! The sidecar under rehearsal: our own program, in a process and a folder of its own.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::time::sleep;

use super::{Folder, Trouble};
use crate::cli::{Libvirt, OnError, Rehearse};
use crate::commands::Failure;

/// What KubeVirt calls the first sidecar of a VM.
const NAME: &str = "hook-sidecar-0";
/// In the environment of a sidecar under rehearsal: the rehearsal's process.
const REHEARSED_BY: &str = "VIRT_TAILOR_REHEARSED_BY";

/// Has a sidecar under rehearsal end with it, even if that is killed; any other sidecar is left alone.
///
/// Linux sends the signal when the *thread* that started us ends: a rehearsal has only its main thread.
pub(in crate::commands) fn end_with_rehearsal() -> Result<(), Trouble> {
    let Some(rehearsal) = std::env::var_os(REHEARSED_BY) else {
        return Ok(());
    };
    // It has nothing to save but litter in a folder that nobody looks at any more.
    set_pdeathsig(Signal::SIGKILL).map_err(|_| Trouble::Orphan)?;
    // It may have been gone before.
    if rehearsal == parent_id().to_string().as_str() { Ok(()) } else { Err(Trouble::Orphan) }
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
        command.env("CONTAINER_NAME", NAME).env(REHEARSED_BY, std::process::id().to_string());
        // What a terminal sends to all (Ctrl-C) is for us to deal with.
        command.process_group(0);
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

    /// What it logged that a person should know, each once; refusals are told as the answers that they were.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for line in fs::read_to_string(&self.log).unwrap_or_default().lines() {
            let entry: Value = serde_json::from_str(line).unwrap_or_default();
            let text = |name: &str| entry.get(name).and_then(Value::as_str);
            let is_kept = text("message").is_some_and(|message| message.contains("--on-error keep"));
            if text("level") == Some("WARN") || is_kept {
                let parts: Vec<&str> =
                    ["message", "reason", "problem", "note"].iter().filter_map(|name| text(name)).collect();
                let warning = parts.join(": ");
                if !found.contains(&warning) {
                    found.push(warning);
                }
            }
        }
        found
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
    // There is no node here to be prepared; the sidecar warns of what would be asked.
    let mut options: Vec<OsString> = vec!["--agent".into(), "off".into()];
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
