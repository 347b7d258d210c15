//! virt-tailor fits a KubeVirt VM's libvirt domain to its hardware.
//!
//! The map of the house, in the direction of imports (a module imports only what stands above it):
//!
//! | module | what it is |
//! |---|---|
//! | [`base`] | words every part uses: PCI addresses, byte quantities, "did you mean" |
//! | [`xml`] | a lossless XML document: bytes → span tree → edits → bytes; knows nothing of libvirt |
//! | [`host`] | read-only facts about a machine, read from a sysfs tree under any root |
//! | [`config`] | what people write: DomainProfiles and annotations, merged and validated; an admin's NodeConfig |
//! | [`quirks`] | what is known about devices: a table of match, reason, source and edits |
//! | [`domain`] | the libvirt domain: one file per subject, the checks, and the mutation pipeline |
//! | [`import`] | what a node does at boot (MachineConfigs, modprobe.d, units, kernel arguments …) to our documents and a report |
//! | [`prep`] | changing a node for a VM and putting it back: steps, guards, journal, engine |
//! | [`kubelet`] | kubelet's protocols: the device plugin of a resource, its registration, and who holds which device |
//! | [`link`] | the stream between sidecar and agent, both ends |
//! | [`agent`] | who holds what on a node, and when it goes back: the one state that every entrance talks to |
//! | [`kubevirt`] | KubeVirt's own documents and protocols: the VMI, its lossy read-back, cloud-init, the hooks and who serves them |
//! | [`commands`] | one file per verb of the command line |
//!
//! Fitting a domain, in one breath:
//!
//! ```
//! use virt_tailor::config::{Profiles, Request as Asked, resolve};
//! use virt_tailor::domain::{Domain, LibvirtMode, Request, mutate};
//!
//! let asked = Asked { sets: vec!["features.hideKvm=on".to_owned()], ..Asked::default() };
//! let profile = resolve(&asked, &Profiles::built_in())?;
//! let domain = Domain::parse("<domain type='kvm'><name>vm</name></domain>")?;
//! let request = Request { profile: &profile, vm: None, host: None, libvirt: LibvirtMode::Auto, lock_confirmed: false };
//! let outcome = mutate(domain, &request)?;
//! assert_eq!(outcome.changes[0].what, "domain: add <features><kvm><hidden state=\"on\"/></kvm></features>");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `xml`, `config`, `quirks`, `domain` and `import` are pure: bytes and values in, bytes and values out.
//! tokio and tonic live in `kubevirt::serve`, `kubevirt::node`, `kubelet`, `link` and `commands`.

pub mod agent;
pub mod base;
pub mod cli;
pub mod commands;
pub mod config;
pub mod domain;
pub mod host;
pub mod import;
pub mod kubelet;
pub mod kubevirt;
pub mod link;
pub mod prep;
pub mod quirks;
pub mod xml;
