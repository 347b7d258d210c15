//! The image as a node runs it: built, started with nothing but a folder for its socket, called as KubeVirt calls it, ended.
//!
//! `tests/image/run` knows buildah and podman; here are the calls.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stdout, reason = "shown when the test fails")]

#[path = "common/big_domain.rs"]
mod big_domain;
#[allow(dead_code, reason = "the sidecar's own tests need more of it")]
#[path = "sidecar/rig.rs"]
mod rig;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rig::{LONG, PROGRAM, connect, define, entries, info, outcome, vmi, within};
use tempfile::TempDir;

/// What a registry keeps and a node pulls: the archive, whose one layer is compressed (gzip). The target is 6 MB; today it is 5.3.
const MAX_PULLED: u64 = 6_000_000;

/// What a node keeps on its disk: the layer unpacked, which is the binary, and that is the agent, the import and the command line as much
/// as the sidecar (which has little of it resident: see images/ordered-cc). No single thing stands out. Beyond this one should know what it
/// grew by.
const MAX_UNPACKED: u64 = 12_500_000;

/// A container and all that belongs to it, gone when dropped.
struct Container {
    folder: TempDir,
}

impl Container {
    fn new() -> Self {
        let container = Self { folder: tempfile::tempdir().unwrap() };
        // The container's user goes through it to its sockets.
        let all: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(container.folder.path(), all).unwrap();
        container
    }

    /// Runs one step, and gives what it prints; what else it says is shown if the test fails.
    fn step(&self, verb: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/image/run");
        let output = Command::new(script).arg(verb).arg(self.folder.path()).output().unwrap();
        println!("{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "tests/image/run {verb} failed");
        String::from_utf8(output.stdout).unwrap()
    }

    fn hooks(&self) -> PathBuf {
        self.folder.path().join("hooks")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/image/run");
        let _ = Command::new(script).arg("remove").arg(self.folder.path()).status();
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// Single calls, one of them larger than any that a rehearsal makes.
async fn calls(socket: &Path) {
    let answer = info(connect(socket).await.unwrap()).await;
    assert_eq!(answer.versions, ["v1alpha3", "v1alpha2", "v1alpha1"]);

    // The largest that KubeVirt takes back, within the same 64 MB.
    let big = big_domain::big_domain(3 << 20);
    let asked = vmi("plain", &[("virt-tailor.io/profiles", "low-latency")]);
    let fitted = define(connect(socket).await.unwrap(), big.clone().into(), asked.into()).await.unwrap();
    assert!(fitted.len() >= big.len());
}

/// A whole start as KubeVirt's newest release makes it, and its end.
fn rehearse(socket: &Path) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kubevirt");
    let mut command = Command::new(PROGRAM);
    command.arg("rehearse").arg("--socket").arg(socket);
    command.arg("--vmi").arg(data.join("dpdk-worker.vmi.json"));
    command.arg("--domain").arg(data.join("dpdk-worker.pass1.xml"));
    let (code, out, err) = outcome(&mut command);
    println!("{out}{err}");
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("iommu"), "{out}");
}

#[tokio::test]
#[ignore = "needs buildah, podman and runc"]
async fn a_container_that_may_do_nothing_serves_and_ends() {
    let container = Container::new();
    let built = container.step("build");
    let (binary, id) = built.trim().split_once('\n').unwrap();
    let archive = container.folder.path().join("image.tar");
    println!("unpacked {} bytes, pulled {} bytes, {id}", size(Path::new(binary)), size(&archive));
    assert!(id.starts_with("sha256:"), "{id}");
    assert!(size(Path::new(binary)) <= MAX_UNPACKED);
    assert!(size(&archive) <= MAX_PULLED);
    // What is built once more is the same.
    let first = fs::read(&archive).unwrap();
    assert_eq!(container.step("build"), built);
    assert!(fs::read(&archive).unwrap() == first, "the archive is another one");

    container.step("start");
    let socket = within(LONG, || entries(&container.hooks()).into_iter().find(|name| name.ends_with(".sock")));
    let socket = container.hooks().join(socket.expect("no socket"));
    assert_eq!(entries(&container.hooks()).len(), 1);
    calls(&socket).await;
    println!("peak of memory: {} bytes", container.step("peak").trim());

    rehearse(&socket);
    assert_eq!(container.step("finish").trim(), "0");
    assert_eq!(entries(&container.hooks()), [""; 0]);
}

/// A program that stands in for a tool, for the script alone.
fn stand_in(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// The script picks a storage only for itself: whoever goes on by hand must hear of it.
#[test]
fn an_image_in_another_storage_is_said_to_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let binary = "x86_64-unknown-linux-gnu/release";
    stand_in(
        folder.path(),
        "cargo",
        &format!(
            "while [ \"$1\" != --target-dir ]; do shift; done; mkdir -p \"$2/{binary}\"\n\
             printf '#!/bin/sh\\n' >\"$2/{binary}/virt-tailor\"; chmod +x \"$2/{binary}/virt-tailor\""
        ),
    );
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let build = |works: &str, driver: Option<&str>| {
        // Prints the driver in place of the image's id.
        let buildah = format!("case $1 in info) {works} ;; images) echo \"driver $STORAGE_DRIVER\" ;; esac");
        stand_in(folder.path(), "buildah", &buildah);
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("images/build"));
        command.args(["--with", "buildah", "--tag", "registry.example/a:1"]).env("PATH", &path);
        command.env("BUILD_DIR", folder.path().join("build")).env_remove("STORAGE_DRIVER");
        command.envs(driver.map(|driver| ("STORAGE_DRIVER", driver)));
        let (code, out, err) = outcome(&mut command);
        assert_eq!(code, Some(0), "{err}");
        (out.lines().nth(1).unwrap().to_owned(), err)
    };
    let (driver, said) = build("exit 1", None);
    assert_eq!(driver, "driver vfs");
    for line in ["  export STORAGE_DRIVER=vfs\n", "  buildah push registry.example/a:1\n"] {
        assert!(said.contains(line), "{said}");
    }
    // Where the tool works, or somebody has chosen, there is nothing to say.
    assert_eq!(build("exit 0", None), ("driver ".to_owned(), String::new()));
    assert_eq!(build("exit 1", Some("overlay")), ("driver overlay".to_owned(), String::new()));
}
