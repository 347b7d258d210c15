//! Preparations under way. Whoever asks for one only waits for it: a client's deadline drops the handler, never the work.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::{Devices, NotReady};

/// So many at once; no node has more devices.
const MOST: usize = 1024;

/// Why devices are not ready, in a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unprepared {
    /// Their owner says so.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// It takes longer than who asks can wait.
    #[error("the device is still being made ready after {} s; that goes on, and kubelet asks again", .after.as_secs_f32())]
    StillWorking { after: Duration },
    /// A panic.
    #[error(
        "this is a mistake of virt-tailor, please report it with the agent's log: making a device ready ended without a result"
    )]
    Bug,
    /// A flood.
    #[error("{MOST} devices are being made ready already; kubelet asks again")]
    Full,
}

type Outcome = Option<Result<(), NotReady>>;
type UnderWay = Arc<Mutex<HashMap<Vec<String>, watch::Receiver<Outcome>>>>;

/// What is under way for the devices of one resource, by ids.
#[derive(Debug)]
pub(super) struct Works<D> {
    devices: Arc<D>,
    under_way: UnderWay,
}

impl<D: Devices> Works<D> {
    pub(super) fn new(devices: Arc<D>) -> Self {
        Self { devices, under_way: UnderWay::default() }
    }

    /// Has devices prepared, or waits for who has begun that already.
    pub(super) async fn prepare(&self, mut ids: Vec<String>, patience: Duration) -> Result<(), Unprepared> {
        ids.sort_unstable();
        ids.dedup();
        let mut outcome = self.join(ids)?;
        let done = timeout(patience, outcome.wait_for(Option::is_some)).await;
        match done {
            Err(_) => Err(Unprepared::StillWorking { after: patience }),
            Ok(Err(_)) => Err(Unprepared::Bug),
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Ok(())).map_err(Unprepared::NotReady),
        }
    }

    /// The work for these ids; begins it if nobody has.
    fn join(&self, ids: Vec<String>) -> Result<watch::Receiver<Outcome>, Unprepared> {
        let mut under_way = lock(&self.under_way);
        if let Some(outcome) = under_way.get(&ids) {
            return Ok(outcome.clone());
        }
        if under_way.len() >= MOST {
            return Err(Unprepared::Full);
        }
        let (tell, outcome) = watch::channel(None);
        under_way.insert(ids.clone(), outcome.clone());
        let entry = Entry { ids, under_way: Arc::clone(&self.under_way) };
        let devices = Arc::clone(&self.devices);
        tokio::spawn(async move {
            let done = devices.prepare(&entry.ids).await;
            // First the entry: who asks after this outcome is known begins anew.
            drop(entry);
            tell.send_replace(Some(done));
        });
        Ok(outcome)
    }
}

/// A work's place in the list, until it ends in whatever way.
#[derive(Debug)]
struct Entry {
    ids: Vec<String>,
    under_way: UnderWay,
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.ids);
    }
}

fn lock(under_way: &UnderWay) -> MutexGuard<'_, HashMap<Vec<String>, watch::Receiver<Outcome>>> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}
