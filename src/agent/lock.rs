//! The memory lock of a VM, as a level.
//!
//! KubeVirt up to 1.9 sets it again on every sync (KubeVirt: pkg/hypervisor/kvm/runtime.go, AdjustResources), so setting it once is not
//! enough: it is asserted on the pod's libvirt until QEMU runs, for a child inherits it, and then on QEMU until it ends. libvirt is not let
//! go meanwhile: a QEMU that was seen may not be the VM's (see `pods`), and the VM's would then inherit too little. Never lowered.

use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, pidfd_open, prlimit};

use crate::config::Memlock;
use crate::host::{Owner, Root, owner};
use crate::prep::Step;
use crate::prep::StepState;
use crate::prep::hand::ProcessId;
use crate::prep::steps::{Limits, SetMemlock};

use super::pods::{Found, VmProcesses};

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// It is so already.
    As,
    /// It was raised.
    Raised,
    /// There is nobody to raise it for.
    Nobody,
}

impl Held {
    /// Of two processes together: one that is nobody says nothing.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Raised, _) | (_, Self::Raised) => Self::Raised,
            (Self::As, _) | (_, Self::As) => Self::As,
            (Self::Nobody, Self::Nobody) => Self::Nobody,
        }
    }
}

/// Holds the level of a pod: on libvirt and on QEMU, whichever there are.
///
/// # Errors
///
/// One line: the system refused, or a process is another one now. The other was raised all the same.
pub(super) fn hold(root: &Root, uid: &str, found: &VmProcesses, level: Memlock) -> Result<Held, String> {
    let all = [&found.libvirt, &found.qemu].into_iter().flatten();
    let held: Vec<_> = all.map(|found| raise(root, uid, found, level)).collect();
    held.into_iter().try_fold(Held::Nobody, |before, held| Ok(before.with(held?)))
}

fn raise(root: &Root, uid: &str, found: &Found, level: Memlock) -> Result<Held, String> {
    let process = found.process;
    let limit = match level {
        Memlock::Unlimited => None,
        Memlock::Size(bytes) => Some(bytes.as_bytes()),
    };
    let step = Step::SetMemlock(SetMemlock { process, limit });
    let said = |trouble: crate::prep::Trouble| trouble.message;
    let now = step.observe(root).map_err(said)?;
    let StepState::SetMemlock(wanted) = step.wanted(&now).map_err(said)? else { return Ok(Held::Nobody) };
    if StepState::SetMemlock(wanted.clone()) == now {
        return Ok(Held::As);
    }
    let Some(Limits { soft, hard }) = wanted.limits else { return Ok(Held::Nobody) };
    set(root, uid, process, soft, hard)?;
    Ok(Held::Raised)
}

/// Sets the limits of a process that is held on to: a number is given away again, a descriptor is not.
fn set(root: &Root, uid: &str, process: ProcessId, soft: Option<u64>, hard: Option<u64>) -> Result<(), String> {
    let other = || format!("process {process} has ended, or is another one now");
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).ok_or_else(other)?;
    let held = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| format!("process {process}: {error}"))?;
    // The descriptor is that of the process with this start time, if that one lives now.
    let cgroup = root.text(format!("proc/{}/cgroup", process.pid)).ok().flatten().unwrap_or_default();
    let ours = matches!(owner(&cgroup), Owner::Pod { uid: its, .. } if its == uid);
    if !process.is_alive(root) || !ours {
        return Err(other());
    }
    let set = |limit: Rlimit| {
        let said = |error| format!("the memory lock of process {process} cannot be set: {error}");
        prlimit(Some(pid), Resource::Memlock, limit).map_err(said)
    };
    let before = set(Rlimit { current: soft, maximum: hard })?;
    // Somebody may have raised it since it was read: it is never lowered.
    let higher = |one: Option<u64>, other: Option<u64>| one.zip(other).map(|(one, other)| one.max(other));
    let (current, maximum) = (higher(soft, before.current), higher(hard, before.maximum));
    if (current, maximum) != (soft, hard) {
        set(Rlimit { current, maximum })?;
    }
    // It lives still: so it was this one.
    let mut ended = [PollFd::new(held.as_fd(), PollFlags::POLLIN)];
    match poll(&mut ended, PollTimeout::ZERO) {
        Ok(0) => Ok(()),
        _ => Err(other()),
    }
}

/// The greater of two.
pub(super) fn greater(one: Option<Memlock>, other: Option<Memlock>) -> Option<Memlock> {
    match (one, other) {
        (Some(Memlock::Size(one)), Some(Memlock::Size(other))) => Some(Memlock::Size(one.max(other))),
        (Some(Memlock::Unlimited), _) | (_, Some(Memlock::Unlimited)) => Some(Memlock::Unlimited),
        (one, other) => one.or(other),
    }
}

/// What of a level the admin allows, and whether that is all of it.
pub(super) fn capped(level: Memlock, most: Memlock) -> (Memlock, bool) {
    match (level, most) {
        (level, Memlock::Unlimited) => (level, true),
        (Memlock::Size(level), Memlock::Size(most)) => (Memlock::Size(level.min(most)), level <= most),
        (Memlock::Unlimited, most) => (most, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ByteSize;

    #[test]
    fn what_is_allowed_and_whether_that_is_all() {
        let size = |bytes| Memlock::Size(ByteSize::bytes(bytes));
        assert_eq!(capped(size(8), Memlock::Unlimited), (size(8), true));
        assert_eq!(capped(size(8), size(4)), (size(4), false));
        assert_eq!(capped(Memlock::Unlimited, size(4)), (size(4), false));
        assert_eq!(greater(Some(size(3)), Some(size(4))), Some(size(4)));
        assert_eq!(greater(None, Some(size(4))), Some(size(4)));
        assert_eq!(greater(Some(size(4)), Some(Memlock::Unlimited)), Some(Memlock::Unlimited));
    }

    #[test]
    fn a_process_that_is_not_the_pods_is_left_alone() {
        let root = Root::new("/");
        let process = ProcessId::of(&root, std::process::id()).unwrap();
        let error = set(&root, "1f2e3d4c-0a1b-4c5d-8e9f-001122334455", process, Some(1), Some(1)).unwrap_err();
        assert!(error.ends_with("is another one now"), "{error}");
    }

    /// Whoever sets it again, it is raised again; what is more stays. And libvirt keeps it beside QEMU.
    #[test]
    fn a_level_is_held() {
        use std::os::unix::fs::symlink;
        const UID: &str = "1f2e3d4c-0a1b-4c5d-8e9f-001122334455";
        let tree = tempfile::tempdir().unwrap();
        let root = Root::new(tree.path());
        let folder = |pid: u32| tree.path().join(format!("proc/{pid}"));
        // Processes themselves, in a pod.
        let mut children = [(); 2].map(|()| std::process::Command::new("sleep").arg("60").spawn().unwrap());
        let [libvirt, qemu] = [0, 1].map(|number: usize| {
            let pid = children[number].id();
            std::fs::create_dir_all(folder(pid)).unwrap();
            for file in ["stat", "limits"] {
                symlink(format!("/proc/{pid}/{file}"), folder(pid).join(file)).unwrap();
            }
            std::fs::write(folder(pid).join("cgroup"), format!("0::/kubepods/pod{UID}/x\n")).unwrap();
            Found { process: ProcessId::of(&root, pid).unwrap(), cgroup: String::new() }
        });
        let own = rustix::process::getrlimit(Resource::Memlock);
        let low = || {
            for child in &children {
                let limit = Rlimit { current: Some(65_536), maximum: own.maximum };
                prlimit(Some(Pid::from_child(child)), Resource::Memlock, limit).unwrap();
            }
        };
        let may = |found: &Found| {
            let limits = std::fs::read_to_string(folder(found.process.pid).join("limits")).unwrap();
            let line = limits.lines().find(|line| line.starts_with("Max locked memory")).unwrap();
            line.split_whitespace().nth(3).unwrap().parse::<u64>().unwrap()
        };
        let alone = VmProcesses { libvirt: Some(libvirt.clone()), qemu: None };
        let both = VmProcesses { libvirt: Some(libvirt.clone()), qemu: Some(qemu.clone()) };
        let level = |found: &VmProcesses, bytes| hold(&root, UID, found, Memlock::Size(ByteSize::bytes(bytes)));
        for (found, raised) in [(&alone, [131_072, 65_536]), (&both, [131_072; 2]), (&both, [131_072; 2])] {
            low();
            assert_eq!(level(found, 131_072), Ok(Held::Raised));
            assert_eq!([&libvirt, &qemu].map(may), raised);
            assert_eq!(level(found, 131_072), Ok(Held::As));
        }
        assert_eq!(level(&both, 4096), Ok(Held::As), "never lowered");
        assert_eq!([&libvirt, &qemu].map(may), [131_072; 2]);
        assert_eq!(hold(&root, UID, &VmProcesses::default(), Memlock::Unlimited), Ok(Held::Nobody));
        // One that has ended is said to, and keeps nobody from the other.
        low();
        children[0].kill().unwrap();
        children[0].wait().unwrap();
        assert!(level(&both, 131_072).is_err());
        assert_eq!(may(&qemu), 131_072);
        children[1].kill().unwrap();
        children[1].wait().unwrap();
    }
}
