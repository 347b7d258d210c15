//! Modules that the node's administrator has loaded by a command (modprobe.d(5), `install`): by the node's own modprobe, in its mount
//! namespace. All others are loaded without it, for there is none in a container, nor on every node.

use std::fs::File;
use std::process::{Command, Output};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use crate::base::shown;
use crate::host::Root;
use crate::prep::trouble::Trouble;

/// Where an administrator's programs are.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin";

/// Has modprobe load a module with these parameters, beside those that the node has for it.
pub(super) fn modprobe(root: &Root, module: &str, parameters: &[String]) -> Result<(), Trouble> {
    let failed = |why: String| {
        Trouble::new(format!(
            "module {module}: modprobe.d has an install command for it, and the node's modprobe did not do it: {why}"
        ))
    };
    let output = in_namespace_of_first(root, module, parameters).map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default().trim();
    Err(failed(if said.is_empty() { output.status.to_string() } else { shown(said).to_string() }))
}

fn in_namespace_of_first(root: &Root, module: &str, parameters: &[String]) -> std::io::Result<Output> {
    let mounts = File::open(root.path("proc/1/ns/mnt"))?;
    let mut command = Command::new("modprobe");
    command.arg("--").arg(module).args(parameters).env_clear().env("PATH", PATH).current_dir("/");
    // Whoever changes its namespace keeps it: a thread that ends with the command. Its working folder and root go along.
    let thread = thread::spawn(move || {
        unshare(CloneFlags::CLONE_FS)?;
        setns(mounts, CloneFlags::CLONE_NEWNS)?;
        command.output()
    });
    thread.join().unwrap_or_else(|_| Err(std::io::Error::other("the thread that was to start it is gone")))
}
