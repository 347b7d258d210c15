//! The libvirt domain: what is changed in it, one file per subject, and the rules it must meet afterwards.
//!
//! Every subject is *complete and idempotent*: it finds the element and sets it, or creates it. KubeVirt calls a hook up to three
//! times per start and drops part of what it wrote in between (KubeVirt 1.9, pkg/virt-launcher/virtwrap/manager.go), so nothing is decided by "already there".

mod change;
mod check;
mod cpu;
mod devices;
mod editor;
mod features;
mod firmware;
mod fit;
mod hostdev;
mod iommu;
mod memory;
mod mutate;
mod pci;
mod qemu;
mod request;
mod units;

pub use change::{Change, Outcome, Refusal};
pub use check::{Finding, check};
pub use memory::{LockNeed, lock_need};
pub use mutate::{Domain, DomainError, mutate};
pub use request::{LibvirtMode, Request, RequestedDevice, VmFacts};

/// libvirt's namespace for raw QEMU arguments and overrides (libvirt docs/drvqemu.rst).
pub const QEMU_NAMESPACE: &str = "http://libvirt.org/schemas/domain/qemu/1.0";
