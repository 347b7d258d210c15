//! The programs that a guest is given: virt-tailor as it runs on a node (a static binary, with the feature `fault-injection`), kubelet's
//! side of its protocols, and one that holds a device through VFIO as QEMU does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::kernel::cache;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The binary, built once a test program. Not the release profile: that takes minutes, and its size is no matter here.
pub(crate) fn virt_tailor() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let target = cache().join("cargo");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--bin", "virt-tailor", "--features", "fault-injection"])
            // Emulated, unoptimized code is what a scenario spends its time on; that of others is hardly run.
            .args(["--config", "profile.dev.package.virt-tailor.opt-level=1"])
            .args(["--target", TARGET, "--target-dir"])
            .arg(&target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            // As in images/build.
            .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
            .env_remove("RUSTFLAGS")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_PROFILE_DEV_STRIP", "symbols")
            .status()
            .expect("cargo");
        assert!(status.success(), "cargo build for the guest: {status}");
        target.join(TARGET).join("debug/virt-tailor")
    })
}

/// kubelet's side of its protocols. It need not be static, for the guest has the host's libraries: so it is built from what the tests are
/// built from, which `cargo test` of everything does anyway.
pub(crate) fn kubelet_double() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--example", "kubelet-double"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo");
        assert!(status.success(), "cargo build of kubelet-double: {status}");
        let tests = std::env::current_exe().expect("our own path");
        let program = tests.parent().and_then(Path::parent).expect("target/debug").join("examples/kubelet-double");
        // Without what is there for a debugger, which is most of it: a guest copies it into its memory.
        let (to, made) =
            (cache().join("kubelet-double"), cache().join(format!("kubelet-double.{}", std::process::id())));
        let status = Command::new("strip").arg("-o").args([&made, &program]).status().expect("strip (binutils)");
        assert!(status.success(), "strip {}: {status}", program.display());
        std::fs::rename(made, &to).unwrap();
        to
    })
}

/// The program that [`crate::vm::Vm::hold`] runs.
pub(crate) fn hold() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| compiled("hold"))
}

/// The program that leaves memory in pieces.
pub(crate) fn fragment() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| compiled("fragment"))
}

/// A program of `guest/`, static.
fn compiled(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/node-vm/guest/{name}.c"));
    // A name of its own until it is whole: other worktrees and test programs have the same idea.
    let (to, made) = (cache().join(name), cache().join(format!("{name}.{}", std::process::id())));
    let mut command = Command::new("cc");
    command.args(["-Wall", "-Wextra", "-Werror", "-O", "-static", "-o"]).args([&made, &source]);
    let status = command.status().expect("a C compiler (cc)");
    assert!(status.success(), "cc: {status}");
    std::fs::rename(made, &to).unwrap();
    to
}
