//! Memory for messages, over all connections. The container has 64 MB, and KubeVirt sets no limit to what it sends.
//!
//! A message gets its share as a whole before it is read, so that two halves never wait for each other; the share is given back when
//! the answer has left. Small messages have a store of their own, so that no flood of large ones is in their way.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::MAX_REQUEST;
use super::crowd::Crowd;
use super::line::Line;

/// KubeVirt's usual calls have some tens of KiB.
const SMALL: usize = 256 << 10;

/// For messages up to [`SMALL`]: a hundred usual calls.
const FOR_SMALL: usize = 6 << 20;

/// For all others: one of the largest, or some that are less large.
const FOR_LARGE: usize = MAX_REQUEST + UNIT;

/// A large message counts so many times: working on a document takes up to eight times its length (`tests/memory.rs`).
const WORK: usize = 8;

/// What is counted in.
const UNIT: usize = 1 << 10;

/// The stores; every clone is the same.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    crowd: Crowd,
}

/// What one message may take, until this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    _permit: OwnedSemaphorePermit,
    line: Arc<Line>,
}

impl Budget {
    pub(super) fn new(crowd: Crowd) -> Self {
        let store = |bytes: usize| Arc::new(Semaphore::new(bytes / UNIT));
        Self { small: store(FOR_SMALL), large: store(FOR_LARGE), crowd }
    }

    /// A share for a message, if there is enough at once.
    pub(super) fn share(&self, bytes: usize, line: &Arc<Line>) -> Option<Share> {
        let (store, units) = self.store(bytes);
        Some(Share::new(Arc::clone(store).try_acquire_many_owned(units).ok()?, line))
    }

    /// A share, as soon as there is enough; first come, first served.
    pub(super) async fn share_later(self, bytes: usize, line: Arc<Line>) -> Result<Share, AcquireError> {
        let (store, units) = self.store(bytes);
        Ok(Share::new(Arc::clone(store).acquire_many_owned(units).await?, &line))
    }

    /// Takes back what somebody holds for nothing.
    pub(super) fn relieve(&self) {
        self.crowd.relieve();
    }

    fn store(&self, bytes: usize) -> (&Arc<Semaphore>, u32) {
        let (store, counts) = match bytes {
            0..=SMALL => (&self.small, bytes),
            // The largest are refused by their length before they are worked on.
            _ => (&self.large, bytes.saturating_mul(WORK).min(FOR_LARGE)),
        };
        (store, u32::try_from(counts.div_ceil(UNIT)).unwrap_or(u32::MAX))
    }
}

impl Share {
    fn new(permit: OwnedSemaphorePermit, line: &Arc<Line>) -> Self {
        line.hold();
        Self { _permit: permit, line: Arc::clone(line) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.line.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_has_room_alone_and_small_ones_beside_it() {
        let budget = Budget::new(Crowd::default());
        let line = Arc::new(Line::default());
        let largest = budget.share(MAX_REQUEST, &line).unwrap();
        assert!(budget.share(SMALL + 1, &line).is_none());
        let small: Vec<_> = (0..100).map(|_| budget.share(60_000, &line).unwrap()).collect();
        assert!(budget.share(SMALL, &line).is_none());
        drop(largest);
        assert!(budget.share(MAX_REQUEST, &line).is_some());
        drop(small);
        assert!(budget.share(SMALL, &line).is_some());
    }
}
