//! The machine the tests run on. Loop devices and namespaces need root; where they are not to be had, the test says that it did not run.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use virt_tailor::host::block::{BlockKind, Blocks, Use, What};
use virt_tailor::host::nics::{Address, LinkKind, Nics, Source};
use virt_tailor::host::signature::signatures;
use virt_tailor::host::usb::Usb;
use virt_tailor::host::{Hold, Root, device_nodes, exclusive};

use crate::{address, sparse};

fn here() -> Root {
    Root::new("/")
}

#[test]
fn every_view_reads_this_machine() {
    let class = Path::new("/sys/class/block");
    let names =
        || std::fs::read_dir(class).into_iter().flatten().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    let (before, blocks, after) = (names(), Blocks::read(&here()).unwrap(), names());
    // Other tests make devices meanwhile.
    for name in before.iter().filter(|name| after.contains(name) && class.join(name).join("dev").exists()) {
        assert!(blocks.device(name.to_str().unwrap()).is_some(), "{name:?}");
    }
    // What `/` stands on is in use, and so is the function beneath, if there is one.
    let number = std::fs::metadata("/").unwrap().dev();
    let number = format!("{}:{}", nix::sys::stat::major(number), nix::sys::stat::minor(number));
    if let Some(disk) = blocks.devices.iter().find(|device| device.number.to_string() == number) {
        let is_root = |used: &Use| matches!(&used.what, What::Mounted { at, .. } if at == Path::new("/"));
        assert!(blocks.uses_of(&disk.name).iter().any(is_root), "{disk:?}");
        for function in &disk.functions {
            assert!(blocks.uses(*function).iter().any(is_root), "{function}");
        }
        eprintln!("/ stands on {} of {:?}", disk.name, disk.functions);
    } else {
        eprintln!("/ stands on no block device of its own");
    }
    Usb::read(&here()).unwrap();
    let nics = Nics::read(&here()).unwrap();
    for link in &nics.links {
        assert!(Path::new("/sys/class/net").join(&link.name).exists());
    }
    for entry in std::fs::read_dir("/sys/bus/pci/devices").into_iter().flatten() {
        let function = address(entry.unwrap().file_name().to_str().unwrap());
        let nodes = device_nodes(&here(), function).unwrap();
        // A disk's node is among those of its function.
        for disk in blocks.disks(function) {
            assert!(nodes.iter().any(|node| node.number == disk.number), "{disk:?} {nodes:?}");
        }
    }
}

#[test]
fn exclusive_is_for_block_devices() {
    for path in ["/dev/null", "/", "/nonexistent"] {
        assert!(exclusive(Path::new(path)).is_err(), "{path}");
    }
}

/// A loop device that is taken back with the value.
struct Loop(String);

impl Loop {
    fn new(file: &Path) -> Option<Self> {
        let output = Command::new("losetup").args(["--find", "--show"]).arg(file).output().ok()?;
        let device = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        output.status.success().then_some(Self(device))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

/// A child that waits for the end of its input, and is ended with the value.
struct Waiter(Child);

impl Waiter {
    /// Runs a script that says `ready` when it is, and waits until it does.
    fn new(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let _ = self.0.stdin.take();
        let _ = self.0.wait();
    }
}

#[test]
fn a_loop_device_from_free_to_mounted_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = sparse(folder.path(), "disk", 64 << 20);
    let Some(device) = Loop::new(&file) else {
        println!("did not run: no loop devices here");
        return;
    };
    let (path, name) = (Path::new(&device.0), device.0.strip_prefix("/dev/").unwrap());
    let found = || signatures(&mut File::open(path).unwrap(), 64 << 20).unwrap();
    assert_eq!(exclusive(path).unwrap(), Hold::Free);
    assert_eq!(found(), []);
    assert!(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(path).status().unwrap().success());
    assert_eq!(found().into_iter().map(|found| found.name).collect::<Vec<_>>(), ["ext"]);

    let idle = Blocks::read(&here()).unwrap();
    assert_eq!(idle.uses_of(name), []);
    let BlockKind::Loop { backing, on } = &idle.device(name).unwrap().kind else { panic!("{idle:?}") };
    assert_eq!(backing.as_deref(), file.to_str());
    // The file lies on whatever the temporary folder lies on; that device then bears the loop device.
    for disk in on {
        assert!(idle.stack(disk).contains(&name.to_owned()));
    }

    // Mounted where we do not see it.
    let script = format!("mount -t ext4 {} {} && echo ready && read end", device.0, folder.path().display());
    let elsewhere = Waiter::new(Command::new("unshare").args(["--mount", "sh", "-c", &script]));
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&device.0));
    let uses = Blocks::read(&here()).unwrap().uses_of(name);
    let [used] = uses.as_slice() else { panic!("{uses:?}") };
    let What::Mounted { at, fs, pid, namespace } = &used.what else { panic!("{used:?}") };
    assert_eq!((at.as_path(), fs.as_str(), *pid), (folder.path(), "ext4", elsewhere.0.id()));
    assert!(namespace.is_some());
    assert_eq!(exclusive(path).unwrap(), Hold::Busy);
    drop(elsewhere);
    assert_eq!(exclusive(path).unwrap(), Hold::Free);
    assert_eq!(Blocks::read(&here()).unwrap().uses_of(name), []);
}

/// Devices whose names and addresses no machine has: an address without a route to its network, a default route in a table of its own, a
/// bridge with a port, a macvlan.
const NETWORK: &str = "set -e; mount -t proc proc /proc; mount -t sysfs sysfs /sys
ip link add vt0 type veth peer name vt1; ip link add vtbr type bridge; ip link set vt1 master vtbr; ip link add link vt0 name vtmac type macvlan
ip address add 192.0.2.9/32 dev vt0; ip -6 address add 2001:db8::9/64 dev vt0 nodad
ip link set vt0 up; ip link set vt1 up; ip link set vtbr up; ip route add default dev vt0 table 77; ip -6 route add default dev vt0
";

/// Runs one of the tests below as, or beside, PID 1 of namespaces of their own.
fn inside(test: &str, with: &str) {
    let exe = std::env::current_exe().unwrap();
    let script = format!(
        "{NETWORK}status=0; {with} \"$0\" --exact live::{test} --ignored --nocapture || status=$?; exit $status"
    );
    let flags = ["--mount", "--pid", "--fork", "--net", "sh", "-c"];
    if !Command::new("unshare")
        .args(flags)
        .arg("mount -t proc proc /proc && ip link add vtbr type bridge")
        .status()
        .is_ok_and(|status| status.success())
    {
        println!("did not run: no namespaces, or no bridges, to be had here");
        return;
    }
    let output = Command::new("unshare")
        .args(flags)
        .arg(script)
        .arg(exe)
        .env("VIRT_TAILOR_TEST_INSIDE", "yes")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("runs inside") && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_network_of_pid_1_from_within() {
    inside("network_of_pid_1", "");
}

#[test]
fn the_network_of_pid_1_from_another_namespace() {
    inside("network_of_pid_1", "unshare --net");
}

#[test]
#[ignore = "run by the tests above, in namespaces of their own"]
fn network_of_pid_1() {
    if std::env::var_os("VIRT_TAILOR_TEST_INSIDE").is_none() {
        return; // Asked for by itself, as by --include-ignored: the tests above ask for it again, and see that it ran.
    }
    println!("runs inside");
    let nics = Nics::read(&here()).unwrap();
    assert_eq!((nics.visible, nics.source, nics.unplaced.len()), (true, Source::Netlink, 0));
    let link = |name: &str| nics.link(name).unwrap();
    let address = |text: &str, prefix| Address { address: text.parse().unwrap(), prefix };
    let vt0 = link("vt0");
    assert!(
        vt0.addresses.contains(&address("192.0.2.9", 32)) && vt0.addresses.contains(&address("2001:db8::9", 64)),
        "{vt0:?}"
    );
    let defaults = vt0.routes.iter().filter(|route| route.prefix == 0).count();
    assert_eq!((defaults, vt0.up, vt0.carrier), (2, true, Some(true)), "{vt0:?}");
    assert_eq!((vt0.upper.as_slice(), &vt0.master), (["vtmac".to_owned()].as_slice(), &None));
    assert_eq!(link("vt1").master.as_deref(), Some("vtbr"));
    assert_eq!(link("vtbr").lower, ["vt1"]);
    assert_eq!(link("vtbr").kind, LinkKind::Virtual("bridge".to_owned()));
    assert_eq!(link("vtmac").lower, ["vt0"]);
    assert_eq!(
        (link("vtmac").carrier, link("vt1").addresses.iter().filter(|address| address.address.is_ipv4()).count()),
        (None, 0)
    );
}
