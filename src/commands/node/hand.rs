//! `virt-tailor node hand`: the expendable process.

use std::io;
use std::path::{Path, PathBuf};

use crate::commands::Failure;
use crate::host::{Owner, Root, owner};
use crate::prep::LiveEffects;
use crate::prep::hand::serve;

/// Where those go who would else keep a pod from ending.
const APART: &str = "sys/fs/cgroup/virt-tailor-hands";

/// Carries out orders from standard input until there are no more.
pub(super) fn run(host_root: &Path) -> Result<(), Failure> {
    step_aside(&Root::new("/"));
    let served = serve(&Root::new(host_root), &mut LiveEffects, io::stdin().lock(), io::stdout().lock());
    served.map_err(|error| Failure::Read { path: PathBuf::from("standard input"), error })
}

/// Leaves the control group of a pod. Who hangs in the kernel cannot be killed, and kubelet waits for a pod's control group to be empty
/// before it lets the pod go; the journal knows who it is, wherever it is. Where this is not possible (cgroup v1, no rights) it stays.
fn step_aside(root: &Root) {
    let own = root.text("proc/self/cgroup").ok().flatten().unwrap_or_default();
    if !matches!(owner(&own), Owner::Pod { .. }) || !root.has("sys/fs/cgroup/cgroup.procs") {
        return;
    }
    let made = std::fs::create_dir(root.path(APART));
    if made.is_ok() || root.has(APART) {
        // 0 is whoever writes it (kernel: Documentation/admin-guide/cgroup-v2.rst).
        let _ = std::fs::write(root.path(APART).join("cgroup.procs"), "0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::Tree;

    #[test]
    fn only_who_is_in_a_pod_steps_aside() {
        let pod = "0::/kubepods/pod1f2e3d4c-0a1b-4c5d-8e9f-001122334455/x\n";
        for (cgroup, moves) in [(pod, true), ("0::/system.slice/sshd.service\n", false)] {
            let tree = Tree::new().file("proc/self/cgroup", cgroup).file("sys/fs/cgroup/cgroup.procs", "");
            step_aside(&tree.root());
            let moved = tree.root().text(format!("{APART}/cgroup.procs")).unwrap();
            assert_eq!(moved.as_deref(), moves.then_some("0"));
        }
    }
}
