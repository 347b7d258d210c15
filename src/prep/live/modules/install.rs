//! Modules that the node's administrator has loaded by a command (modprobe.d(5), `install`): by the node's own modprobe, in its mount
//! namespace. All others are loaded without it, for there is none in a container, nor on every node.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::base::shown;
use crate::host::Root;
use crate::prep::trouble::Trouble;

/// Where an administrator's programs are.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin";
/// An administrator's command may be any program; it is given less time than whoever waits for it here.
const WITHIN: Duration = Duration::from_secs(150);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// So much of what it says is read, in bytes.
const SAID: u64 = 64 << 10;

/// Has modprobe load a module with these parameters, beside those that the node has for it.
pub(super) fn modprobe(root: &Root, module: &str, parameters: &[String]) -> Result<(), Trouble> {
    let mut command = Command::new("modprobe");
    command.arg("--").arg(module).args(parameters).env_clear().env("PATH", PATH);
    let outcome = File::open(root.path("proc/1/ns/mnt")).and_then(|mounts| run(command, mounts, WITHIN));
    let why = match outcome {
        Ok((status, _)) if status.success() => return Ok(()),
        Ok((status, said)) => match said.lines().next().map(str::trim) {
            Some(said) if !said.is_empty() => shown(said).to_string(),
            _ => status.to_string(),
        },
        Err(error) => error.to_string(),
    };
    Err(Trouble::new(format!(
        "module {module}: modprobe.d has an install command for it, and the node's modprobe did not do it: {why}"
    )))
}

/// Runs a command among the files of a mount namespace; what becomes of it, and the beginning of what it says of it.
fn run(mut command: Command, mounts: File, within: Duration) -> io::Result<(ExitStatus, String)> {
    // A group of its own, so that whatever it starts can be ended with it.
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    // Whoever changes its namespace keeps it: a thread that ends with the start. Its working folder and root go along.
    let started = thread::spawn(move || {
        unshare(CloneFlags::CLONE_FS)?;
        setns(mounts, CloneFlags::CLONE_NEWNS)?;
        command.spawn()
    });
    let mut child =
        started.join().unwrap_or_else(|_| Err(io::Error::other("the thread that was to start it is gone")))?;
    let stderr = child.stderr.take();
    let said = thread::spawn(move || {
        let mut said = Vec::new();
        let _ = stderr.map(|stderr| stderr.take(SAID).read_to_end(&mut said));
        String::from_utf8_lossy(&said).into_owned()
    });
    let status = wait(&mut child, within)?;
    Ok((status, said.join().unwrap_or_default()))
}

/// Waits for a command to end; one that does not is ended with all it has started.
fn wait(child: &mut Child, within: Duration) -> io::Result<ExitStatus> {
    let end = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= end {
            let group = i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)?;
            killpg(group, Signal::SIGKILL)?;
            child.wait()?;
            return Err(io::Error::other(format!("it did not end within {} s", within.as_secs())));
        }
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In our own mount namespace; as root, for whoever enters one needs to be.
    fn shell(script: &str, within: u64) -> io::Result<(ExitStatus, String)> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, File::open("/proc/self/ns/mnt").unwrap(), Duration::from_millis(within))
    }

    #[test]
    fn a_command_that_does_not_end_is_ended_with_all_it_started() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let (status, said) = shell("echo no such thing >&2; exit 3", 60_000).unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(3), "no such thing\n"));
        assert!(shell("true", 60_000).unwrap().0.success());
        let error = shell("sleep 600 & sleep 600", 1000).unwrap_err();
        assert_eq!(error.to_string(), "it did not end within 1 s");
    }
}
