//! The node engine on a real kernel: Debian's, under QEMU, with the devices that a scenario asks for.
//!
//! | module | what it is |
//! |---|---|
//! | [`vm`] | a running machine: commands in it, its sysfs, its monitor. Its text has an example |
//! | [`machine`] | what can be asked for: memory, NUMA, IOMMU, firmware, PID 1 |
//! | [`device`] | devices and where they are plugged in |
//! | [`kernel`], `guest/`, `fetch` | the kernel, how it gets to the host's root, the agent in the guest |
//! | [`binary`] | our static binary |
//! | [`limits`], [`qmp`] | two QEMUs at a time; QEMU's monitor |
//! | [`inspect`] | scenarios: what `node inspect` says of such machines |
//! | [`smoke`] | scenarios: the machine is what was asked for, and the kernel does by hand what we are to do |
//!
//! One `#[test]` is one boot (7 s on an idle machine), and runs everything that can share it.
//! All of them are `#[ignore]`d; `tests/run` fetches what they need and includes them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "all of this is test code; clippy.toml exempts only test functions themselves"
)]
// Scenarios come and go; what one of them alone needs stays.
#![allow(dead_code, reason = "a harness for scenarios to come")]

mod binary;
mod device;
mod inspect;
mod kernel;
mod limits;
mod machine;
mod modules;
mod qmp;
mod smoke;
mod systemd;
mod vm;
