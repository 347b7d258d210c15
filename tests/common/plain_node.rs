//! A node with nothing but PCI functions in groups of their own, as a tree of files, and the agent itself on it.

// Every program that has this uses part of it.
#![allow(dead_code)]

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use netlink_sys::protocols::NETLINK_KOBJECT_UEVENT;
use netlink_sys::{Socket, SocketAddr};

#[path = "agent_command.rs"]
mod agent_command;

use agent_command::agent_command;

/// The resource that they are of.
pub(crate) const RESOURCE: &str = "example.com/vf";
/// The agent's pod.
pub(crate) const OWN: (&str, &str) = ("virt-tailor", "virt-tailor-agent-x");

/// Who may speak as the kernel to whom listens in this network namespace.
pub(crate) fn kernel() -> Socket {
    Socket::new(NETLINK_KOBJECT_UEVENT).unwrap()
}

/// Says what the kernel says when a device goes or comes (lib/kobject_uevent.c): since 4.18 it passes this on in a network namespace to
/// whose administrator it is said.
pub(crate) fn announce(kernel: &Socket, index: u32, there: bool) {
    let action = if there { "add" } else { "remove" };
    let path = format!("/devices/pci0000:00/{}", address(index));
    let said = format!("{action}@{path}\0ACTION={action}\0DEVPATH={path}\0SUBSYSTEM=pci\0");
    kernel.send_to(said.as_bytes(), &SocketAddr::new(0, 1), 0).unwrap();
}

pub(crate) fn address(index: u32) -> String {
    format!("0000:{:02x}:{:02x}.{}", 0x40 + index / 256, index / 8 % 32, index % 8)
}

/// A node in a folder.
pub(crate) struct Node {
    folder: tempfile::TempDir,
}

impl Node {
    /// So many functions; `more` is what their resource says besides.
    pub(crate) fn new(functions: u32, more: &str) -> Self {
        let folder = tempfile::TempDir::new_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let node = Self { folder };
        node.write("proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
        node.write("proc/sys/kernel/osrelease", "6.12.0\n");
        node.write("proc/uptime", "100.00 100.00\n");
        node.write("proc/modules", "vfio_pci 1 0 - Live 0x0\n");
        node.write("sys/class/iommu/dmar0/x", "");
        node.write("sys/fs/cgroup/cgroup.procs", "");
        for module in ["vfio_pci", "vfio_iommu_type1", "vfio"] {
            node.write(&format!("sys/module/{module}/initstate"), "live\n");
        }
        fs::create_dir_all(node.path("host/sys/bus/pci/devices")).unwrap();
        for index in 0..functions {
            node.make(index);
            node.plug(index, true);
        }
        node.configure(&format!("  - {{name: {RESOURCE}, selector: {{vendor: \"8086\", device: \"154c\"}}{more}}}\n"));
        fs::DirBuilder::new().mode(0o700).create(node.path("state")).unwrap();
        fs::create_dir_all(node.path("kubelet/pods")).unwrap();
        node
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path("host").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A function in a group of its own.
    fn make(&self, index: u32) {
        let (address, group) = (address(index), 100 + index);
        let folder = format!("sys/devices/pci0000:00/{address}");
        for (file, text) in [
            ("vendor", "0x8086\n"),
            ("device", "0x154c\n"),
            ("class", "0x120000\n"),
            ("resource", &"0x0 0x0 0x0\n".repeat(13)),
            ("reset_method", "flr\n"),
            ("driver_override", "(null)\n"),
            ("numa_node", "0\n"),
            ("power/control", "auto\n"),
            ("d3cold_allowed", "1\n"),
        ] {
            self.write(&format!("{folder}/{file}"), text);
        }
        self.write(&format!("{folder}/config"), [0; 64]);
        let members = self.path("host/sys/kernel/iommu_groups").join(group.to_string()).join("devices");
        fs::create_dir_all(&members).unwrap();
        symlink(format!("../../../../devices/pci0000:00/{address}"), members.join(&address)).unwrap();
        let link = self.path("host").join(&folder).join("iommu_group");
        symlink(format!("../../../kernel/iommu_groups/{group}"), link).unwrap();
    }

    /// Has a function be one that makes mediated devices of type `type-1`, of which there is none left.
    pub(crate) fn exhaust(&self, index: u32) {
        let types = format!("sys/bus/pci/devices/{}/mdev_supported_types", address(index));
        self.write(&format!("{types}/type-1/available_instances"), "0\n");
        let bus = self.path("host/sys/class/mdev_bus");
        fs::create_dir_all(&bus).unwrap();
        symlink(format!("../../bus/pci/devices/{}", address(index)), bus.join(address(index))).unwrap();
    }

    /// What the agent has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Puts a function on the bus, or takes it away.
    pub(crate) fn plug(&self, index: u32, there: bool) {
        let address = address(index);
        let entry = self.path("host/sys/bus/pci/devices").join(&address);
        let member =
            self.path("host/sys/kernel/iommu_groups").join((100 + index).to_string()).join("devices").join(&address);
        if there {
            symlink(format!("../../../devices/pci0000:00/{address}"), entry).unwrap();
            let _ = symlink(format!("../../../../devices/pci0000:00/{address}"), member);
        } else {
            fs::remove_file(entry).unwrap();
            fs::remove_file(member).unwrap();
        }
    }

    /// An agent in the surroundings of its image.
    pub(crate) fn start(&self, program: &Path, arguments: &[&str]) -> Agent {
        let log = fs::File::create(self.path("log")).unwrap();
        let mut command = self.command(program);
        Agent(command.args(arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = agent_command(program, |name| self.path(name));
        command.args(["--plugin-socket", "off", "--own-pod", &format!("{}/{}", OWN.0, OWN.1)]);
        command.env("MALLOC_ARENA_MAX", "1");
        command
    }

    /// Writes the NodeConfig: the resources, a line each.
    pub(crate) fn configure(&self, resources: &str) {
        let head = "apiVersion: virt-tailor.io/v1alpha1\nkind: NodeConfig\nmetadata: {name: n1}\nspec:\n  resources:\n";
        // As a ConfigMap comes: at once, and as another file.
        fs::write(self.path("node.new"), format!("{head}{resources}")).unwrap();
        fs::rename(self.path("node.new"), self.path("node.yaml")).unwrap();
    }
}

/// A running agent; ended when dropped.
pub(crate) struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Agent {
    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.0.id().try_into().unwrap())
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap()
    }

    /// Of all its threads, those too that have ended; in hundredths of a second (proc_pid_stat(5): utime, stime).
    pub(crate) fn used(&self) -> Duration {
        let stat = self.read("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        Duration::from_millis((fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10)
    }
}
