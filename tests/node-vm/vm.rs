//! A running machine: commands in it, its sysfs, its monitor, its console.
//!
//! ```ignore
//! let vm = Vm::builder()                               // 1 GiB, 2 CPUs, Intel's IOMMU on, busybox as PID 1
//!     .with(Device::igb("nic"))                        // behind a root port of its own
//!     .with(Device::nvme("disk", Disk::Empty(64)))
//!     .with(Device::root_port("card").no_acs())
//!     .with(Device::xhci("usb").function("card", 0))   // one slot, two functions, one group
//!     .with(Device::hda("sound").function("card", 1))
//!     .boot();
//! let nic = vm.bdf("nic");                             // "0000:01:00.0"
//! assert_eq!(vm.driver(&nic).as_deref(), Some("igb"));
//! vm.run("virt-tailor node inspect").ok();             // panics with everything if the exit code is not 0
//! let refused = vm.run("virt-tailor node apply …");    // .code, .stdout, .stderr
//! assert_eq!(vm.read(&format!("/sys/bus/pci/devices/{nic}/sriov_numvfs")).as_deref(), Some("0"));
//! let holder = vm.spawn("exec 3<>/dev/vfio/7; sleep 1000");  // runs on; .pid(), .finished(), .wait(seconds)
//! vm.qmp(&json!({ "execute": "device_del", "arguments": { "id": "nic" } })).unwrap();
//! ```
//!
//! The guest's root is the host's, read-only, with a tmpfs over it: every tool of the host is there, under the same paths,
//! and what is written is gone with the machine. `/vt` is a folder shared with the host ([`Vm::put`]).
//! Everything that does not come to its end in time stops QEMU and shows the console.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::{hold, virt_tailor};
use crate::kernel::{AGENT, BOOT, Kernel, busybox};
use crate::limits::{Permit, dies_with_us, spawn};
use crate::machine::{Files, Machine};
use crate::qmp::Qmp;

/// How long a command may take unless told.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a boot may take, the first one, the second, the third: 15 s on an idle machine, minutes on one that has six times as much to do
/// as it can. One in twenty hangs for ever where there is no KVM: a CPU of the guest misses the interrupt that wakes it.
const BOOT_PATIENCE: [Duration; 3] = [Duration::from_secs(150), Duration::from_secs(300), Duration::from_secs(400)];

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// As the shell says it: 128 + N after signal N.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// What it wrote to stdout, without the last line break; it must have ended with 0.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self.stdout.trim_end().to_owned()
    }
}

/// A running machine. Dropping it kills QEMU.
#[derive(Debug)]
pub(crate) struct Vm {
    qemu: Mutex<Child>,
    qmp: Mutex<Qmp>,
    port: Mutex<UnixStream>,
    ended: Arc<Ended>,
    next: AtomicU64,
    folder: TempDir,
    // Last: the next QEMU may start when this one has gone.
    _permit: Permit,
}

/// Which commands have come to their end.
#[derive(Debug, Default)]
struct Ended {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: bool,
    gone: bool,
    codes: HashMap<u64, i32>,
}

/// A command left running.
#[derive(Debug)]
pub(crate) struct Job<'vm> {
    vm: &'vm Vm,
    number: u64,
}

impl Vm {
    /// A machine to be: see [`Machine`] for its defaults, and [`Machine::boot`] to start it.
    pub(crate) fn builder() -> Machine {
        Machine::default()
    }

    /// Starts QEMU and waits for the agent: the machine, or what went wrong in the guest.
    fn start(machine: &Machine, patience: Duration) -> Result<Self, String> {
        let (binary, kernel) = (virt_tailor(), Kernel::unpacked());
        let initramfs = kernel.initramfs();
        let permit = Permit::wait();
        // A short path: a UNIX socket's name has 108 bytes.
        let folder = tempfile::Builder::new().prefix("vt-").tempdir().unwrap();
        let (host, share) = (folder.path().join("host"), folder.path().join("share"));
        fs::create_dir(&host).unwrap();
        fs::create_dir(&share).unwrap();
        fs::copy(busybox(), share.join("busybox")).unwrap();
        fs::copy(binary, share.join("virt-tailor")).unwrap();
        fs::copy(hold(), share.join("hold")).unwrap();
        fs::write(share.join("boot"), BOOT).unwrap();
        fs::write(share.join("agent"), AGENT).unwrap();
        fs::write(share.join("settings"), machine.settings(&kernel)).unwrap();

        let mut command = dies_with_us("qemu-system-x86_64");
        command.args(machine.arguments(&kernel, &Files { share: &share, host: &host, initramfs: &initramfs }));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(host.join("qemu.err")).unwrap());
        let mut qemu = spawn(command).expect("setpriv (util-linux)");
        let begin = Instant::now();
        let mut patiently = |what: &str| loop {
            if let Ok(stream) = UnixStream::connect(host.join(what)) {
                return stream;
            }
            if let Some(status) = qemu.try_wait().unwrap() {
                panic!("QEMU: {status}: {}", fs::read_to_string(host.join("qemu.err")).unwrap_or_default());
            }
            assert!(begin.elapsed() < PATIENCE, "QEMU does not answer at {what}");
            thread::sleep(Duration::from_millis(20));
        };
        let port = patiently("agent");
        let said = || fs::read_to_string(host.join("qemu.err")).unwrap_or_default();
        let qmp = Qmp::greet(patiently("qmp")).unwrap_or_else(|why| panic!("QEMU's monitor: {why}: {}", said()));

        let ended = Arc::new(Ended::default());
        let (reader, notes) = (port.try_clone().unwrap(), Arc::clone(&ended));
        thread::spawn(move || notes.follow(reader));
        let next = AtomicU64::new(0);
        let vm = Self { qemu: qemu.into(), qmp: qmp.into(), port: port.into(), ended, next, folder, _permit: permit };
        vm.wait_for("the boot", patience, |state| state.ready.then_some(()))?;
        Ok(vm)
    }

    /// Runs a shell script to its end.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Output {
        self.spawn(script).wait_within(PATIENCE)
    }

    /// The same, with a deadline of so many seconds.
    #[track_caller]
    pub(crate) fn run_within(&self, seconds: u64, script: &str) -> Output {
        self.spawn(script).wait(seconds)
    }

    /// Starts a shell script in a session of its own and leaves it running.
    pub(crate) fn spawn(&self, script: &str) -> Job<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.put(&format!("{number}.sh"), format!("echo $$ >/vt/{number}.pid\n{script}\n").as_bytes());
        let mut port = self.port.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(why) = writeln!(port, "{number}") {
            panic!("the guest's agent: {why}\n{}", self.console());
        }
        Job { vm: self, number }
    }

    /// Holds a function that is bound to a VFIO driver, through its group, until the job is killed (`kill -9 pid`).
    #[track_caller]
    pub(crate) fn hold(&self, bdf: &str) -> Job<'_> {
        let group = self.group(bdf).expect("an IOMMU group");
        let job = self.spawn(&format!("exec /vt/hold {group} {bdf}"));
        let begin = Instant::now();
        while job.so_far().stdout.is_empty() {
            if let Some(output) = job.finished() {
                panic!("cannot hold {bdf}: {}", output.stderr);
            }
            assert!(begin.elapsed() < PATIENCE, "no word from who holds {bdf}; the console:\n{}", self.console());
            thread::sleep(Duration::from_millis(20));
        }
        job
    }

    /// A file's text without the last line break; none if it cannot be read.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        let output = self.run(&format!("cat '{path}'"));
        (output.code == 0).then(|| output.stdout.trim_end().to_owned())
    }

    /// Names in a folder, sorted; none if there is no such folder.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        self.run(&format!("ls -A '{folder}'")).stdout.lines().map(str::to_owned).collect()
    }

    /// The last part of where a link leads.
    pub(crate) fn link(&self, path: &str) -> Option<String> {
        let output = self.run(&format!("readlink '{path}'"));
        (output.code == 0).then(|| output.stdout.trim_end().rsplit('/').next().unwrap_or_default().to_owned())
    }

    /// The driver that has a PCI function.
    pub(crate) fn driver(&self, bdf: &str) -> Option<String> {
        self.link(&format!("/sys/bus/pci/devices/{bdf}/driver"))
    }

    /// The IOMMU group of a PCI function.
    pub(crate) fn group(&self, bdf: &str) -> Option<String> {
        self.link(&format!("/sys/bus/pci/devices/{bdf}/iommu_group"))
    }

    /// Where the guest has a device, by the name that it was added with: "0000:01:00.0".
    #[track_caller]
    pub(crate) fn bdf(&self, name: &str) -> String {
        self.plugged(name).unwrap_or_else(|| panic!("no PCI device {name}"))
    }

    /// The same, or none if it has been unplugged.
    fn plugged(&self, name: &str) -> Option<String> {
        fn find(bus: &Value, name: &str) -> Option<String> {
            bus["devices"].as_array()?.iter().find_map(|device| {
                if device["qdev_id"] == name {
                    let (bus, slot) = (device["bus"].as_u64()?, device["slot"].as_u64()?);
                    return Some(format!("0000:{bus:02x}:{slot:02x}.{}", device["function"]));
                }
                find(&device["pci_bridge"], name)
            })
        }
        let buses = self.qmp(&json!({ "execute": "query-pci" })).expect("query-pci");
        buses.as_array()?.iter().find_map(|bus| find(bus, name))
    }

    /// One command of QEMU's monitor: what it returns, or its error.
    pub(crate) fn qmp(&self, command: &Value) -> Result<Value, Value> {
        let mut qmp = self.qmp.lock().unwrap_or_else(PoisonError::into_inner);
        qmp.call(command).unwrap_or_else(|why| panic!("QEMU's monitor: {why}\n{}", self.console()))
    }

    /// Asks the guest to give up a device, through ACPI as QEMU does unless told; see [`Self::unplugged`] for its end.
    pub(crate) fn unplug(&self, name: &str) {
        self.qmp(&json!({ "execute": "device_del", "arguments": { "id": name } })).expect("device_del");
    }

    /// Whether the guest lets go of the device within so many seconds, and QEMU takes it off its bus.
    pub(crate) fn unplugged(&self, name: &str, seconds: u64) -> bool {
        let begin = Instant::now();
        while self.plugged(name).is_some() {
            if begin.elapsed() > Duration::from_secs(seconds) {
                return false;
            }
            thread::sleep(Duration::from_millis(100));
        }
        true
    }

    /// Puts a file into `/vt`, for anybody to run.
    pub(crate) fn put(&self, name: &str, content: &[u8]) {
        fs::write(self.share().join(name), content).unwrap();
    }

    /// Where the host has what the guest has as `/vt`.
    pub(crate) fn share(&self) -> PathBuf {
        self.folder.path().join("share")
    }

    /// What the kernel and PID 1 have said so far on the serial line, and QEMU on stderr.
    pub(crate) fn console(&self) -> String {
        let host = self.folder.path().join("host");
        let text = |name| String::from_utf8_lossy(&fs::read(host.join(name)).unwrap_or_default()).into_owned();
        format!("{}{}", text("qemu.err"), text("console"))
    }

    /// Waits until the state has something, for a time; else says why not, with the console.
    fn wait_for<T>(&self, what: &str, patience: Duration, found: impl Fn(&State) -> Option<T>) -> Result<T, String> {
        let begin = Instant::now();
        let mut state = self.ended.lock();
        loop {
            if let Some(found) = found(&state) {
                return Ok(found);
            }
            let left = patience.saturating_sub(begin.elapsed());
            let why = if state.gone { "QEMU has ended before the end of" } else { "no end in time of" };
            if state.gone || left.is_zero() {
                drop(state);
                return Err(format!("{why} {what} ({patience:?}); the console:\n{}", self.console()));
            }
            state = self.ended.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Machine {
    /// Starts it and waits until commands can be run.
    ///
    /// A boot that fails is tried again, and said: it is QEMU's and a busy machine's, and no scenario is about it.
    #[track_caller]
    pub(crate) fn boot(&self) -> Vm {
        for patience in BOOT_PATIENCE {
            match Vm::start(self, patience) {
                Ok(vm) => return vm,
                Err(why) => eprintln!("node-vm: boots once more: {why}"),
            }
        }
        panic!("it does not boot, not within {BOOT_PATIENCE:?}");
    }
}

impl Job<'_> {
    /// The process that runs the script, which is also its session.
    #[track_caller]
    pub(crate) fn pid(&self) -> u32 {
        let file = self.vm.share().join(format!("{}.pid", self.number));
        let begin = Instant::now();
        loop {
            if let Some(pid) = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()) {
                return pid;
            }
            assert!(begin.elapsed() < PATIENCE, "no process; the console:\n{}", self.vm.console());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it left behind, if it has ended.
    pub(crate) fn finished(&self) -> Option<Output> {
        let code = self.vm.ended.lock().codes.get(&self.number).copied();
        code.map(|code| self.output(code))
    }

    /// What it has written so far, and -1.
    pub(crate) fn so_far(&self) -> Output {
        self.output(-1)
    }

    /// Waits for its end, for so many seconds.
    #[track_caller]
    pub(crate) fn wait(&self, seconds: u64) -> Output {
        self.wait_within(Duration::from_secs(seconds))
    }

    #[track_caller]
    fn wait_within(&self, patience: Duration) -> Output {
        let share = self.vm.share();
        let script = fs::read_to_string(share.join(format!("{}.sh", self.number))).unwrap_or_default();
        match self.vm.wait_for(&script, patience, |state| state.codes.get(&self.number).copied()) {
            Ok(code) => self.output(code),
            Err(why) => panic!("{why}"),
        }
    }

    fn output(&self, code: i32) -> Output {
        let share = self.vm.share();
        let text = |end: &str| {
            let bytes = fs::read(share.join(format!("{}.{end}", self.number))).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Output { code, stdout: text("out"), stderr: text("err") }
    }
}

impl Ended {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes down what the agent says until the port closes.
    fn follow(&self, port: UnixStream) {
        for line in BufReader::new(port).lines().map_while(Result::ok) {
            let mut state = self.lock();
            if line == "ready" {
                state.ready = true;
            } else if let Some((number, code)) = line.split_once(' ')
                && let (Ok(number), Ok(code)) = (number.parse(), code.parse())
            {
                state.codes.insert(number, code);
            }
            self.changed.notify_all();
        }
        self.lock().gone = true;
        self.changed.notify_all();
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let qemu = self.qemu.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Gone already is what is wanted.
        let _ = qemu.kill();
        let _ = qemu.wait();
    }
}
