//! Figures of the sidecar, measured on the real process over its real socket. By hand:
//!
//!     RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --target x86_64-unknown-linux-gnu
//!     cargo bench --bench sidecar -- target/x86_64-unknown-linux-gnu/release/virt-tailor
//!
//! On a machine with other things to do, time is the median of the quietest of several runs; `chrt -f 10` in front shows an undisturbed
//! start (and slower calls: each wakes another processor).
//!
//! The program is an argument because `cargo bench` builds it together with what only tests need, and because the one in an image is
//! static.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench may stop at the first surprise"
)]

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::Endpoint;
use virt_tailor::kubevirt::proto::info::{InfoParams, info_client::InfoClient};
use virt_tailor::kubevirt::proto::v1alpha3::{OnDefineDomainParams, callbacks_client::CallbacksClient};

const STARTS: usize = 200;
const CALLS: usize = 1000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let program = arguments
        .reduce(|_, last| last)
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_virt-tailor")), PathBuf::from);
    let folder = tempfile::tempdir().unwrap();

    let starts = (0..STARTS).map(|_| start(&program, folder.path()));
    let starts = starts.map(|(mut child, _, took)| {
        child.kill().unwrap();
        child.wait().unwrap();
        took
    });
    show("process start to socket ready", starts.collect());

    let (mut child, socket, _) = start(&program, folder.path());
    println!("resident before any call: {} KiB", resident(child.id()));
    let sample =
        |name: &str| std::fs::read(format!("{}/tests/data/kubevirt/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for name in ["dpdk-worker", "gpu-workstation"] {
        let (domain_xml, vmi) = (sample(&format!("{name}.pass2.xml")), sample(&format!("{name}.vmi.json")));
        let bytes = domain_xml.len();
        let mut calls = Vec::new();
        for _ in 0..CALLS / 2 {
            let params = OnDefineDomainParams { domain_xml: domain_xml.clone().into(), vmi: vmi.clone().into() };
            let begin = Instant::now();
            CallbacksClient::new(connect(&socket).await).on_define_domain(params).await.unwrap();
            calls.push(begin.elapsed());
        }
        show(&format!("OnDefineDomain, {name}, {bytes} bytes, fresh connection"), calls);
    }
    println!("resident after {CALLS} calls: {} KiB", resident(child.id()));
    let mut infos = Vec::new();
    for _ in 0..CALLS {
        let begin = Instant::now();
        InfoClient::new(connect(&socket).await).info(InfoParams {}).await.unwrap();
        infos.push(begin.elapsed());
    }
    show("Info, fresh connection", infos);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Starts a sidecar and waits for a socket that takes a connection.
fn start(program: &Path, folder: &Path) -> (Child, PathBuf, Duration) {
    // What the one before left is not there any more; looking for it is not what is measured.
    let folder = tempfile::tempdir_in(folder).unwrap().keep();
    let mut command = Command::new(program);
    command.arg("sidecar").arg("--socket-dir").arg(&folder).stderr(Stdio::null());
    let begin = Instant::now();
    let mut child = command.spawn().unwrap();
    loop {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        let found = std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path());
        if let Some(socket) = found.into_iter().find(|path| path.extension().is_some_and(|end| end == "sock")) {
            std::os::unix::net::UnixStream::connect(&socket).unwrap();
            return (child, socket, begin.elapsed());
        }
        std::thread::yield_now();
    }
}

async fn connect(socket: &Path) -> tonic::transport::Channel {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await.unwrap()
}

/// Resident memory in KiB, as the kernel counts it.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!("{what}: median {:.3} ms, 95 of 100 within {:.3} ms, of {}", at(50), at(95), times.len());
}
