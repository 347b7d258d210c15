//! The pods that have said that their VM is over.
//!
//! Such a pod is prepared no more: else it could have services stopped and started for ever. It is no loss. KubeVirt calls the Shutdown
//! hook when QEMU has gone, and the pod ends (KubeVirt: cmd/virt-launcher); a VM that starts again has a pod with another uid. Only an agent
//! that was started anew does not know of them: that is one more time, at most.

use std::collections::{BTreeMap, BTreeSet};

use super::Moment;
use super::tenancy::PodUid;

/// So many are known at once: several times as many as a node has pods.
const MOST: usize = 1024;

/// Which, and since when.
#[derive(Debug, Default)]
pub(super) struct Over(BTreeMap<PodUid, Moment>);

impl Over {
    /// Notes one; of too many the oldest is forgotten.
    pub(super) fn note(&mut self, uid: &str, now: Moment) {
        if self.0.len() >= MOST
            && !self.contains(uid)
            && let Some((oldest, _)) = self.0.iter().min_by_key(|(_, since)| **since)
        {
            let oldest = oldest.clone();
            self.0.remove(&oldest);
        }
        self.0.entry(uid.to_owned()).or_insert(now);
    }

    pub(super) fn contains(&self, uid: &str) -> bool {
        self.0.contains_key(uid)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets all but those with a control group, by a look that began then: whoever has come since may not be in it.
    pub(super) fn only(&mut self, groups: &BTreeSet<PodUid>, began: Moment) {
        self.0.retain(|uid, since| groups.contains(uid) || *since >= began);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_the_pod_is_gone() {
        let mut over = Over::default();
        over.note("a", Moment(5));
        over.note("a", Moment(7));
        over.only(&["a".to_owned()].into(), Moment(6));
        over.only(&BTreeSet::new(), Moment(5));
        assert!(over.contains("a"));
        over.only(&BTreeSet::new(), Moment(6));
        assert!(over.is_empty(), "since when it is over does not change");
    }

    #[test]
    fn not_without_end() {
        let mut over = Over::default();
        for number in 0..2000 {
            over.note(&format!("pod-{number}"), Moment(number));
        }
        assert_eq!(over.0.len(), MOST);
        assert!(over.contains("pod-1999") && !over.contains("pod-0"));
    }
}
