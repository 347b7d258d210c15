//! The sidecar as KubeVirt meets it: a real process, real sockets, KubeVirt's own contracts.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

#[path = "sidecar/answers.rs"]
mod answers;
#[path = "sidecar/authority.rs"]
mod authority;
#[path = "sidecar/cloud_init.rs"]
mod cloud_init;
#[path = "sidecar/end.rs"]
mod end;
#[path = "sidecar/errors.rs"]
mod errors;
#[path = "sidecar/flood.rs"]
mod flood;
#[path = "sidecar/logs.rs"]
mod logs;
#[path = "sidecar/place.rs"]
mod place;
#[path = "sidecar/plugin.rs"]
mod plugin;
#[path = "sidecar/raw.rs"]
mod raw;
#[path = "sidecar/rig.rs"]
mod rig;
#[path = "sidecar/shim.rs"]
mod shim;
#[path = "sidecar/unread.rs"]
mod unread;
