//! The agent itself, on a tree of files in place of a node.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use tonic::{Code, Status};

use crate::agent_command::agent_command;
use crate::rig::{Rig, UID, ours, vmi};

const CONFIG: &str = "apiVersion: virt-tailor.io/v1alpha1
kind: NodeConfig
metadata: {name: n1}
spec:
  resources:
  - {name: example.com/gpu, selector: {class: \"03\"}}
  profiles:
  - {name: quiet, namespaces: [others], steps: [{irqs: {away: 2-3}}]}
";

/// A running agent; ended when dropped.
struct Agent {
    /// Its socket, and the folder it is in.
    rig: Rig,
    child: Child,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Agent {
    async fn start() -> Self {
        let rig = Rig::in_folder("plugins/s.sock");
        let at = |name: &str| -> PathBuf { rig.folder.path().join(name) };
        fs::create_dir(at("plugins")).unwrap();
        fs::DirBuilder::new().mode(0o700).create(at("state")).unwrap();
        fs::create_dir_all(at("kubelet/device-plugins")).unwrap();
        fs::create_dir_all(at("host/sys/bus/pci/devices")).unwrap();
        fs::create_dir_all(at(&format!("host/sys/fs/cgroup/kubepods/pod{UID}"))).unwrap();
        fs::write(at("host/sys/fs/cgroup/cgroup.procs"), "").unwrap();
        fs::create_dir_all(at("host/proc/sys/kernel/random")).unwrap();
        fs::write(at("host/proc/sys/kernel/random/boot_id"), "11111111-2222-3333-4444-555555555555\n").unwrap();
        fs::write(at("host/proc/uptime"), "100.00 100.00\n").unwrap();
        fs::write(at("node.yaml"), CONFIG).unwrap();
        let mut command = agent_command(Path::new(env!("CARGO_BIN_EXE_virt-tailor")), at);
        command.arg("--plugin-socket").arg(at("plugins/s.sock"));
        command.stdout(Stdio::null()).stderr(fs::File::create(at("log")).unwrap());
        let mut agent = Self { rig, child: command.spawn().unwrap() };
        let until = Instant::now() + Duration::from_secs(60);
        while std::os::unix::net::UnixStream::connect(&agent.rig.socket).is_err() {
            let ended = agent.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "{ended:?} {}", agent.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        agent
    }

    fn log(&self) -> String {
        fs::read_to_string(self.rig.folder.path().join("log")).unwrap()
    }

    async fn start_vm(&self, profiles: &str) -> Result<(), (Code, String)> {
        let answer = self.rig.call("PreVMStart", vmi("example.com/gpu", profiles).to_string()).await;
        answer.map_err(|status: Status| (status.code(), status.message().to_owned()))
    }
}

#[tokio::test]
async fn a_vm_comes_and_goes() {
    if !geteuid().is_root() {
        // An agent is root.
        return;
    }
    let agent = Agent::start().await;
    assert_eq!(fs::metadata(&agent.rig.socket).unwrap().permissions().mode() & 0o7777, 0o600);
    // Nobody knows the pod: its devices were ready when its containers started, and its profiles wait.
    assert_eq!(agent.start_vm("").await, Ok(()), "{}", agent.log());
    let (code, line) = agent.start_vm("quiet").await.unwrap_err();
    assert_eq!(code, Code::Unavailable);
    assert!(line.starts_with(&format!("virt-tailor: pod {UID}: ")), "{line}");
    // Of another namespace than the VM's.
    let logs = agent.rig.folder.path().join("host/var/log/pods");
    let pod = |namespace: &str| logs.join(format!("{namespace}_virt-launcher-vm-abcde_{UID}"));
    fs::create_dir_all(pod("others")).unwrap();
    let (code, line) = agent.start_vm("quiet").await.unwrap_err();
    let expected = format!("virt-tailor: pod {UID} is one of namespace others, not of the VM's");
    assert_eq!((code, line), (Code::Unavailable, expected));
    // Known, and the admin has kept the profile for others.
    fs::rename(pod("others"), pod("vms")).unwrap();
    let (code, line) = agent.start_vm("quiet").await.unwrap_err();
    let expected = "virt-tailor: this node has no profile \"quiet\" for VMs of namespace vms".to_owned();
    assert_eq!((code, line), (Code::FailedPrecondition, expected));
    let (code, line) = agent.start_vm("../../etc").await.unwrap_err();
    assert_eq!(code, Code::FailedPrecondition);
    assert_eq!(line, "virt-tailor: \"../../etc\" is no name of a node profile");
    // Devices that kubelet says nothing of are no reason to keep a VM from starting.
    assert_eq!(agent.start_vm("").await, Ok(()));
    for stop in ["PreVMStop", "PostVMStop"] {
        agent.rig.call(stop, ours()).await.unwrap();
        agent.rig.call(stop, "garbage").await.unwrap();
    }
    assert!(agent.log().contains("a VM ends"), "{}", agent.log());
}
