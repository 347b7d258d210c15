//! A sidecar process in a folder of its own, and a client for it.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use virt_tailor::kubevirt::proto::info::{InfoParams, InfoResult, info_client::InfoClient};
use virt_tailor::kubevirt::proto::v1alpha3;

/// Longer than anything here may take, on a machine with other things to do (whose disk may keep a process waiting for a while, too).
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_virt-tailor");

/// A running sidecar; killed when dropped.
pub(crate) struct Sidecar {
    child: Child,
    folder: TempDir,
    /// Where it serves.
    pub(crate) hooks: PathBuf,
}

impl Sidecar {
    /// Starts one and waits until its socket is there.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let sidecar = Self::spawn(arguments);
        sidecar.socket();
        sidecar
    }

    /// Starts one that may have so many files open.
    pub(crate) fn limited(files: u64) -> Self {
        let sidecar = Self::spawn_with(&[], |command| {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("ulimit -n {files}; exec \"$0\" \"$@\""));
            shell.arg(command.get_program()).args(command.get_args());
            shell
        });
        sidecar.socket();
        sidecar
    }

    /// Starts one.
    pub(crate) fn spawn(arguments: &[&str]) -> Self {
        Self::spawn_with(arguments, |command| command)
    }

    fn spawn_with(arguments: &[&str], by: impl FnOnce(Command) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hooks = folder.path().join("hooks");
        fs::create_dir(&hooks).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = command(&hooks);
        command.args(arguments);
        let child = by(command).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { child, folder, hooks }
    }

    /// Its socket, as soon as it is there.
    pub(crate) fn socket(&self) -> PathBuf {
        let socket = within(LONG, || entries(&self.hooks).into_iter().find(|name| name.ends_with(".sock")));
        self.hooks.join(socket.unwrap_or_else(|| panic!("no socket; the log is:\n{}", self.log())))
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn signal(&self, signal: &str) {
        kill(signal, self.child.id());
    }

    /// The most memory it ever had, in KiB.
    pub(crate) fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Processor time so far, in the kernel's ticks (a hundredth of a second).
    pub(crate) fn ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        within(LONG, || self.child.try_wait().unwrap()).expect("the sidecar does not end")
    }

    /// A client as virt-launcher makes one for each call.
    pub(crate) async fn client(&self) -> Channel {
        connect(&self.socket()).await.unwrap()
    }

    /// OnDefineDomain, over a connection of its own.
    pub(crate) async fn define(&self, domain: impl Into<Vec<u8>>, vmi: impl Into<Vec<u8>>) -> Result<Vec<u8>, Status> {
        define(self.client().await, domain.into(), vmi.into()).await
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the image has in its environment.
pub(crate) const OF_THE_IMAGE: (&str, &str) = ("MALLOC_ARENA_MAX", "1");

/// The program as a sidecar in a folder, told nothing by this machine.
pub(crate) fn command(hooks: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["sidecar", "--host-root", "/nonexistent", "--socket-dir"]).arg(hooks);
    command.env_clear().env("CONTAINER_NAME", "hook-sidecar-0").env(OF_THE_IMAGE.0, OF_THE_IMAGE.1);
    command
}

pub(crate) fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// Asks again and again until there is an answer.
pub(crate) fn within<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if begin.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Names in a folder, in order.
pub(crate) fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Connects with KubeVirt's authority.
pub(crate) async fn connect(socket: &Path) -> Result<Channel, tonic::transport::Error> {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await
}

pub(crate) async fn info(channel: Channel) -> InfoResult {
    InfoClient::new(channel).info(InfoParams {}).await.unwrap().into_inner()
}

pub(crate) async fn define(channel: Channel, domain_xml: Vec<u8>, vmi: Vec<u8>) -> Result<Vec<u8>, Status> {
    let mut client = v1alpha3::callbacks_client::CallbacksClient::new(channel);
    let params = v1alpha3::OnDefineDomainParams { domain_xml: domain_xml.into(), vmi: vmi.into() };
    let answer = client.on_define_domain(params).await?;
    Ok(answer.into_inner().domain_xml)
}

pub(crate) async fn shutdown(channel: Channel) -> Result<(), Status> {
    let mut client = v1alpha3::callbacks_client::CallbacksClient::new(channel);
    client.shutdown(v1alpha3::ShutdownParams {}).await.map(|_| ())
}

/// A sample of KubeVirt's, e.g. `plain.pass1.xml`.
pub(crate) fn sample(name: &str) -> String {
    fs::read_to_string(format!("{}/tests/data/kubevirt/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The VMI of a sample with annotations of ours instead of its own.
pub(crate) fn vmi(name: &str, annotations: &[(&str, &str)]) -> String {
    let mut vmi: serde_json::Value = serde_json::from_str(&sample(&format!("{name}.vmi.json"))).unwrap();
    let map = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    vmi["metadata"]["annotations"] = serde_json::Value::Object(map);
    vmi.to_string()
}

/// Runs a command to its end and gives its exit code, output and errors.
pub(crate) fn outcome(command: &mut Command) -> (Option<i32>, String, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code(), out, err)
}
