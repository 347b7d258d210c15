//! The guest section merged into cloud-init's user data: goldens, KubeVirt's documents, arbitrary input, the boot command run by a
//! shell in a folder that plays the guest, and the real cloud-init as a judge.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

#[path = "cloudinit/golden.rs"]
mod golden;
#[path = "cloudinit/hook.rs"]
mod hook;
#[path = "cloudinit/oracle.rs"]
mod oracle;
#[path = "cloudinit/properties.rs"]
mod properties;
#[path = "cloudinit/script.rs"]
mod script;
