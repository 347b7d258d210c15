//! From pods to links: who is looked at when, and who gets a link.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::dial::{End, attend};
use super::names::{Names, from_logs, pod};
use super::rate::Bucket;
use super::walk::{FileId, Found, Look, Pods};
use super::watch::{News, Watch};
use super::{Errands, Pod};

/// So many links at once. Kubelet's own limit is 110 pods, 250 where it was raised.
pub const MAX_LINKS: usize = 256;

/// So many looks at one pod at once, then one each second: what it makes happen costs no more.
const LOOKS: u32 = 10;
const LOOK: Duration = Duration::from_secs(1);

/// How often everything is looked at without inotify.
const RESCAN: Duration = Duration::from_secs(1);

/// How often with it. Only a mount over a watched folder escapes it.
const BACKUP: Duration = Duration::from_secs(30);

/// A link that ended is tried again after so long, then twice as long, up to the last.
const RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// How long whoever knows names may take.
const NAMING: Duration = Duration::from_secs(5);

/// Where to look, and for whom.
#[derive(Debug, Clone)]
pub struct Places {
    /// Kubelet's folder: `/var/lib/kubelet`, other on k0s and microk8s.
    pub kubelet_root: PathBuf,
    /// Where kubelet has the folders of logs: `/var/log/pods`.
    pub pod_logs: PathBuf,
    /// What this node is called, for messages in a VM's condition.
    pub node: String,
    /// How long a linked sidecar may be silent, and then how long it may take to answer a ping: [`super::dial::PING`].
    pub ping: Duration,
}

/// Finds sidecars and serves their links until it is told to stop. Returns early only if kubelet's folder cannot be opened.
pub async fn run<E: Errands, N: Names>(
    places: Places,
    names: N,
    errands: Arc<E>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let pods = Pods::open(&places.kubelet_root)?;
    let (places, names) = (Arc::new(places), Arc::new(names));
    let finder = Finder {
        pods,
        places,
        names,
        errands,
        watch: Watching::default(),
        known: HashMap::new(),
        links: JoinSet::new(),
    };
    tokio::select! {
        never = finder.run() => match never {},
        () = stop => Ok(()),
    }
}

struct Finder<E, N> {
    pods: Pods,
    places: Arc<Places>,
    names: Arc<N>,
    errands: Arc<E>,
    watch: Watching,
    known: HashMap<String, Known>,
    links: JoinSet<(String, End)>,
}

/// A pod that is there.
struct Known {
    /// When it is to be looked at, if anything calls for it.
    due: Option<Instant>,
    looks: Bucket,
    link: Option<Link>,
    /// Not before, and how long after the next failure.
    retry: (Instant, Duration),
    /// Whether it has no link for the one reason that there are so many.
    crowded_out: bool,
    /// What was last said of it in the log: every state once.
    told: Option<String>,
}

/// A link, or an attempt at one.
struct Link {
    file: FileId,
    task: AbortHandle,
    since: Instant,
}

impl Known {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            due: Some(now),
            looks: Bucket::new(LOOKS, LOOK),
            link: None,
            retry: (now, RETRY),
            crowded_out: false,
            told: None,
        }
    }

    fn look_at(&mut self, when: Instant) {
        self.due = Some(self.due.map_or(when, |due| due.min(when)));
    }

    /// When it is its turn.
    fn turn(&self) -> Option<Instant> {
        Some(self.due?.max(self.looks.ready()))
    }

    fn tell(&mut self, uid: &str, what: String) {
        if self.told.as_ref() != Some(&what) {
            tracing::warn!(pod_uid = uid, reason = what, "no link to this pod");
            self.told = Some(what);
        }
    }

    /// The link has ended, or there is none for now.
    fn later(&mut self) {
        let (_, pause) = self.retry;
        let when = Instant::now() + pause;
        self.retry = (when, (pause * 2).min(LAST_RETRY));
        self.look_at(when);
    }

    fn unlink(&mut self) {
        if let Some(link) = self.link.take() {
            link.task.abort();
        }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.unlink();
    }
}

impl<E: Errands, N: Names> Finder<E, N> {
    async fn run(mut self) -> std::convert::Infallible {
        let mut rescan = Instant::now();
        loop {
            if rescan <= Instant::now() {
                rescan = Instant::now() + self.look_at_all();
            }
            if self.watch.is_lost() {
                rescan = rescan.min(Instant::now() + RESCAN);
            }
            let turn = self.known.values().filter_map(Known::turn).min().map_or(rescan, |turn| turn.min(rescan));
            tokio::select! {
                news = self.watch.news() => match news {
                    Ok(news) => {
                        if news.overflowed {
                            tracing::warn!("inotify's queue ran over: all pods are looked at");
                            rescan = rescan.min(Instant::now() + RESCAN);
                        }
                        for pod in news.pods {
                            match self.known.get_mut(&pod) {
                                Some(known) => known.look_at(Instant::now()),
                                // The folder of all.
                                None => self.list(),
                            }
                        }
                    }
                    Err(error) => {
                        self.watch.lose(&error);
                    }
                },
                Some(ended) = self.links.join_next_with_id() => self.ended(ended),
                () = sleep_until(turn) => self.take_turns(),
            }
        }
    }

    /// Looks at everything, with inotify if it can be had; says when to do so again.
    fn look_at_all(&mut self) -> Duration {
        self.watch.renew();
        self.list();
        for known in self.known.values_mut() {
            known.look_at(Instant::now());
        }
        if self.watch.is_lost() { RESCAN } else { BACKUP }
    }

    /// Which pods there are.
    fn list(&mut self) {
        self.watch.forget("");
        self.watch.arm(self.pods.folder(), "");
        let uids = match self.pods.uids() {
            Ok(uids) => uids,
            Err(error) => {
                tracing::warn!(%error, "kubelet's folder of pods cannot be read");
                return;
            }
        };
        self.known.retain(|uid, _| {
            let is_there = uids.contains(uid);
            if !is_there {
                self.watch.forget(uid);
            }
            is_there
        });
        for uid in uids {
            self.known.entry(uid).or_insert_with(Known::new);
        }
    }

    fn take_turns(&mut self) {
        let now = Instant::now();
        let ready = self.known.iter().filter(|(_, known)| known.turn().is_some_and(|turn| turn <= now));
        let ready: Vec<String> = ready.map(|(uid, _)| uid.clone()).collect();
        for uid in ready {
            self.look(&uid);
        }
    }

    fn look(&mut self, uid: &str) {
        let Some(known) = self.known.get_mut(uid) else { return };
        known.due = None;
        known.looks.take(1);
        let now = Instant::now();
        if known.link.is_none() && now < known.retry.0 {
            known.look_at(known.retry.0);
            return;
        }
        known.crowded_out = false;
        let watch = &mut self.watch;
        watch.forget(uid);
        let linked = known.link.as_ref().map(|link| link.file);
        let look = Look { known: linked, arm: &mut |folder: &_| watch.arm(folder, uid) };
        let found = match self.pods.look(uid, look) {
            Ok(found) => found,
            Err(error) => {
                known.tell(uid, format!("its folders cannot be looked at: {error}"));
                known.later();
                return;
            }
        };
        let Found { mut sockets, crowded } = found;
        if crowded {
            known.tell(uid, "there are more files among its sockets than are read".to_owned());
        }
        match (sockets.pop(), sockets.is_empty()) {
            // A sidecar that ends removes its socket first; its link ends by itself.
            (None, _) => {}
            (Some(socket), true) => match (&known.link, socket.stream) {
                (None, Some(stream)) if self.links.len() < MAX_LINKS => {
                    let task = self.links.spawn(link(
                        uid.to_owned(),
                        stream,
                        Arc::clone(&self.places),
                        Arc::clone(&self.names),
                        Arc::clone(&self.errands),
                    ));
                    known.link = Some(Link { file: socket.file, task, since: now });
                }
                (None, Some(_)) => {
                    known.tell(uid, format!("there are {MAX_LINKS} links already"));
                    known.crowded_out = true;
                    known.later();
                }
                (None, None) => {
                    known.tell(uid, "so many wait at its socket that nobody else can: it is tried again".to_owned());
                    known.later();
                }
                // It is the one that is linked.
                (Some(link), None) if link.file == socket.file => {}
                (Some(_), _) => known.refuse_two(uid),
            },
            (Some(_), false) => known.refuse_two(uid),
        }
    }

    /// A link has ended: there is room for another, and then something to be said and tried of this one.
    fn ended(&mut self, ended: Result<(Id, (String, End)), JoinError>) {
        let now = Instant::now();
        for known in self.known.values_mut().filter(|known| known.crowded_out) {
            known.retry = (now, RETRY);
            known.look_at(now);
        }
        let (id, end) = match ended {
            Ok((id, (_, end))) => (id, end),
            // We ended it ourselves, and know.
            Err(error) if error.is_cancelled() => return,
            Err(error) => (error.id(), End::Panic),
        };
        let found =
            self.known.iter_mut().find(|(_, known)| known.link.as_ref().is_some_and(|link| link.task.id() == id));
        let Some((uid, known)) = found else { return };
        let lasted = known.link.take().is_some_and(|link| link.since.elapsed() > LAST_RETRY);
        if lasted {
            known.retry.1 = RETRY;
        }
        if end == End::Foreign {
            // It will hardly learn it.
            known.retry.1 = LAST_RETRY;
        }
        match end {
            End::Over => tracing::info!(pod_uid = uid, "the sidecar has ended its link"),
            end => {
                let uid = uid.clone();
                known.tell(&uid, end.to_string());
            }
        }
        known.later();
    }
}

impl Known {
    /// One of the two may be an impostor, and nothing says which.
    fn refuse_two(&mut self, uid: &str) {
        self.unlink();
        self.tell(uid, "two sockets claim to be its sidecar: both are refused".to_owned());
        self.later();
    }
}

/// One link, from a connection to its end.
async fn link<E: Errands, N: Names>(
    uid: String,
    stream: UnixStream,
    places: Arc<Places>,
    names: Arc<N>,
    errands: Arc<E>,
) -> (String, End) {
    let end = match who(&uid, &places, &*names).await {
        Ok(pod) => attend(&pod, stream, &errands, &places).await,
        Err(why) => End::Broken(why),
    };
    (uid, end)
}

/// Who a pod is.
async fn who(uid: &str, places: &Places, names: &impl Names) -> Result<Pod, String> {
    // Who does not answer does not know.
    if let Ok(Some((namespace, name))) = timeout(NAMING, names.name_of(uid)).await {
        return pod(uid, &namespace, &name).ok_or_else(|| "kubelet gives it a name that no pod can have".to_owned());
    }
    let (logs, uid) = (places.pod_logs.clone(), uid.to_owned());
    match tokio::task::spawn_blocking(move || from_logs(&logs, &uid)).await {
        Ok(known) => known.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Inotify as long as it goes.
#[derive(Debug, Default)]
struct Watching {
    watch: Option<Watch>,
    told: bool,
}

impl Watching {
    fn is_lost(&self) -> bool {
        self.watch.is_none()
    }

    /// Tries anew.
    fn renew(&mut self) {
        if self.watch.is_none() {
            match Watch::new() {
                Ok(watch) => self.watch = Some(watch),
                Err(error) => self.lose(&error),
            }
        }
    }

    fn lose(&mut self, error: &io::Error) {
        self.watch = None;
        // Every second would be too often.
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(%error, "inotify is refused: pods are looked at once a second");
        }
    }

    fn arm(&mut self, folder: &OwnedFd, pod: &str) {
        if let Some(watch) = &mut self.watch
            && let Err(error) = watch.once(folder, pod)
        {
            self.lose(&error);
        }
    }

    fn forget(&mut self, pod: &str) {
        if let Some(watch) = &mut self.watch {
            watch.forget(pod);
        }
    }

    /// What inotify tells; nothing ever without.
    async fn news(&mut self) -> io::Result<News> {
        match &mut self.watch {
            Some(watch) => watch.news().await,
            None => std::future::pending().await,
        }
    }
}
