//! The node engine on a real kernel: Debian's, under QEMU, with the devices that a scenario asks for.
//!
//! | module | what it is |
//! |---|---|
//! | [`vm`] | a running machine: commands in it, its sysfs, its monitor. Its text has an example |
//! | [`machine`] | what can be asked for: memory, NUMA, IOMMU, firmware, PID 1 |
//! | [`device`] | devices and where they are plugged in |
//! | [`kernel`], `guest/`, `fetch` | the kernel, how it gets to the host's root, the agent in the guest |
//! | [`binary`] | our static binary, and a program that holds a device as QEMU does |
//! | [`modules`], `modules/` | drivers built against the kernel's headers: a toy in two versions, the kernel's mdev samples |
//! | [`hands`] | the engine here, its hand in the machine |
//! | [`services`], [`shares`], [`pages`] | scenarios: units of systemd; modules, CPUs, interrupts, limits; huge pages |
//! | [`limits`], [`qmp`] | two QEMUs at a time; QEMU's monitor |
//! | [`smoke`] | the machine is what was asked for, and the kernel does by hand what we are to do |
//! | [`iommu`], [`firmware`], [`hung`], [`systemd`] | what the kernel, the firmware and systemd show, which our code relies on |
//! | [`virtual_functions`], [`displays`], [`mediated`] | scenarios: kinds of step on a real kernel |
//! | [`scenarios`] | the published procedures, from `import` of the old files to a started VM and back |
//! | [`cluster`], [`launcher`] | a node of a cluster: agent, kubelet, pods; what virt-launcher is to it |
//! | [`agent`], [`reboot`], [`cycles`] | scenarios: whole lives with the agent; a write that hangs and another boot; many at once |
//! | [`guards`], [`hostile`] | scenarios: what is not taken from a node; pods that lead nowhere |
//! | [`inspect`] | scenarios: what `node inspect` says of such machines |
//!
//! One `#[test]` is one boot (7 s on an idle machine), and runs everything that can share it. The guest's clock is right, but
//! everything takes long on a busy machine: wait for what happens, never for a time.
//! All of them are `#[ignore]`d; `tests/run` fetches what they need and includes them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is test code; clippy.toml exempts only test functions themselves"
)]
// Scenarios come and go; what one of them alone needs stays.
#![allow(dead_code, reason = "a harness for scenarios to come")]

mod agent;
mod binary;
mod bind;
mod cluster;
mod crash;
mod cycles;
mod device;
mod displays;
mod firmware;
mod guards;
mod hands;
mod hostile;
mod hung;
mod inspect;
mod iommu;
mod kernel;
mod launcher;
mod life;
mod limits;
mod machine;
mod mediated;
mod modules;
mod pages;
mod qmp;
mod reboot;
mod scenarios;
mod services;
mod shares;
mod smoke;
mod stuck;
mod systemd;
mod virtual_functions;
mod vm;
