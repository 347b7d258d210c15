//! What virt-launcher is to a node: a libvirt of its own in a pod's cgroup, and the QEMU that it starts.
//!
//! The daemon is Debian's `libvirtd` under the name that KubeVirt runs, `virtqemud`; the QEMU is the host's, without KVM.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::kernel::cache;
use crate::vm::{Job, Output, Vm};

/// Whom the daemon runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// root: libvirt in system mode.
    System,
    /// Session mode, as in KubeVirt: this user, who may lock so many bytes.
    Session {
        /// The user and the group; KubeVirt's is 107.
        uid: u32,
        /// RLIMIT_MEMLOCK, soft and hard.
        memlock: u64,
    },
}

/// A pod's cgroup, as containerd names it below kubelet's for pods without reserved CPUs.
pub(crate) fn pod_cgroup(uid: &str) -> String {
    format!("/sys/fs/cgroup/kubepods/besteffort/pod{uid}/launcher")
}

/// The daemon of one pod.
#[derive(Debug)]
pub(crate) struct Launcher<'vm> {
    vm: &'vm Vm,
    daemon: Job<'vm>,
    folder: String,
    mode: Mode,
}

/// The daemon that `fetch` has unpacked.
fn daemon() -> PathBuf {
    let path = cache().join("libvirt/usr/sbin/libvirtd");
    assert!(path.exists(), "{}: run tests/node-vm/fetch (tests/run does)", path.display());
    path
}

impl<'vm> Launcher<'vm> {
    /// Starts it in the cgroup of a pod, and waits until it answers.
    #[track_caller]
    pub(crate) fn start(vm: &'vm Vm, pod: &str, mode: Mode) -> Self {
        let folder = format!("/run/launcher/{pod}");
        let (run, sockets, config) = match mode {
            Mode::System => (String::new(), format!("unix_sock_dir = \"{folder}\""), "/etc/libvirt".to_owned()),
            Mode::Session { uid, memlock } => (
                format!("prlimit --memlock={memlock}:{memlock} setpriv --reuid {uid} --regid {uid} --clear-groups"),
                String::new(),
                format!("{folder}/.config/libvirt"),
            ),
        };
        let user = if mode == Mode::System { r#"'user = "root"' 'group = "root"'"# } else { "" };
        let owner = if let Mode::Session { uid, .. } = mode { uid } else { 0 };
        let script = format!(
            r#"set -e
            getent passwd {owner} >/dev/null || echo 'launcher:x:{owner}:{owner}::{folder}:/bin/sh' >>/etc/passwd
            getent group {owner} >/dev/null || echo 'launcher:x:{owner}:' >>/etc/group
            mkdir -p {folder} {config} {cgroup}
            cp {daemon} {folder}/virtqemud
            printf '%s\n' 'security_driver = "none"' 'cgroup_controllers = []' 'namespaces = []' 'seccomp_sandbox = 0' \
              'stdio_handler = "file"' 'remember_owner = 0' {user} >{config}/qemu.conf
            printf '%s\n' 'auth_unix_rw = "none"' '{sockets}' >{folder}/daemon.conf
            chown -R {owner}:{owner} {folder}
            echo $$ >{cgroup}/cgroup.procs
            export HOME={folder} XDG_RUNTIME_DIR={folder} XDG_CONFIG_HOME={folder}/.config XDG_CACHE_HOME={folder}/.cache
            exec {run} {folder}/virtqemud --config {folder}/daemon.conf --pid-file {folder}/virtqemud.pid"#,
            cgroup = pod_cgroup(pod),
            daemon = daemon().display(),
        );
        let daemon = vm.spawn(&script);
        let launcher = Self { vm, daemon, folder, mode };
        let begin = Instant::now();
        while launcher.virsh("version").code != 0 {
            let said = launcher.daemon.so_far().stderr;
            assert!(launcher.daemon.finished().is_none(), "the libvirt of {pod} has ended: {said}");
            assert!(begin.elapsed() < Duration::from_secs(120), "the libvirt of {pod} does not answer: {said}");
            thread::sleep(Duration::from_millis(200));
        }
        launcher
    }

    /// The daemon's process.
    #[track_caller]
    pub(crate) fn daemon_pid(&self) -> u32 {
        self.vm.read(&format!("{}/virtqemud.pid", self.folder)).expect("its pid file").parse().expect("a pid")
    }

    /// Commands of virsh, one call.
    #[track_caller]
    pub(crate) fn virsh(&self, commands: &str) -> Output {
        self.call(&format!("'{commands}'"))
    }

    /// One call of virsh, its arguments quoted for the shell.
    #[track_caller]
    fn call(&self, arguments: &str) -> Output {
        let folder = &self.folder;
        let uri = match self.mode {
            Mode::System => format!("qemu+unix:///system?socket={folder}/libvirt-sock"),
            Mode::Session { .. } => format!("qemu+unix:///session?socket={folder}/libvirt/libvirt-sock"),
        };
        self.vm.run_within(180, &format!("virsh -q -c '{uri}' {arguments}"))
    }

    /// Defines a domain and starts it: what libvirt says if it does not.
    pub(crate) fn boot(&self, xml: &str) -> Result<(), String> {
        self.vm.put("domain.xml", xml.as_bytes());
        let name = name_of(xml);
        let output = self.virsh(&format!("define /vt/domain.xml; start {name}"));
        if output.code == 0 {
            return Ok(());
        }
        self.virsh(&format!("undefine {name}"));
        Err(output.stderr)
    }

    /// Where a device of a running domain is in the guest, by the name QEMU knows it by ("hostdev0"): "0000:05:00.0", once the firmware has
    /// numbered the buses.
    #[track_caller]
    pub(crate) fn in_the_guest(&self, domain: &str, device: &str) -> String {
        let begin = Instant::now();
        loop {
            let said = self.call(&format!("qemu-monitor-command {domain} '{{\"execute\":\"query-pci\"}}'"));
            let answer: serde_json::Value = serde_json::from_str(&said.clone().ok()).unwrap();
            // Behind a port: before the firmware has numbered the buses it is on 00, and while it does so on ff.
            if let Some(found) = find(&answer["return"][0], device)
                && !["0000:00:00.", "0000:ff:"].iter().any(|early| found.starts_with(early))
            {
                return found;
            }
            assert!(begin.elapsed() < Duration::from_secs(120), "no {device} in {domain}: {said:?}");
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// The process of a running domain.
    #[track_caller]
    pub(crate) fn qemu(&self, domain: &str) -> u32 {
        let found = self.vm.run(&format!("pgrep -f -- '-name guest={domain},'")).ok();
        found.lines().next().and_then(|pid| pid.parse().ok()).unwrap_or_else(|| panic!("no QEMU of {domain}: {found}"))
    }

    /// Ends a domain at once and forgets it.
    #[track_caller]
    pub(crate) fn destroy(&self, domain: &str) {
        self.virsh(&format!("destroy {domain}; undefine {domain}")).ok();
    }
}

/// Depth first, as the bus numbers go.
fn find(bus: &serde_json::Value, device: &str) -> Option<String> {
    bus["devices"].as_array()?.iter().find_map(|one| {
        if one["qdev_id"] == device {
            let (number, slot) = (one["bus"].as_u64()?, one["slot"].as_u64()?);
            return Some(format!("0000:{number:02x}:{slot:02x}.{}", one["function"]));
        }
        find(&one["pci_bridge"], device)
    })
}

fn name_of(xml: &str) -> &str {
    let rest = xml.split_once("<name>").expect("a name").1;
    rest.split_once('<').expect("its end").0
}

/// A small domain as KubeVirt writes it before anybody fits it: tabs, whole closing tags, no `mode`, no addresses.
pub(crate) fn kubevirt_domain(name: &str, mib: u32, host_devices: &[(&str, &str)]) -> String {
    let mut devices = String::new();
    for (alias, bdf) in host_devices {
        let (bus, slot, function) = (&bdf[5..7], &bdf[8..10], &bdf[11..]);
        devices.push_str(&format!(
            "\t\t<hostdev type=\"pci\" managed=\"no\">\n\t\t\t<source>\n\t\t\t\t<address type=\"pci\" domain=\"0x0000\" bus=\"0x{bus}\" \
             slot=\"0x{slot}\" function=\"0x{function}\"></address>\n\t\t\t</source>\n\t\t\t<alias name=\"ua-{alias}\"></alias>\n\t\t</hostdev>\n"
        ));
    }
    format!(
        "<domain type=\"qemu\" xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\">\n\t<name>{name}</name>\n\t<memory unit=\"b\">{bytes}</memory>\n\
         \t<os>\n\t\t<type arch=\"x86_64\" machine=\"q35\">hvm</type>\n\t</os>\n\t<devices>\n{devices}\t\t<controller type=\"usb\" index=\"0\" model=\"none\"></controller>\n\
         \t\t<memballoon model=\"none\"></memballoon>\n\t</devices>\n\t<features>\n\t\t<acpi></acpi>\n\t\t<apic></apic>\n\t</features>\n\
         \t<vcpu placement=\"static\">1</vcpu>\n</domain>",
        bytes = u64::from(mib) << 20
    )
}
