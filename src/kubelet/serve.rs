//! The life of one resource at kubelet: served first, registered second, and both again whenever kubelet may have lost us.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::Devices;
use super::error::KubeletError;
use super::folder::Watch;
use super::listening::Listening;
use super::plugin::Plugin;
use super::register::{KUBELET, register};
use super::socket::{Identity, file_name, place};
use super::streams::Streams;
use super::times::{Backoff, Times};

/// Serves one resource in kubelet's device plugin folder (usually `/var/lib/kubelet/device-plugins`) until `stop` is ready. Whatever
/// fails is said in the log and tried again: the folder may be missing, kubelet down, restarted or silent.
///
/// Must run in a tokio runtime with time and I/O.
pub async fn serve_resource<D: Devices>(
    folder: &Path,
    resource: &str,
    devices: Arc<D>,
    stop: impl Future<Output = ()> + Send,
) {
    serve_resource_at(folder, resource, devices, Times::default(), stop).await;
}

/// As [`serve_resource`], at another pace.
pub async fn serve_resource_at<D: Devices>(
    folder: &Path,
    resource: &str,
    devices: Arc<D>,
    times: Times,
    stop: impl Future<Output = ()> + Send,
) {
    let mut stop = pin!(stop);
    let streams = Streams::default();
    let _end = EndStreams(&streams);
    let plugin = Arc::new(Plugin::new(devices, streams.clone(), times.patience));
    let mut watch = Watch::new(folder, times.rescan);
    let mut backoff = Backoff::new(times.quiet, times.longest);
    let mut told = Told::default();
    let name = file_name(resource);
    let mut again = false;
    loop {
        let started = place(folder, &name).map_err(|error| error.to_string()).and_then(|placed| {
            Listening::start(placed, &plugin).map_err(|error| format!("cannot serve {name}: {error}"))
        });
        let listening = match started {
            Ok(listening) => listening,
            Err(reason) => {
                told.failed(resource, &reason);
                let next = Instant::now() + backoff.pause();
                tokio::select! {
                    () = &mut stop => return,
                    () = sleep_until(next) => {}
                    _ = watch.changed(KUBELET) => {}
                }
                continue;
            }
        };
        backoff.reset();
        tracing::info!(resource, socket = %listening.placed().path().display(), "serving");
        // Somebody else, or we, may have been known to kubelet at this very socket a moment ago.
        let was_here = std::mem::replace(&mut again, true) || listening.placed().replaced;
        let presence = Presence::new(folder, resource, &name, &times, was_here, streams.count());
        let stopped = presence.keep(&listening, &streams, &mut watch, &mut told, stop.as_mut()).await;
        // First the streams: calls under way may end in peace, but a list never ends by itself.
        streams.end_all();
        if stopped {
            // Whoever serves the same resource next registers when kubelet has noticed the end of this.
            tokio::join!(listening.end(times.drain), sleep(times.settle));
            return;
        }
        listening.end(Duration::ZERO).await;
        tracing::info!(resource, "our socket has gone; listening again");
    }
}

/// Ends the lists with whoever serves them, even if that is dropped half-way.
struct EndStreams<'a>(&'a Streams);

impl Drop for EndStreams<'_> {
    fn drop(&mut self) {
        self.0.end_all();
    }
}

/// What has been said of a failure: the same line is not repeated at every attempt.
#[derive(Debug, Default)]
struct Told(String);

impl Told {
    fn failed(&mut self, resource: &str, reason: &str) {
        if self.0 != reason {
            tracing::warn!(resource, reason, "not registered at kubelet; trying on");
            reason.clone_into(&mut self.0);
        }
    }

    fn is_well(&mut self) {
        self.0.clear();
    }
}

type Attempt = Pin<Box<dyn Future<Output = Result<(), KubeletError>> + Send>>;

/// Being known to kubelet, while one socket of ours stands.
struct Presence<'a> {
    folder: &'a Path,
    resource: &'a str,
    name: &'a str,
    times: &'a Times,
    kubelet: PathBuf,
    /// The socket of kubelet's that our registration is for.
    seen: Option<Identity>,
    /// When to register next.
    due: Option<Instant>,
    /// A registration under way.
    attempt: Option<Attempt>,
    /// After kubelet refused or was silent.
    refused: Backoff,
    /// After kubelet did not read our list, or no longer.
    quiet: Backoff,
    streams: watch::Receiver<usize>,
    /// Since when kubelet has been reading our list.
    reading: Option<Instant>,
}

impl<'a> Presence<'a> {
    fn new(
        folder: &'a Path,
        resource: &'a str,
        name: &'a str,
        times: &'a Times,
        was_here: bool,
        streams: watch::Receiver<usize>,
    ) -> Self {
        let kubelet = folder.join(KUBELET);
        // kubelet may not have noticed that end.
        let pause = if was_here { times.settle } else { Duration::ZERO };
        Self {
            folder,
            resource,
            name,
            times,
            seen: Identity::of(&kubelet),
            kubelet,
            due: Some(Instant::now() + pause),
            attempt: None,
            refused: Backoff::new(times.quiet, times.longest),
            quiet: Backoff::new(times.quiet, times.longest),
            streams,
            reading: None,
        }
    }

    /// Keeps kubelet informed until the end is asked for (true) or our socket has gone (false).
    async fn keep<S: Future<Output = ()>>(
        mut self,
        listening: &Listening,
        streams: &Streams,
        watch: &mut Watch,
        told: &mut Told,
        mut stop: Pin<&mut S>,
    ) -> bool {
        loop {
            if !listening.is_there() {
                return false;
            }
            self.look_at_kubelet(streams);
            if self.due.is_some_and(|due| due <= Instant::now()) && self.seen.is_some() && self.attempt.is_none() {
                self.due = None;
                self.attempt = Some(self.attempt());
            }
            // Without kubelet's socket there is nothing to wait for but the folder.
            let due = self.due.filter(|_| self.seen.is_some() && self.attempt.is_none());
            tokio::select! {
                () = &mut stop => return true,
                outcome = finished(&mut self.attempt) => self.answered(outcome, told),
                _ = self.streams.changed() => self.streams_changed(),
                made = watch.changed(KUBELET) => if made && self.seen.is_some_and(|seen| !seen.is_certain()) {
                    // It may look the same, and is another one.
                    self.seen = None;
                },
                () = moment(due) => {}
            }
        }
    }

    /// Whether kubelet's socket is another than we know.
    fn look_at_kubelet(&mut self, streams: &Streams) {
        let found = Identity::of(&self.kubelet);
        if found == self.seen {
            return;
        }
        self.seen = found;
        // An answer of the former kubelet is worth nothing.
        self.attempt = None;
        self.due = None;
        if found.is_none() {
            tracing::info!(resource = self.resource, "kubelet's socket has gone; waiting for it");
        } else {
            self.refused.reset();
            self.quiet.reset();
            // What the former kubelet still reads has to end before the new registration, not after it.
            let pause = if *self.streams.borrow() > 0 { self.times.settle } else { Duration::ZERO };
            streams.end_all();
            self.due = Some(Instant::now() + pause);
        }
    }

    fn attempt(&self) -> Attempt {
        let (folder, name, resource) = (self.folder.to_owned(), self.name.to_owned(), self.resource.to_owned());
        let within = self.times.register;
        Box::pin(async move { register(&folder, &name, &resource, within).await })
    }

    fn answered(&mut self, outcome: Result<(), KubeletError>, told: &mut Told) {
        match outcome {
            Ok(()) => {
                told.is_well();
                self.refused.reset();
                tracing::info!(resource = self.resource, "registered at kubelet");
                // A kubelet that registers us reads our list; often it has begun already.
                let reads = *self.streams.borrow() > 0;
                self.due = (!reads).then(|| Instant::now() + self.quiet.pause());
            }
            Err(error) => {
                told.failed(self.resource, &error.to_string());
                // Whoever reads our list has registered us, and only the answer was lost: another registration would end that.
                let reads = *self.streams.borrow() > 0;
                self.due = (!reads).then(|| Instant::now() + self.refused.pause());
            }
        }
    }

    fn streams_changed(&mut self) {
        let now = Instant::now();
        if *self.streams.borrow_and_update() > 0 {
            self.due = None;
            self.reading.get_or_insert(now);
        } else if let Some(since) = self.reading.take() {
            if now - since >= self.times.calm {
                self.quiet.reset();
            }
            let again = now + self.quiet.pause();
            self.due = Some(self.due.map_or(again, |due| due.min(again)));
            tracing::info!(resource = self.resource, "kubelet does not read our list any more");
        }
    }
}

/// The end of a registration under way, if there is one.
async fn finished(attempt: &mut Option<Attempt>) -> Result<(), KubeletError> {
    match attempt {
        Some(under_way) => {
            let outcome = under_way.await;
            *attempt = None;
            outcome
        }
        None => std::future::pending().await,
    }
}

/// A moment, if there is one.
async fn moment(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
