//! KubeVirt's own documents: the VMI as a hook receives it.

mod vmi;

pub use vmi::{RequestKind, RequestedDevice, VmView, VmiError};
