//! What only an unprivileged libvirt refuses: define succeeds, start fails (kubevirt#17857).

use super::super::pci::devices;
use super::Findings;

/// Tuning that needs cgroups: parent, children, libvirt's word for it.
const TUNING: [(&str, &[&str], &str); 3] = [
    ("memtune", &["hard_limit", "soft_limit", "swap_hard_limit"], "memory tuning"),
    (
        "cputune",
        &[
            "shares",
            "period",
            "quota",
            "global_period",
            "global_quota",
            "emulator_period",
            "emulator_quota",
            "iothread_period",
            "iothread_quota",
        ],
        "CPU tuning",
    ),
    ("blkiotune", &["weight", "device"], "block I/O tuning"),
];

pub(super) fn check(findings: &mut Findings<'_>) {
    let doc = findings.doc;
    for (parent, children, what) in TUNING {
        let Some(parent_element) = doc.child(doc.root(), parent) else { continue };
        for name in children.iter().filter(|name| doc.child(parent_element, name).is_some()) {
            findings.add("session-tuning", format!(
                "<{parent}><{name}> defines and then fails at start: {what} is not available in libvirt's session mode, which KubeVirt uses"
            ));
        }
    }
    for device in devices(doc).filter(|device| doc.is(*device, "", "interface")) {
        if doc.child(device, "bandwidth").is_some() {
            let place = findings.place(device);
            findings.add(
                "session-bandwidth",
                format!("{place}: <bandwidth> is not available in libvirt's session mode, which KubeVirt uses"),
            );
        }
    }
}
