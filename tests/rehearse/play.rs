//! Running a rehearsal.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

/// The samples.
pub(crate) const NAMES: [&str; 6] =
    ["dpdk-worker", "gpu-workstation", "ignition", "plain", "sfc-onload", "vgpu-desktop"];

/// A file of a sample.
pub(crate) fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/kubevirt").join(name)
}

/// How a rehearsal ended.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    /// Standard error without times.
    pub(crate) err: String,
    /// How long the sidecar was looked for.
    pub(crate) collecting: Duration,
}

/// Rehearses a sample's first pass.
pub(crate) fn play(name: &str, arguments: &[&str]) -> Played {
    play_domain(&format!("{name}.pass1.xml"), name, arguments)
}

/// Rehearses a domain of a sample.
pub(crate) fn play_domain(domain: &str, name: &str, arguments: &[&str]) -> Played {
    run(command(domain, name).args(arguments))
}

/// The program with a domain and the VMI of a sample.
pub(crate) fn command(domain: &str, name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_virt-tailor"));
    command.arg("rehearse").arg("--domain").arg(sample(domain));
    command.arg("--vmi").arg(sample(&format!("{name}.vmi.json")));
    command
}

pub(crate) fn run(command: &mut Command) -> Played {
    outcome(command.output().unwrap())
}

pub(crate) fn outcome(output: Output) -> Played {
    let Output { status, stdout, stderr } = output;
    let err = String::from_utf8(stderr).unwrap();
    let collecting =
        err.lines().find_map(|line| line.strip_prefix("time: collecting the sidecar: ")?.strip_suffix(" ms"));
    let collecting = collecting.map_or(0.0, |ms| ms.parse::<f64>().unwrap());
    Played {
        collecting: Duration::from_secs_f64(collecting / 1000.0),
        code: status.code(),
        out: String::from_utf8(stdout).unwrap(),
        err: err.lines().filter(|line| !line.starts_with("time: ")).map(|line| format!("{line}\n")).collect(),
    }
}
