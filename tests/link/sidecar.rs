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
        Self::start_by(node, number, arguments, |command, _| command)
    }

    /// The same; `by` is given its command, and the folder for its socket.
    fn start_by(node: &Node, number: u32, arguments: &[&str], by: impl FnOnce(Command, &Path) -> Command) -> Self {
        let folder = node.pod(number).join("hook-sidecar-0");
        fs::create_dir(&folder).unwrap();
        let log = fs::File::create(node.path(&format!("log-{number}"))).unwrap();
        let mut command = command(&folder);
        command.args(arguments);
        let child = by(command, &folder).stdout(Stdio::null()).stderr(log).spawn().unwrap();
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
    let elsewhere = Elsewhere::of(&socket);
    for uid in [107, 65534] {
        assert_refused(elsewhere.command().uid(uid).gid(uid));
    }
}

/// A folder that another user can come to, with a socket and the other half of a test, which he can run.
struct Elsewhere(tempfile::TempDir);

impl Elsewhere {
    fn of(socket: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("vt").tempdir().unwrap();
        open_to_all(folder.path());
        fs::hard_link(socket, folder.path().join("virt-tailor-x.sock")).unwrap();
        fs::copy(std::env::current_exe().unwrap(), folder.path().join("test")).unwrap();
        Self(folder)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.0.path().join("test"));
        command
            .args(["--exact", "sidecar::as_another_user", "--ignored", "--nocapture"])
            .env("VIRT_TAILOR_TEST_SOCKET", self.0.path().join("virt-tailor-x.sock"));
        command
    }
}

fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

#[track_caller]
fn assert_refused(other_half: &mut Command) {
    let outcome = other_half.output().unwrap();
    let (said, trouble) = (String::from_utf8_lossy(&outcome.stdout), String::from_utf8_lossy(&outcome.stderr));
    assert!(outcome.status.success() && said.contains("refused as another user"), "{said}\n{trouble}");
}

/// A user namespace as a pod with `hostUsers: false` has: its users are users of the node that are nobody's there.
struct Users(Child);

impl Users {
    const FIRST: u32 = 1_000_000;

    fn new() -> Self {
        let child =
            Command::new("unshare").args(["--user", "sleep", "infinity"]).spawn().expect("unshare (util-linux)");
        let mut users = Self(child);
        let own = fs::read_link("/proc/self/ns/user").unwrap();
        within(LONG, || {
            let ended = users.0.try_wait().unwrap();
            assert_eq!(ended, None, "this machine allows no user namespaces, which this test is about");
            fs::read_link(users.path("ns/user")).is_ok_and(|its| its != own).then_some(())
        })
        .expect("no user namespace");
        for map in ["gid_map", "uid_map"] {
            fs::write(users.path(map), format!("0 {} 65536", Self::FIRST)).expect(map);
        }
        users
    }

    fn path(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.0.id()).into()
    }

    /// A command as one of these users.
    fn enter(&self, uid: u32, command: &Command) -> Command {
        let mut entered = Command::new("nsenter");
        entered.arg(format!("--user={}", self.path("ns/user").display()));
        entered.args(["--setuid", &uid.to_string(), "--setgid", &uid.to_string(), "--"]);
        entered.arg(command.get_program()).args(command.get_args()).env_clear();
        entered.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        entered
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The kernel shows the sidecar there root of the node as nobody, and nobody is let in; on the node nobody is not.
#[tokio::test]
#[ignore = "needs root and user namespaces: tests/run"]
async fn root_of_the_node_links_to_a_sidecar_in_a_user_namespace() {
    let users = Users::new();
    let node = Node::new();
    open_to_all(&node.path(""));
    // A program that these users can run wherever it lies: root has opened it.
    let program = tempfile::Builder::new().prefix("vt").tempdir().unwrap();
    open_to_all(program.path());
    let copy = program.path().join("virt-tailor");
    fs::copy(crate::rig::PROGRAM, &copy).unwrap();
    let sidecar = Sidecar::start_by(&node, 1, &[], |command, folder| {
        std::os::unix::fs::chown(folder, Some(Users::FIRST), Some(Users::FIRST)).unwrap();
        let mut copied = Command::new(&copy);
        copied.args(command.get_args()).envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        users.enter(0, &copied)
    });
    let socket = sidecar.socket();
    let maps = fs::read_to_string(format!("/proc/{}/uid_map", sidecar.child.id())).unwrap();
    assert_eq!(maps.split_whitespace().collect::<Vec<_>>(), ["0", "1000000", "65536"], "where it runs");
    let agent = Agent::new([READY]);
    let finding = agent.serve(node.places());
    sidecar.define("plain", "pass1", &[NODE_PROFILES]).await.unwrap();
    assert_eq!(agent.seen().linked, [uid(1)]);
    assert_eq!(agent.seen().asked.len(), 1);
    finding.abort();

    // The pod's other users are not, and nobody of the node's own namespace is not where that is the sidecar's.
    let elsewhere = Elsewhere::of(&socket);
    assert_refused(&mut users.enter(107, &elsewhere.command()));
    let own = Sidecar::start(&node, 2, &[]);
    let elsewhere = Elsewhere::of(&own.socket());
    assert_refused(elsewhere.command().uid(65534).gid(65534));
}
