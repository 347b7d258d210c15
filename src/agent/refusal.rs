//! Why something was not given: remembered for people, and for the health of a device.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::DeviceId;
use super::moment::Moment;

/// A device that has been refused for so long is not healthy: kubelet shall give another.
pub(super) const LASTS: Duration = Duration::from_secs(30);

/// What was refused so long ago has nothing to do with a refusal of now: kubelet tries a pod again after five minutes at most.
const FORGOTTEN: Duration = Duration::from_secs(360);

/// The latest reasons, by device, and how many there were in all.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    by_id: BTreeMap<DeviceId, Refused>,
    /// By resource, since this program began.
    counts: BTreeMap<String, u64>,
}

/// A device that was refused and has not been given since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Why, the last time: one line.
    pub reason: String,
    /// The first time since it was last given.
    pub first: Moment,
    /// The last time.
    pub last: Moment,
    /// How often since then.
    pub times: u64,
    /// Whether the device itself is in the way, so that it makes no sense to ask for it again.
    pub of_device: bool,
}

impl Refusals {
    /// Takes one in.
    pub(super) fn add(&mut self, id: &DeviceId, resource: &str, reason: &str, of_device: bool, now: Moment) {
        *self.counts.entry(resource.to_owned()).or_default() += 1;
        let fresh = Refused { reason: String::new(), first: now, last: now, times: 0, of_device };
        let refused = self.by_id.entry(id.clone()).or_insert(fresh);
        // What came in between for another reason does not make this one older.
        if of_device && (!refused.of_device || now.since(refused.last) > FORGOTTEN) {
            refused.first = now;
        }
        *refused =
            Refused { reason: reason.to_owned(), last: now, times: refused.times + 1, of_device, ..refused.clone() };
    }

    /// It was given, or nothing is in the way any more.
    pub(super) fn clear(&mut self, id: &DeviceId) {
        self.by_id.remove(id);
    }

    /// Why a device is not healthy.
    pub(super) fn lasting(&self, id: &DeviceId) -> Option<&str> {
        let refused = self.by_id.get(id)?;
        let lasts = refused.of_device && refused.last.since(refused.first) >= LASTS;
        lasts.then_some(refused.reason.as_str())
    }

    /// Devices that are in their own way.
    pub(super) fn ids(&self) -> Vec<DeviceId> {
        self.by_id.keys().cloned().collect()
    }

    /// All of them, by device.
    pub fn all(&self) -> &BTreeMap<DeviceId, Refused> {
        &self.by_id
    }

    /// How many there were, by resource.
    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_no_longer_healthy() {
        let id: DeviceId = "0000:3b:00.0-00000001".parse().unwrap();
        let mut refusals = Refusals::default();
        refusals.add(&id, "a/b", "kubelet has not said whose it is", false, Moment(0));
        refusals.add(&id, "a/b", "in use", true, Moment(40_000));
        assert_eq!(refusals.lasting(&id), None, "what is not the device's does not count");
        refusals.add(&id, "a/b", "in use", true, Moment(70_000));
        assert_eq!(refusals.lasting(&id), Some("in use"));
        assert_eq!((refusals.counts()["a/b"], refusals.all()[&id].times), (3, 3));
        refusals.add(&id, "a/b", "in use", true, Moment(430_001));
        assert_eq!(refusals.lasting(&id), None, "a refusal of long ago is another one");
        refusals.clear(&id);
        assert_eq!(refusals.lasting(&id), None);
    }
}
