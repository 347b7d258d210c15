//! Tests against a real libvirt and QEMU, without a daemon, host devices or KVM.
//!
//! | module | what it is |
//! |---|---|
//! | [`embed`] | `virsh -c qemu:///embed?root=…`: define, domxml-to-native, start, many documents a call |
//! | [`virsh`] | one such call: how it is run, how its output is told apart |
//! | [`normalise`] | what is taken out of a document before libvirt or its schema judges it |
//! | [`schema`] | libvirt's RELAX NG schema |
//! | [`accepts`] | "a real libvirt says yes", for documents that we changed |
//! | [`inputs`] | the same for `tests/data` as it is |
//! | [`outputs`] | everything virt-tailor makes of KubeVirt's domains, said yes to |
//! | [`goldens`] | every golden case, sample and adversarial document: what libvirt takes before, it takes after |
//! | [`cases`] | `tests/golden/check`, read |
//! | [`readback`] | what comes back to KubeVirt after the first define, with and without a libvirt |
//! | [`rehearse`] | `virt-tailor rehearse --connect` |
//! | [`refusals`] | what those say: what `check` refuses, libvirt or QEMU refuses or loses too |
//!
//! All tests that start a program are `#[ignore]`d; `tests/run` installs the programs and includes them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "all of this is test code; clippy.toml exempts only test functions themselves"
)]

mod accepts;
mod cases;
mod embed;
mod goldens;
mod inputs;
mod normalise;
mod outputs;
mod readback;
mod refusals;
mod rehearse;
mod schema;
mod virsh;

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, unused_imports, reason = "the tests in there are run by the program `domain`")]
#[path = "../domain/golden.rs"]
mod golden;
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../domain/support.rs"]
mod support;
