//! The other end of the hooks: what KubeVirt's virt-launcher does with a sidecar, with its own limits and its own losses.
//!
//! | module | what it is |
//! |---|---|
//! | `dial` | one connection, as KubeVirt opens one for each call |
//! | `collect` | finding sockets, and asking each what it offers |
//! | `call` | the calls, in the version that was agreed on |
//! | `release` | what differs between KubeVirt's releases |
//! | `vmi` | the VMI as KubeVirt sends it, from what a person wrote |
//!
//! It is for rehearsals and tests; the sidecar itself needs none of it.

mod call;
mod collect;
mod dial;
mod release;
mod vmi;

use tonic::{Code, Status};

pub use call::CloudInit;
pub use collect::{Client, Collect, CollectError};
pub use dial::{Connection, DialError, dial};
pub use release::{Release, UnknownRelease};
pub use vmi::{CloudInitSource, Vmi};

/// A gRPC error as KubeVirt's Go library writes it.
pub fn grpc_error(status: &Status) -> String {
    let code = match status.code() {
        Code::Cancelled => "Canceled".to_owned(),
        Code::Ok => "OK".to_owned(),
        code => format!("{code:?}"),
    };
    format!("rpc error: code = {code} desc = {}", status.message())
}
