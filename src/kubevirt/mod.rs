//! KubeVirt's own documents and protocols.
//!
//! | module | what it is |
//! |---|---|
//! | `vmi` | the VMI as a hook receives it |
//! | [`hook`] | what a hook answers: documents in, documents or one line out; synchronous, no network |
//! | [`proto`] | KubeVirt's contracts |
//! | [`serve`] | the contracts over unix sockets; the only part with tokio and tonic |

pub mod hook;
pub mod proto;
pub mod serve;
mod vmi;

pub use vmi::{RequestKind, RequestedDevice, VmView, VmiError};
