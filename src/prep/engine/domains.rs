//! Lock domains: plans that touch the same things run one after the other, others side by side.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};

/// The keys that are taken now.
#[derive(Debug, Default)]
pub(super) struct Domains {
    taken: Mutex<BTreeSet<String>>,
    freed: Condvar,
}

/// Keys that are taken until this is dropped.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    domains: &'a Domains,
    keys: BTreeSet<String>,
}

impl Domains {
    /// Waits until none of the keys is taken, and takes all of them at once: nobody ever waits with some in hand, so nobody waits for
    /// ever. Every plan ends within the deadlines of its actions.
    pub(super) fn take(&self, keys: impl IntoIterator<Item = String>) -> Taken<'_> {
        let keys: BTreeSet<String> = keys.into_iter().collect();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while !taken.is_disjoint(&keys) {
            taken = self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        taken.extend(keys.iter().cloned());
        Taken { domains: self, keys }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut taken = self.domains.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|key| !self.keys.contains(key));
        self.domains.freed.notify_all();
    }
}
