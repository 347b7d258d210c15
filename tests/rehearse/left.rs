//! What a rehearsal that is stopped leaves behind: nothing, whatever stops it and wherever it stands.

use std::fs;
use std::io::{Write as _, pipe};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::fake::foreign;
use crate::play::{Played, command, outcome, run, sample};

/// Longer than anything here may take, on a machine with other things to do.
const LONG: Duration = Duration::from_secs(30);

/// A rehearsal that stands still somewhere.
struct Held {
    /// Its temporary folder.
    temporary: TempDir,
    /// What holds it.
    hold: TempDir,
    child: Child,
    /// The other end of the pipe that it reads.
    profile: Option<fs::File>,
}

impl Held {
    /// The sidecar is there and has read half of its profiles: this one is a pipe.
    fn at_the_start() -> Self {
        let (temporary, hold) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let profile = hold.path().join("held.yaml");
        assert!(Command::new("mkfifo").arg(&profile).status().unwrap().success());
        let child = spawn(&temporary, command("plain.pass1.xml", "plain").arg("--profile").arg(&profile));
        let mut held = Self { temporary, hold, child, profile: None };
        // It can be opened for writing as soon as somebody reads.
        let nonblocking = OFlag::O_NONBLOCK.bits();
        let opened = held.wait_for(|| fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(&profile).ok());
        held.profile = Some(opened);
        held
    }

    /// The sidecar has answered the first call, and virsh is at work.
    fn at_virsh(rest: &str) -> Self {
        let (temporary, hold) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let virsh = hold.path().join("virsh");
        fs::write(&virsh, format!("#!/bin/sh\ncd '{}'\n: >here\n{rest}\n", hold.path().display())).unwrap();
        fs::set_permissions(&virsh, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", hold.path().display(), std::env::var("PATH").unwrap());
        let mut command = command("plain.pass1.xml", "plain");
        let child = spawn(&temporary, command.args(["--connect", "qemu:///session"]).env("PATH", path));
        let held = Self { temporary, hold, child, profile: None };
        held.wait_for(|| held.hold.path().join("here").exists().then_some(()));
        held
    }

    fn wait_for<T>(&self, ask: impl FnMut() -> Option<T>) -> T {
        within(ask).unwrap_or_else(|| panic!("it never came so far: {:?}", processes(self.temporary.path())))
    }

    fn send(&self, signal: Signal) {
        assert!(!processes(self.temporary.path()).is_empty(), "the sidecar should run");
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Its end.
    fn ended(self) -> (Played, TempDir, TempDir) {
        (outcome(self.child.wait_with_output().unwrap()), self.temporary, self.hold)
    }
}

fn spawn(temporary: &TempDir, command: &mut Command) -> Child {
    command.env("TMPDIR", temporary.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn within<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    while begin.elapsed() < LONG {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        sleep(Duration::from_millis(1));
    }
    None
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Processes that have a folder on their command line, except the rehearsal itself: it has it in its environment.
fn processes(folder: &Path) -> Vec<String> {
    let line =
        |entry: PathBuf| Some(String::from_utf8_lossy(&fs::read(entry.join("cmdline")).ok()?).replace('\0', " "));
    let all = entries(Path::new("/proc")).into_iter().filter_map(line);
    all.filter(|line| line.contains(folder.to_str().unwrap())).collect()
}

fn assert_nothing_left(temporary: &TempDir) {
    assert_eq!(processes(temporary.path()), [""; 0]);
    assert_eq!(entries(temporary.path()), Vec::<PathBuf>::new());
}

#[test]
fn signals_end_it_in_order() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130), (Signal::SIGHUP, 129)] {
        let held = Held::at_the_start();
        held.send(signal);
        let (played, temporary, _) = held.ended();
        let words = format!("virt-tailor: {signal} has stopped the rehearsal\n");
        assert_eq!((played.code, played.err), (Some(code), words));
        assert_nothing_left(&temporary);
    }
}

#[test]
fn a_signal_while_virsh_works_lets_it_undefine_its_domain() {
    let held = Held::at_virsh("while [ -e here ] && [ ! -e go ]; do sleep 0.01; done\n: >gone");
    held.send(Signal::SIGTERM);
    fs::write(held.hold.path().join("go"), "").unwrap();
    let (played, temporary, hold) = held.ended();
    assert_eq!(played.code, Some(143), "{played:?}");
    assert!(hold.path().join("gone").exists());
    assert_nothing_left(&temporary);
}

#[test]
fn a_virsh_that_hangs_is_not_waited_for_for_ever() {
    let held = Held::at_virsh("exec sleep 100");
    held.send(Signal::SIGINT);
    let (played, temporary, _) = held.ended();
    assert_eq!(played.code, Some(130), "{played:?}");
    assert_nothing_left(&temporary);
}

/// The profile that it waits for comes only after somebody has put files of his own beside its socket.
#[test]
fn stray_files_beside_our_own_sidecar_change_nothing() {
    let plain = run(&mut command("plain.pass1.xml", "plain"));
    let mut held = Held::at_the_start();
    let [folder] = <[PathBuf; 1]>::try_from(entries(held.temporary.path())).unwrap();
    let sockets = folder.join("s");
    fs::create_dir(sockets.join("empty")).unwrap();
    for stray in ["file", ".lock", "hook-sidecar-0/a.log", "hook-sidecar-0/a.sock", "hook-sidecar-0/.tmp"] {
        fs::write(sockets.join(stray), "x").unwrap();
    }
    let mut profile = held.profile.take().unwrap();
    let text = "{apiVersion: virt-tailor.io/v1alpha1, kind: DomainProfile, metadata: {name: held}, spec: {}}";
    profile.write_all(text.as_bytes()).unwrap();
    drop(profile);
    let (played, temporary, _) = held.ended();
    assert_eq!((played.code, played.err.as_str(), played.out), (Some(0), "", plain.out));
    // Three stand before our socket in a folder's order.
    assert!(played.collecting >= 3 * Duration::from_secs(2), "{:?}", played.collecting);
    assert_nothing_left(&temporary);
}

/// Nobody can tidy up after SIGKILL: the sidecar ends by itself, the folder stays.
#[test]
fn a_killed_rehearsal_takes_its_sidecar_with_it() {
    let virsh = "while [ -e here ] && [ ! -e go ]; do sleep 0.01; done";
    for held in [Held::at_the_start(), Held::at_virsh(virsh)] {
        held.send(Signal::SIGKILL);
        fs::write(held.hold.path().join("go"), "").unwrap();
        let (played, temporary, _hold) = held.ended();
        assert_eq!(played.code, None, "{played:?}");
        let gone = within(|| processes(temporary.path()).is_empty().then_some(()));
        assert!(gone.is_some(), "{:?}", processes(temporary.path()));
        assert_eq!(entries(temporary.path()).len(), 1);
    }
}

/// It may be killed before its sidecar can ask the kernel to be told.
#[test]
fn a_sidecar_whose_rehearsal_is_gone_does_not_serve() {
    let folder = tempfile::tempdir().unwrap();
    let mut sidecar = Command::new(env!("CARGO_BIN_EXE_virt-tailor"));
    sidecar.args(["sidecar", "--socket-dir"]).arg(folder.path()).env("VIRT_TAILOR_REHEARSED_BY", "1");
    let played = run(&mut sidecar);
    let words = "virt-tailor: the rehearsal that has started this sidecar is over\n";
    assert_eq!((played.code, played.err.as_str()), (Some(69), words));
}

#[test]
fn a_signal_while_a_foreign_sidecar_is_looked_for_ends_it_too() {
    let served = foreign();
    let temporary = tempfile::tempdir().unwrap();
    let mut command = command("plain.pass1.xml", "plain");
    let child = spawn(&temporary, command.arg("--socket").arg(served.folder()));
    // Its folder comes after its signals.
    within(|| (!entries(temporary.path()).is_empty()).then_some(())).unwrap();
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    let played = outcome(child.wait_with_output().unwrap());
    assert_eq!(played.code, Some(143), "{played:?}");
    assert_nothing_left(&temporary);
}

/// Runs a program whose standard error, and perhaps its output, nobody reads any more.
fn unheard(command: &mut Command, and_output: bool) -> Played {
    let closed = || {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        writer
    };
    command.stderr(closed()).stdout(Stdio::piped());
    if and_output {
        command.stdout(closed());
    }
    let played = outcome(command.spawn().unwrap().wait_with_output().unwrap());
    assert_eq!(played.err, "");
    played
}

#[test]
fn whoever_closes_standard_error_stops_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let rehearsal = |arguments: &[&str]| {
        let mut command = command("plain.pass1.xml", "plain");
        command.args(arguments).env("TMPDIR", temporary.path());
        command
    };
    let loud = run(&mut rehearsal(&["--profile", "vgpu-desktop"]));
    let played = unheard(&mut rehearsal(&["--profile", "vgpu-desktop"]), false);
    assert_eq!((played.code, played.out), (Some(0), loud.out));
    assert_eq!(unheard(&mut rehearsal(&["--profile", "vgpu-desktop"]), true).code, Some(0));
    // Where there is more to say: a refusal in the first call, a warning, a sidecar that does not run.
    assert_eq!(unheard(&mut rehearsal(&["--profile", "low-latency"]), false).code, Some(65));
    assert_eq!(unheard(&mut rehearsal(&["--profile", "low-latency", "--on-error", "keep"]), true).code, Some(0));
    assert_eq!(unheard(&mut rehearsal(&["--profile", "no-such-profile"]), false).code, Some(64));
    assert_nothing_left(&temporary);
}

#[test]
fn other_commands_do_not_need_standard_error_either() {
    let program = env!("CARGO_BIN_EXE_virt-tailor");
    let target = sample("plain.target.xml");
    let given = fs::read_to_string(&target).unwrap();
    let played = unheard(Command::new(program).args(["mutate", "--domain"]).arg(&target), false);
    assert_eq!((played.code, played.out.as_str()), (Some(0), given.as_str()));
    assert_eq!(unheard(Command::new(program).args(["check", "--domain"]).arg(&target), true).code, Some(0));
    assert_eq!(unheard(Command::new(program).args(["mutate", "--domain", "/nonexistent"]), false).code, Some(66));
    // The hook program of KubeVirt's shim, which says each change before it answers.
    let hook = |out_too| {
        let mut vmi: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(sample("plain.vmi.json")).unwrap()).unwrap();
        vmi["metadata"]["annotations"] = serde_json::json!({ "virt-tailor.io/profiles": "vgpu-desktop" });
        let mut command = Command::new(program);
        command.arg0("onDefineDomain").args(["--later", "--vmi", &vmi.to_string(), "--domain"]);
        unheard(command.arg(fs::read_to_string(sample("plain.pass1.xml")).unwrap()), out_too)
    };
    let played = hook(false);
    assert_eq!(played.code, Some(0));
    assert!(played.out.contains("<memballoon model=\"none\""), "{}", played.out);
    assert_eq!(hook(true).code, Some(0));
}
