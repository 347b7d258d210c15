//! virt-tailor fits a KubeVirt VM's libvirt domain to its hardware.
//!
//! The map of the house, in the direction of imports (a module imports only what stands above it):
//!
//! | module | what it is |
//! |---|---|
//! | [`base`] | words every part uses: PCI addresses, byte quantities, "did you mean" |
//! | [`xml`] | a lossless XML document: bytes → span tree → edits → bytes; knows nothing of libvirt |
//! | [`host`] | read-only facts about a machine, read from a sysfs tree under any root |
//! | [`config`] | what people write: DomainProfiles and annotations, merged and validated |
//! | [`quirks`] | what is known about devices: a table of match, reason, source and edits |
//! | [`domain`] | the libvirt domain: one file per subject, the checks, and the mutation pipeline |
//! | [`kubevirt`] | KubeVirt's own documents and protocols: the VMI, its lossy read-back, cloud-init, the hooks and who serves them |
//! | [`commands`] | one file per verb of the command line |
//!
//! `xml`, `config`, `quirks` and `domain` are pure: bytes and values in, bytes and values out.
//! tokio and tonic live in `kubevirt::serve` alone.

pub mod base;
pub mod cli;
pub mod commands;
pub mod config;
pub mod domain;
pub mod host;
pub mod kubevirt;
pub mod quirks;
pub mod xml;
