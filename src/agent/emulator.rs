//! Which QEMU is that of a VM.
//!
//! In a fresh pod libvirt first runs one for a moment, to ask what it can do: `-machine none,…`, and no name (libvirt:
//! src/qemu/qemu_process.c, qemuProcessQMPLaunch). That of a VM always has `-name guest=…` (src/qemu/qemu_command.c,
//! qemuBuildNameCommandLine).
//!
//! A process can rewrite its command line, so this must be nothing worth pretending. Who pretends to be a VM has his own pod refused, and is
//! raised to what his pod was granted: so it was when the name of his program was all that counted. Who pretends to be none, so that his pod
//! may ask once more, has no use of it after half a minute, for the time of his start is the kernel's. Before that a guest would have to
//! boot and to break out; and he would get what his pod could have had a moment earlier, never more than the admin allows. (Whoever can
//! become another program could always hide; libvirt's sandbox keeps QEMU from it: qemu.conf, `seccomp_sandbox`.)

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::host::Root;
use crate::prep::hand::ProcessId;

use super::Moment;

/// So much is read of a command line, in bytes. The name of a VM comes first in it (qemuBuildCommandLine).
const LONGEST: u64 = 64 << 10;
/// No QEMU that libvirt only asks what it can do runs so long: that takes a second or a few.
const PROBE: Duration = Duration::from_secs(30);
/// `/proc/<pid>/stat` counts in these (kernel: USER_HZ, 100 wherever there is KVM).
const TICK_IN_MS: u64 = 10;
/// To read a command line the kernel waits for the process's lock of its memory, and whoever hangs on a device may hold that for ever.
const READ_WITHIN: Duration = Duration::from_millis(500);
/// So many may hang so at once.
const MOST_HANGING: usize = 16;

/// Whether a QEMU is that of a VM. Of which it cannot be told is: then its pod is not prepared any more.
pub(super) fn is_vm(root: &Root, process: ProcessId) -> bool {
    let started = Moment(process.started.saturating_mul(TICK_IN_MS));
    if Moment::now(root).since(started) > PROBE {
        return true;
    }
    static HANGING: AtomicUsize = AtomicUsize::new(0);
    let path = root.path(format!("proc/{}/cmdline", process.pid));
    command_line(&path, &HANGING).is_none_or(|line| names_a_vm(&line))
}

/// The beginning of a command line, empty if there is none (any more); `None` if it does not come.
fn command_line(path: &Path, hanging: &'static AtomicUsize) -> Option<Vec<u8>> {
    if hanging.load(Ordering::Relaxed) >= MOST_HANGING {
        return None;
    }
    hanging.fetch_add(1, Ordering::Relaxed);
    let (tell, told) = channel();
    let path = path.to_owned();
    let read = move || {
        let mut line = Vec::new();
        let read = File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut line));
        hanging.fetch_sub(1, Ordering::Relaxed);
        // Nobody may wait any more.
        let _ = tell.send(read.map(|_| line).unwrap_or_default());
    };
    if thread::Builder::new().name("command line".to_owned()).spawn(read).is_err() {
        hanging.fetch_sub(1, Ordering::Relaxed);
        return None;
    }
    told.recv_timeout(READ_WITHIN).ok()
}

/// Whether this is how libvirt starts the QEMU of a VM. Arguments end with a null byte.
fn names_a_vm(line: &[u8]) -> bool {
    let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let has = |option: &[u8], fits: fn(&[u8]) -> bool| {
        arguments.windows(2).any(|pair| matches!(pair, [name, value] if *name == option && fits(value)))
    };
    let is_none = |value: &[u8]| value == b"none" || value.starts_with(b"none,");
    has(b"-name", |value| value.starts_with(b"guest=")) && !has(b"-machine", is_none)
}

/// As libvirt writes them.
#[cfg(test)]
pub(super) const VM: &str =
    "/usr/libexec/qemu-kvm\0-name\0guest=vms_a,debug-threads=on\0-S\0-machine\0pc-q35-rhel9.6.0,accel=kvm\0";
#[cfg(test)]
pub(super) const PROBE_OF_LIBVIRT: &str = "/usr/libexec/qemu-kvm\0-S\0-no-user-config\0-nodefaults\0-nographic\0-machine\0none,accel=kvm:tcg\0-qmp\0unix:/var/lib/libvirt/qemu/qmp-x/qmp.monitor,server=on,wait=off\0-pidfile\0/var/lib/libvirt/qemu/qmp-x/qmp.pid\0-daemonize\0";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::Tree;

    #[test]
    fn a_probe_for_half_a_minute() {
        let is = |line: &str, uptime: &str| {
            let tree = Tree::new().file("proc/42/cmdline", line).file("proc/uptime", uptime);
            is_vm(&tree.root(), ProcessId { pid: 42, started: 13 })
        };
        // It was started at 0.13 s.
        let (soon, late) = ("30.13 50.00\n", "30.14 50.00\n");
        assert!(is(VM, soon) && is(VM, late));
        let both = VM.replace("pc-q35-rhel9.6.0", "none");
        for other in [PROBE_OF_LIBVIRT, "", "qemu\0", "qemu\0-name\0", "qemu\0guest=a\0-name\0a\0", &both] {
            assert!(!is(other, soon), "{other:?}");
            assert!(is(other, late), "{other:?}: what goes on so long is no probe");
        }
        // Nobody reads for ever.
        let endless = format!("qemu\0{}-name\0guest=a\0", "-S\0".repeat(30_000));
        assert!(!is(&endless, soon));
        assert!(!is_vm(&Tree::new().root(), ProcessId { pid: 42, started: 13 }), "it has ended");
    }

    /// A FIFO, for it hangs as well.
    #[test]
    fn what_hangs_is_waited_for_by_few_and_not_for_long() {
        static HANGING: AtomicUsize = AtomicUsize::new(0);
        let folder = tempfile::tempdir().unwrap();
        let (fifo, file) = (folder.path().join("fifo"), folder.path().join("file"));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).unwrap();
        std::fs::write(&file, "x").unwrap();
        assert_eq!(command_line(&fifo, &HANGING), None);
        assert_eq!(command_line(&file, &HANGING), Some(b"x".to_vec()));
        HANGING.store(MOST_HANGING, Ordering::Relaxed);
        assert_eq!(command_line(&file, &HANGING), None);
        // Whoever hangs is let go.
        drop(std::fs::OpenOptions::new().write(true).open(&fifo).unwrap());
    }
}
