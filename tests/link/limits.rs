//! Where something runs out: links, inotify's instances and watches, its queue. What is lost is named, and found all the same.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::task::JoinHandle;
use tracing::subscriber::DefaultGuard;
use virt_tailor::link::desk::{Confirmed, Desk, Policy};
use virt_tailor::link::find::MAX_LINKS;
use virt_tailor::link::walk::MAX_ENTRIES;
use virt_tailor::link::{Errand, Reply};

use crate::agent::{Act, Agent};
use crate::desk::serve;
use crate::node::{Node, uid};

const READY: Act = Act::Answer(Reply::Ready { lock_confirmed: true });

/// What is logged on this thread.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(lines))
    }

    pub(crate) fn lines(&self, what: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
    }
}

fn served(folder: &Path) -> (Desk, JoinHandle<()>) {
    let desk = Desk::new(Policy::Required);
    let serving = serve(&desk, folder);
    (desk, serving)
}

/// Well before everything would be looked at anyway: that happens every 30 s.
async fn is_served(desk: &Desk) {
    for _ in 0..3 {
        if desk.confirm(&Errand::default()).await == Ok(Confirmed { lock: false }) {
            return;
        }
    }
    panic!("no agent comes");
}

#[tokio::test]
async fn one_more_than_256_is_named_and_comes_when_another_goes() {
    // Both ends of every link are in this process.
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(4096).min(hard), hard).unwrap();
    let node = Node::new();
    let most = u32::try_from(MAX_LINKS).unwrap();
    let _desks: Vec<_> = (0..=most).map(|number| served(&node.pod(number))).collect();
    let (log, _logging) = Log::start();
    let agent = Agent::new([READY]);
    let _finding = agent.serve(node.places());
    agent.sees(|seen| seen.linked.len() >= MAX_LINKS).await;
    let mut named = Vec::new();
    while named.is_empty() {
        tokio::task::yield_now().await;
        named = log.lines("there are 256 links already");
    }
    let seen = agent.seen();
    assert_eq!((seen.linked.len(), seen.unlinked.len()), (MAX_LINKS, 0));
    let left: Vec<String> = (0..=most).map(uid).filter(|uid| !seen.linked.contains(uid)).collect();
    let [left] = left.as_slice() else { panic!("{left:?}") };
    assert!(named.len() == 1 && named[0].contains(left), "{named:?}, not {left}");

    fs::remove_dir_all(node.kubelet().join("pods").join(&seen.linked[7])).unwrap();
    let after = agent.sees(|seen| seen.linked.len() > MAX_LINKS).await;
    assert_eq!(after.unlinked, [seen.linked[7].clone()]);
    assert_eq!(after.linked.last(), Some(left));
}

/// A queue of events for all pods is what the kernel has; nobody reads it while this thread is busy.
#[tokio::test]
async fn a_socket_whose_event_was_lost_is_found() {
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let queue: usize = queue.trim().parse().unwrap();
    // Each watch tells of one event, and of its own end.
    let folders = MAX_ENTRIES - 4;
    let pods = u32::try_from(queue / 2 / folders + 2).unwrap();
    let node = Node::new();
    let mut all: Vec<PathBuf> = Vec::new();
    for number in 1..=pods {
        let volume = node.pod(number);
        for folder in 0..folders {
            let own = volume.join(format!("hook-sidecar-{folder}"));
            fs::create_dir(&own).unwrap();
            all.push(own);
        }
    }
    let (first, last) = (served(&node.pod(pods + 1)), node.pod(pods + 2));
    let (log, _logging) = Log::start();
    let agent = Agent::new([READY]);
    let _finding = agent.serve(node.places());
    // Whoever is linked was looked at, and so was everybody: that is one turn.
    is_served(&first.0).await;
    for folder in all {
        fs::write(folder.join("x"), "").unwrap();
    }
    let late = served(&last);
    is_served(&late.0).await;
    assert_eq!(log.lines("inotify is refused"), [""; 0], "there are too few watches for this test");
    assert_ne!(log.lines("queue ran over"), [""; 0], "the queue is longer than was thought");
}

/// Run by the test below, where the system allows nobody to watch.
#[tokio::test]
#[ignore = "the other half of a_socket_is_found_without_inotify"]
async fn where_nobody_may_watch() {
    if std::env::var_os("VIRT_TAILOR_TEST_BLIND").is_none() {
        return; // Asked for by itself, as by --include-ignored: the other half asks for it again, and sees that it ran.
    }
    let watched = Inotify::init(InitFlags::IN_CLOEXEC).and_then(|inotify| {
        let folders = ["/", "/proc", "/tmp"];
        folders.iter().try_for_each(|folder| inotify.add_watch(*folder, AddWatchFlags::IN_CREATE).map(drop))
    });
    let refused = watched.unwrap_err();
    let node = Node::new();
    let there = served(&node.pod(1));
    let (log, _logging) = Log::start();
    let agent = Agent::new([READY]);
    let _finding = agent.serve(node.places());
    is_served(&there.0).await;
    // And one that comes, with its pod, and one in a pod that is there.
    let (volume, folder) = (node.pod(2), node.pod(3).join("hook-sidecar-0"));
    let come = served(&volume);
    is_served(&come.0).await;
    fs::create_dir(&folder).unwrap();
    let later = served(&folder);
    is_served(&later.0).await;
    fs::remove_dir_all(node.kubelet().join("pods").join(uid(2))).unwrap();
    agent.sees(|seen| seen.unlinked == [uid(2)]).await;
    // It is said once, not every second.
    assert_eq!(log.lines("inotify is refused").len(), 1, "{:?}", log.lines(""));
    println!("found without inotify: {refused}");
}

#[test]
fn a_socket_is_found_without_inotify() {
    // No instance at all; and one, with too few watches for more than the first folders. Both are limits of a user namespace.
    for limit in ["echo 0 >/proc/sys/user/max_inotify_instances", "echo 2 >/proc/sys/user/max_inotify_watches"] {
        let limited = |what: &str| {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-root-user", "sh", "-c"]);
            command.arg(format!("{limit} || exit 77; exec {what} \"$@\"")).arg("sh");
            command.env("VIRT_TAILOR_TEST_BLIND", "1");
            command
        };
        let possible = limited("true").output();
        if !possible.as_ref().is_ok_and(|output| output.status.success()) {
            println!("not tried: no user namespace with limits of its own ({possible:?})");
            return;
        }
        let program = std::env::current_exe().unwrap();
        let outcome = limited(&format!("'{}'", program.display()))
            .args(["--exact", "limits::where_nobody_may_watch", "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&outcome.stdout);
        let trouble = String::from_utf8_lossy(&outcome.stderr);
        assert!(outcome.status.success() && said.contains("found without inotify"), "{limit}: {said}\n{trouble}");
    }
}
