//! Pods as the node itself shows them: control groups, processes, and the folder kubelet keeps their logs in.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use crate::host::CpuSet;
use crate::host::{Owner, Root, owner};
use crate::prep::PodPlace;
use crate::prep::hand::ProcessId;

use super::emulator::is_vm;
use super::tenancy::{PodName, PodUid};

/// Where control groups are.
const TOP: &str = "sys/fs/cgroup";
/// Pods lie three or four levels down, and one more where another service manager keeps kubelet.
const DEPTH: usize = 6;

/// The control groups of all pods, below `/sys/fs/cgroup`; `None` if there are none to be seen at all, which no node is without, or not all.
pub fn cgroups_of_pods(root: &Root) -> Option<BTreeMap<PodUid, Vec<String>>> {
    // With several hierarchies (cgroup v1) systemd's own has all of them.
    let top =
        [format!("{TOP}/systemd"), TOP.to_owned()].into_iter().find(|top| root.has(format!("{top}/cgroup.procs")))?;
    let mut found: BTreeMap<PodUid, Vec<String>> = BTreeMap::new();
    let mut open = vec![(top.clone(), 0)];
    while let Some((folder, depth)) = open.pop() {
        // A pod that is not seen would be taken for gone.
        for name in folders(&root.path(&folder))? {
            let path = format!("{folder}/{name}");
            let below = path.strip_prefix(TOP).unwrap_or(&path);
            match owner(&format!("0::{below}")) {
                Owner::Pod { uid, .. } => found.entry(uid).or_default().push(below.trim_start_matches('/').to_owned()),
                _ if depth < DEPTH => open.push((path, depth + 1)),
                _ => (),
            }
        }
    }
    Some(found)
}

/// The folders in a folder; what is gone has none. `None` if it cannot be read.
fn folders(path: &Path) -> Option<Vec<String>> {
    let gone = |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    let entries = match std::fs::read_dir(path) {
        Err(error) if gone(&error) => return Some(Vec::new()),
        entries => entries.ok()?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let is_folder = entry.and_then(|entry| Ok((entry.file_type()?.is_dir(), entry.file_name())));
        match is_folder {
            Ok((true, name)) => folders.extend(name.into_string().ok()),
            Ok((false, _)) => (),
            Err(error) if gone(&error) => (),
            Err(_) => return None,
        }
    }
    Some(folders)
}

/// The uids of pods by name, from the names of the folders of their logs: `namespace_name_uid` (kubelet: pkg/kubelet/kuberuntime,
/// BuildPodLogsDirectory). Root makes them; no pod can.
pub fn uids_of(root: &Root, names: &BTreeSet<PodName>) -> BTreeMap<PodName, BTreeSet<PodUid>> {
    let mut uids: BTreeMap<PodName, BTreeSet<PodUid>> = BTreeMap::new();
    if names.is_empty() {
        return uids;
    }
    for folder in root.names("var/log/pods").unwrap_or_default() {
        // Neither a namespace nor a name has an underscore.
        let mut parts = folder.splitn(3, '_');
        let (Some(namespace), Some(name), Some(uid)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let pod = PodName { namespace: namespace.to_owned(), name: name.to_owned() };
        if names.contains(&pod) {
            uids.entry(pod).or_default().insert(uid.to_owned());
        }
    }
    uids
}

/// The processes of a VM's pod that matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct VmProcesses {
    /// libvirt's daemon.
    pub(super) libvirt: Option<Found>,
    /// QEMU, of the VM: not one that libvirt only asks what it can do.
    pub(super) qemu: Option<Found>,
}

/// A process and the control group it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) process: ProcessId,
    /// Below `/sys/fs/cgroup`.
    pub(super) cgroup: String,
}

/// Looks for libvirt and QEMU among a pod's processes, by their programs. A pod may call anything so: it would be given what it has
/// asked for all the same.
pub(super) fn vm_processes(root: &Root, cgroups: &[String]) -> VmProcesses {
    let mut found = VmProcesses::default();
    let mut open: Vec<String> = cgroups.to_vec();
    while let Some(cgroup) = open.pop() {
        let folder = format!("{TOP}/{cgroup}");
        open.extend(
            folders(&root.path(&folder)).unwrap_or_default().into_iter().map(|name| format!("{cgroup}/{name}")),
        );
        let procs = root.text(format!("{folder}/cgroup.procs")).ok().flatten().unwrap_or_default();
        for pid in procs.lines().filter_map(|line| line.parse().ok()) {
            let Some(program) = program(root, pid) else { continue };
            let is_qemu = match program.as_str() {
                "virtqemud" | "libvirtd" => false,
                "qemu-kvm" => true,
                other if other.starts_with("qemu-system-") => true,
                _ => continue,
            };
            let Some(process) = ProcessId::of(root, pid) else { continue };
            let slot = match is_qemu {
                true if !is_vm(root, process) => continue,
                true => &mut found.qemu,
                false => &mut found.libvirt,
            };
            *slot = Some(Found { process, cgroup: cgroup.clone() });
        }
    }
    found
}

/// The name of a process's program.
pub(super) fn program(root: &Root, pid: u32) -> Option<String> {
    let name = root.link_name(format!("proc/{pid}/exe")).ok().flatten()?;
    Some(name.strip_suffix(" (deleted)").map_or(name.clone(), str::to_owned))
}

/// Where a VM's QEMU runs, or will: in the container of its libvirt.
pub(super) fn place(root: &Root, uid: &PodUid, pods: &BTreeMap<PodUid, Vec<String>>) -> PodPlace {
    let Some(own) = pods.get(uid) else { return PodPlace::default() };
    let found = vm_processes(root, own);
    let Some(cgroup) = found.qemu.or(found.libvirt).map(|found| found.cgroup) else { return PodPlace::default() };
    let cpus = cpus(root, &cgroup).filter(|cpus| !cpus.is_empty());
    // kubelet gives CPUs to one container alone or to all others together: what no other pod may run on is this one's own.
    let shared = |cpus: &CpuSet| {
        let others = pods.iter().filter(|(other, _)| *other != uid).flat_map(|(_, cgroups)| cgroups);
        let containers = others.flat_map(|cgroup| {
            let below = folders(&root.path(format!("{TOP}/{cgroup}"))).unwrap_or_default();
            below.into_iter().map(move |name| format!("{cgroup}/{name}"))
        });
        containers.filter_map(|other| self::cpus(root, &other)).any(|other| other.overlaps(cpus))
    };
    PodPlace { cgroup: Some(cgroup), cpus: cpus.filter(|cpus| !shared(cpus) && pods.len() > 1) }
}

/// What a control group was given in so many words; nothing if it has what is above it.
fn cpus(root: &Root, cgroup: &str) -> Option<CpuSet> {
    root.text(format!("{TOP}/{cgroup}/cpuset.cpus")).ok().flatten().filter(|text| !text.is_empty())?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::Tree;

    const UID: &str = "1f2e3d4c-0a1b-4c5d-8e9f-001122334455";
    const OTHER: &str = "2f2e3d4c-0a1b-4c5d-8e9f-001122334455";
    const C: &str = "cri-containerd-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope";

    fn slice(uid: &str) -> String {
        format!("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice", uid.replace('-', "_"))
    }

    fn tree() -> Tree {
        let at = |uid: &str, name: &str| format!("sys/fs/cgroup/{}/{C}/{name}", slice(uid));
        Tree::new()
            .file("sys/fs/cgroup/cgroup.procs", "1\n")
            .file(&at(UID, "cgroup.procs"), "40\n41\n42\n")
            .file(&at(UID, "cpuset.cpus"), "2-3\n")
            .file(&at(OTHER, "cpuset.cpus"), "0-1,4-7\n")
            .file("proc/40/stat", "40 (virt-launcher) S 1 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 11 1 2")
            .link("proc/40/exe", "/usr/bin/virt-launcher")
            .file("proc/41/stat", "41 (virtqemud) S 1 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 12 1 2")
            .link("proc/41/exe", "/usr/sbin/virtqemud")
            .file("proc/42/stat", "42 (qemu-kvm) S 1 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 13 1 2")
            .file("proc/42/cmdline", crate::agent::emulator::VM)
            .link("proc/42/exe", "/usr/libexec/qemu-kvm (deleted)")
            .folder("sys/fs/cgroup/system.slice/sshd.service")
    }

    #[test]
    fn pods_and_what_runs_in_them() {
        let (tree, uid) = (tree(), UID.to_owned());
        let pods = cgroups_of_pods(&tree.root()).unwrap();
        assert_eq!(pods[UID], [slice(UID)]);
        assert_eq!(pods.len(), 2);
        let found = vm_processes(&tree.root(), &pods[UID]);
        assert_eq!(found.libvirt.unwrap().process, ProcessId { pid: 41, started: 12 });
        assert_eq!(found.qemu.unwrap().process.pid, 42);
        let place = place(&tree.root(), &uid, &pods);
        assert_eq!(place.cgroup, Some(format!("{}/{C}", slice(UID))));
        assert_eq!(place.cpus.unwrap().to_string(), "2-3");
        assert_eq!(cgroups_of_pods(&Tree::new().root()), None);
    }

    /// libvirt is where it was, and so is the place of the VM.
    #[test]
    fn a_probe_is_not_the_vm() {
        let tree = tree().file("proc/42/cmdline", crate::agent::emulator::PROBE_OF_LIBVIRT);
        let pods = cgroups_of_pods(&tree.root()).unwrap();
        let found = vm_processes(&tree.root(), &pods[UID]);
        assert_eq!((found.libvirt.unwrap().process.pid, found.qemu), (41, None));
        assert_eq!(place(&tree.root(), &UID.to_owned(), &pods).cgroup, Some(format!("{}/{C}", slice(UID))));
    }

    #[test]
    fn cpus_that_another_pod_may_use_are_not_its_own() {
        let third = format!("sys/fs/cgroup/{}/{C}/cpuset.cpus", slice("3f2e3d4c-0a1b-4c5d-8e9f-001122334455"));
        let tree = tree().file(&third, "0-7\n");
        let pods = cgroups_of_pods(&tree.root()).unwrap();
        assert_eq!(place(&tree.root(), &UID.to_owned(), &pods).cpus, None);
    }

    #[test]
    fn uids_by_the_folders_of_logs() {
        let tree =
            Tree::new().folder(&format!("var/log/pods/vms_launcher-a_{UID}")).folder("var/log/pods/other_launcher-a_x");
        let pod = PodName { namespace: "vms".to_owned(), name: "launcher-a".to_owned() };
        let uids = uids_of(&tree.root(), &[pod.clone()].into());
        assert_eq!(uids[&pod], [UID.to_owned()].into());
    }
}
