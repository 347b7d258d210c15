//! KubeVirt's own documents and protocols.
//!
//! | module | what it is |
//! |---|---|
//! | `vmi` | the VMI as a hook receives it |
//! | [`reduce`] | what KubeVirt's structs make of a domain between its passes |
//! | [`cloudinit`] | the `guest` section merged into a guest's user data |
//! | [`hook`] | what a hook answers: documents in, documents or one line out; synchronous, no network |
//! | [`readback`] | what libvirt and KubeVirt make of the first answer |
//! | [`launcher`] | the other end: virt-launcher, played for rehearsals |
//! | [`node`] | the hooks around a VM on its node, over a unix socket |
//! | [`proto`] | KubeVirt's contracts |
//! | [`serve`] | the contracts of a sidecar over unix sockets; besides `node` the only part with tokio and tonic |

pub mod cloudinit;
pub mod hook;
pub mod launcher;
pub mod node;
pub mod proto;
pub mod readback;
pub mod reduce;
pub mod serve;
mod vmi;

pub use vmi::{RequestKind, RequestedDevice, VmView, VmiError};
