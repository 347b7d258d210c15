//! KubeVirt's own documents: the VMI as a hook receives it, what its structs make of a domain, and the user data of cloud-init.

pub mod cloudinit;
pub mod reduce;
mod vmi;

pub use vmi::{RequestKind, RequestedDevice, VmView, VmiError};
