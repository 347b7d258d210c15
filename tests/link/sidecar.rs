//! The real sidecar process, KubeVirt's calls, and an agent that finds it (or none).

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use tonic::{Code, Status};
use virt_tailor::link::desk::PATIENCE;
use virt_tailor::link::{Memlock, Reply, Request};

use crate::agent::{Act, Agent};
use crate::node::{Node, uid};
use crate::rig::{LONG, command, connect, define, entries, info, kill, sample, shutdown, vmi, within};

const READY: Act = Act::Answer(Reply::Ready { lock_confirmed: true });
const NODE_PROFILES: (&str, &str) = ("virt-tailor.io/node-profiles", "isolate, quiet");

/// A sidecar in a pod's folder.
struct Sidecar {
    child: Child,
    folder: PathBuf,
}

impl Sidecar {
    fn start(node: &Node, number: u32, arguments: &[&str]) -> Self {
        let folder = node.pod(number).join("hook-sidecar-0");
        fs::create_dir(&folder).unwrap();
        let log = fs::File::create(node.path(&format!("log-{number}"))).unwrap();
        let mut command = command(&folder);
        let child = command.args(arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { child, folder }
    }

    fn socket(&self) -> PathBuf {
        let name = within(LONG, || entries(&self.folder).into_iter().find(|name| name.ends_with(".sock")));
        self.folder.join(name.expect("no socket"))
    }

    async fn define(&self, name: &str, pass: &str, annotations: &[(&str, &str)]) -> Result<String, Status> {
        let (domain, vmi) = (sample(&format!("{name}.{pass}.xml")), vmi(name, annotations));
        let channel = connect(&address(&self.socket())).await.unwrap();
        Ok(String::from_utf8(define(channel, domain.into(), vmi.into()).await?).unwrap())
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A path that fits into a socket address.
fn address(socket: &Path) -> PathBuf {
    use std::os::fd::IntoRawFd as _;
    // The test ends soon, and the descriptor with it.
    let folder = fs::File::open(socket.parent().unwrap()).unwrap().into_raw_fd();
    Path::new("/proc/self/fd").join(folder.to_string()).join(socket.file_name().unwrap())
}

#[tokio::test]
async fn a_vm_that_needs_nothing_needs_no_agent() {
    let node = Node::new();
    let sidecar = Sidecar::start(&node, 1, &[]);
    let begin = Instant::now();
    sidecar.define("gpu-workstation", "pass1", &[("domain.virt-tailor.io/features.hideKvm", "on")]).await.unwrap();
    assert!(begin.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_vm_that_needs_the_agent_is_refused_without_one_and_info_is_answered_meanwhile() {
    let node = Node::new();
    let sidecar = Sidecar::start(&node, 1, &[]);
    let socket = sidecar.socket();
    let (refused, infos) = tokio::join!(sidecar.define("plain", "pass1", &[NODE_PROFILES]), async {
        let mut infos = 0;
        for _ in 0..5 {
            let begin = Instant::now();
            let answer = info(connect(&address(&socket)).await.unwrap()).await;
            assert!(begin.elapsed() < PATIENCE / 2 && answer.name == "virt-tailor");
            infos += 1;
        }
        infos
    });
    let status = refused.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let line = status.message();
    assert!(
        line.starts_with("virt-tailor: this VM needs the node profiles isolate, quiet from virt-tailor's agent, and ")
            && line.ends_with(
                " has no agent (none has come within 5 s): run the agent there, or start the sidecar with --agent off"
            ),
        "{line}"
    );
    assert_eq!(infos, 5);
    // What is wrong in itself is refused at once, whatever the agent would say.
    let begin = Instant::now();
    let wrong = ("virt-tailor.io/node-profiles", "Isolate,,x y");
    let status = sidecar.define("plain", "pass1", &[wrong]).await.unwrap_err();
    assert!(begin.elapsed() < PATIENCE);
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("annotation virt-tailor.io/node-profiles") && !status.message().contains('\n'));
}

#[tokio::test]
async fn with_the_agent_a_vm_starts_and_never_waits_again_and_its_end_is_noted() {
    let node = Node::new();
    let mut sidecar = Sidecar::start(&node, 1, &[]);
    let working = Act::Answer(Reply::Working { step: 1, of: 2, what: "isolate CPUs".to_owned() });
    let agent = Agent::new([working, READY]);
    let finding = agent.serve(node.places());
    let locked = ("domain.virt-tailor.io/memory.locked", "on");
    let answer = sidecar.define("plain", "pass1", &[NODE_PROFILES, locked]).await.unwrap();
    assert!(answer.contains("<locked"), "{answer}");
    let asked = agent.seen().asked;
    assert_eq!(asked.len(), 2);
    let node_profiles = vec!["isolate".to_owned(), "quiet".to_owned()];
    assert_eq!(asked[1].1, Request::Prepare { node_profiles, memlock: Some(Memlock::Unlimited) });
    // The agent goes away: an upgrade. Later passes do not wait for it.
    finding.abort();
    agent.sees(|seen| !seen.unlinked.is_empty()).await;
    let begin = Instant::now();
    for pass in ["pass2", "pass3"] {
        sidecar.define("plain", pass, &[NODE_PROFILES, locked]).await.unwrap();
    }
    assert!(begin.elapsed() < PATIENCE);
    // It comes back, and hears of the end before that is answered.
    let next = Agent::new([READY]);
    let _finding = next.serve(node.places());
    next.sees(|seen| !seen.linked.is_empty()).await;
    shutdown(connect(&address(&sidecar.socket())).await.unwrap()).await.unwrap();
    assert_eq!(next.seen().asked.last().unwrap().1, Request::Release);
    let ended = within(LONG, || sidecar.child.try_wait().unwrap()).unwrap();
    assert!(ended.success());
    assert!(entries(&sidecar.folder).is_empty());
}

/// The sidecar is told to end by a signal; how it has ended, and what it has logged.
fn ended(sidecar: &mut Sidecar, log: &Path) -> String {
    kill("-TERM", sidecar.child.id());
    let status = within(LONG, || sidecar.child.try_wait().unwrap()).expect("it does not end");
    let log = fs::read_to_string(log).unwrap();
    assert!(status.success(), "{status}\n{log}");
    assert!(entries(&sidecar.folder).is_empty());
    log
}

#[tokio::test]
async fn a_signal_while_the_agent_is_waited_for_ends_it() {
    let node = Node::new();
    let mut sidecar = Sidecar::start(&node, 1, &["--agent", "required"]);
    let (domain, vmi) = (sample("plain.pass1.xml"), vmi("plain", &[NODE_PROFILES]));
    let channel = connect(&address(&sidecar.socket())).await.unwrap();
    let call = tokio::spawn(define(channel, domain.into(), vmi.into()));
    // Long enough to be there, and much less than it waits.
    tokio::time::sleep(PATIENCE / 10).await;
    assert!(!call.is_finished());
    let path = node.path("log-1");
    let log = tokio::task::spawn_blocking(move || ended(&mut sidecar, &path)).await.unwrap();
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (
            Code::Unavailable,
            "virt-tailor: the sidecar was told to end before virt-tailor's agent on this node had answered"
        )
    );
    assert!(!log.contains("a connection hangs"), "{log}");
    // Of which VM that was is in the log, though nothing was fitted, and how long it took, the waiting with it.
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let refused = lines.into_iter().find(|line| line["message"] == "refused").expect(&log);
    assert_eq!((&refused["span"]["vm"], &refused["span"]["pass"]), (&"default/plain".into(), &"1".into()));
    assert!(refused["ms"].as_f64().unwrap() >= (PATIENCE / 20).as_secs_f64() * 1000.0, "{refused}");
}

#[tokio::test]
async fn a_signal_while_the_agent_hears_of_the_end_ends_it() {
    let node = Node::new();
    let mut sidecar = Sidecar::start(&node, 1, &[]);
    let agent = Agent::new([READY, Act::Hang]);
    let _finding = agent.serve(node.places());
    sidecar.define("plain", "pass1", &[NODE_PROFILES]).await.unwrap();
    let channel = connect(&address(&sidecar.socket())).await.unwrap();
    let call = tokio::spawn(shutdown(channel));
    agent.sees(|seen| seen.asked.last().is_some_and(|(_, request)| *request == Request::Release)).await;
    let path = node.path("log-1");
    tokio::task::spawn_blocking(move || ended(&mut sidecar, &path)).await.unwrap();
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn companions_behind_a_viommu_are_kept_once_the_agent_has_confirmed_the_lock() {
    let hard_limit = ("domain.virt-tailor.io/memory.hardLimit", "8Gi");
    let node = Node::new();
    let sidecar = Sidecar::start(&node, 1, &[]);
    let agent = Agent::new([Act::Refuse("the limit of this node is 4 GiB"), READY]);
    let _finding = agent.serve(node.places());
    let status = sidecar.define("plain", "pass1", &[hard_limit]).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(
        status.message(),
        "virt-tailor: virt-tailor's agent on the node worker-1 refuses: the limit of this node is 4 GiB"
    );
    sidecar.define("plain", "pass1", &[hard_limit]).await.unwrap();
    let memlock = Some(Memlock::Bytes(8 << 30));
    assert_eq!(agent.seen().asked[1].1, Request::Prepare { node_profiles: Vec::new(), memlock });
}

#[tokio::test]
async fn off_and_required_are_what_they_say() {
    let node = Node::new();
    let off = Sidecar::start(&node, 1, &["--agent", "off"]);
    off.define("plain", "pass1", &[NODE_PROFILES]).await.unwrap();
    let log = fs::read_to_string(node.path("log-1")).unwrap();
    assert!(log.contains("--agent off") && log.contains("the node profiles isolate, quiet"), "{log}");
    let required = Sidecar::start(&node, 2, &["--agent", "required"]);
    let status = required.define("plain", "pass1", &[]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().starts_with("virt-tailor: the sidecar was started with --agent required, and "));
    let agent = Agent::new([READY]);
    let _finding = agent.serve(node.places());
    required.define("plain", "pass1", &[]).await.unwrap();
    // The one that was told not to serves no link, and the agent leaves it alone.
    assert_eq!(agent.seen().linked, [uid(2)]);
}

/// Run by the test below, as another user.
#[test]
#[ignore = "the other half of nobody_but_root_may_link"]
fn as_another_user() {
    let Some(socket) = std::env::var_os("VIRT_TAILOR_TEST_SOCKET").map(PathBuf::from) else {
        return; // Asked for by itself, as by --include-ignored: the other half asks for it again, and sees that it ran.
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let channel = connect(&address(&socket)).await.unwrap();
        let mut client = virt_tailor::link::proto::link_client::LinkClient::new(channel);
        client.attend(tokio_stream::pending()).await.unwrap_err()
    });
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.message(), "virt-tailor: the link is for the node's agent, which runs as root");
    println!("refused as another user");
}

#[test]
fn nobody_but_root_may_link() {
    if !nix::unistd::geteuid().is_root() {
        println!("not tried: only root can be somebody else");
        return;
    }
    let node = Node::new();
    let sidecar = Sidecar::start(&node, 1, &[]);
    let socket = sidecar.socket();
    // A folder that the other user can come to, and a program that he can run.
    let open = tempfile::Builder::new().prefix("vt").tempdir().unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(open.path(), permissions).unwrap();
    fs::hard_link(&socket, open.path().join("virt-tailor-x.sock")).unwrap();
    let program = open.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let outcome = Command::new(&program)
        .args(["--exact", "sidecar::as_another_user", "--ignored", "--nocapture"])
        .env("VIRT_TAILOR_TEST_SOCKET", open.path().join("virt-tailor-x.sock"))
        .uid(107)
        .gid(107)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&outcome.stdout);
    assert!(outcome.status.success() && said.contains("refused as another user"), "{said}");
}
