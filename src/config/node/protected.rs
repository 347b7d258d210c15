//! Services with rules of their own.

use super::scalars::{UnitName, glob_matches};

/// Services that are never stopped, whatever a document says: without them the node leaves the cluster or loses its pods, nobody can
/// log in to repair it, its disks or network go away, or nobody is left to start the service again. Patterns of names without
/// `.service`, `.socket`, …
pub const NEVER_STOPPED: [(&str, &str); 36] = [
    ("kubelet", "the node leaves the cluster"),
    ("k3s", "it is the node's kubelet"),
    ("k3s-agent", "it is the node's kubelet"),
    ("rke2-*", "it is the node's kubelet"),
    ("k0s*", "it is the node's kubelet"),
    ("snap.microk8s.*", "it is the node's kubelet"),
    ("kube-*", "it is a part of Kubernetes"),
    ("etcd*", "the cluster may lose its state"),
    ("crio", "it runs the pods"),
    ("crio-*", "it runs the pods"),
    ("containerd*", "it runs the pods"),
    ("docker", "it may run the pods"),
    ("cri-docker*", "it runs the pods"),
    // Time is the exception: systemd-timesyncd is a time service as others are.
    ("systemd-*", "the system needs it"),
    ("init", "the system needs it"),
    ("dbus*", "systemd is spoken to through it"),
    ("polkit", "systemd is spoken to with its leave"),
    ("sshd*", "it is the way in when something goes wrong"),
    ("ssh", "it is the way in when something goes wrong"),
    ("ssh@*", "it is the way in when something goes wrong"),
    ("NetworkManager*", "the node may lose its network"),
    ("networking", "the node may lose its network"),
    ("network", "the node may lose its network"),
    ("wicked*", "the node may lose its network"),
    ("nmstate*", "the node may lose its network"),
    ("openvswitch*", "the node may lose its network"),
    ("ovs-*", "the node may lose its network"),
    ("ovsdb-server", "the node may lose its network"),
    ("iscsi*", "disks may be lost"),
    ("multipathd", "disks may be lost"),
    ("lvm2-*", "disks may be lost"),
    ("mdmonitor*", "disks may be lost"),
    ("zfs-*", "disks may be lost"),
    ("auditd", "it keeps the record of who did what"),
    ("emergency", "it is the last way in"),
    ("rescue", "it is the last way in"),
];

/// Services that keep the node's time: one of these is held only with a `maxHold`, for clocks drift and certificates are checked by
/// the clock. Patterns of names without `.service`, …
pub const TIME_SERVICES: [&str; 10] = [
    "chrony",
    "chronyd",
    "chrony-wait",
    "ntp",
    "ntpd",
    "ntpsec",
    "openntpd",
    "systemd-timesyncd",
    "ptp4l*",
    "phc2sys*",
];

/// The pattern that protects a unit.
pub(super) fn built_in(unit: &UnitName) -> Option<&'static str> {
    never(unit).map(|(pattern, _)| pattern)
}

/// The pattern that protects a unit, and why.
pub(super) fn never(unit: &UnitName) -> Option<(&'static str, &'static str)> {
    if keeps_time(unit) {
        return None;
    }
    NEVER_STOPPED.into_iter().find(|(pattern, _)| glob_matches(pattern, unit.stem()))
}

/// Whether a unit keeps the node's time.
pub fn keeps_time(unit: &UnitName) -> bool {
    TIME_SERVICES.into_iter().any(|pattern| glob_matches(pattern, unit.stem()))
}
