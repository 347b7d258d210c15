//! KubeVirt's own documents: the VMI as a hook receives it, and what its structs make of a domain.

pub mod reduce;
mod vmi;

pub use vmi::{RequestKind, RequestedDevice, VmView, VmiError};
