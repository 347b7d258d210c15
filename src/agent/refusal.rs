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

/// What was in the way of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// Whoever asked for it: the device itself is as good as before.
    Request,
    /// Something that a look at the node shows: it is gone when a look shows it no more.
    Obstacle,
    /// Trying it failed, which no look foretells: it makes no sense to ask for it again for a while.
    Attempt,
}

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
    /// What was in the way, the last time.
    pub cause: Cause,
}

impl Refusals {
    /// Takes one in.
    pub(super) fn add(&mut self, id: &DeviceId, resource: &str, reason: &str, cause: Cause, now: Moment) {
        *self.counts.entry(resource.to_owned()).or_default() += 1;
        let fresh = Refused { reason: String::new(), first: now, last: now, times: 0, cause };
        let refused = self.by_id.entry(id.clone()).or_insert(fresh);
        // What came in between for another reason does not make this one older.
        if cause != Cause::Request && (refused.cause == Cause::Request || now.since(refused.last) > FORGOTTEN) {
            refused.first = now;
        }
        *refused = Refused { reason: reason.to_owned(), last: now, times: refused.times + 1, cause, ..refused.clone() };
    }

    /// It was given, or nothing is in the way any more.
    pub(super) fn clear(&mut self, id: &DeviceId) {
        self.by_id.remove(id);
    }

    /// Why a device is not healthy now. What failed is not held against it for ever: nobody tries what is not offered.
    pub(super) fn lasting(&self, id: &DeviceId, now: Moment) -> Option<&str> {
        let refused = self.by_id.get(id)?;
        let counts = match refused.cause {
            Cause::Request => false,
            Cause::Obstacle => true,
            Cause::Attempt => now.since(refused.last) <= FORGOTTEN,
        };
        let lasts = counts && refused.last.since(refused.first) >= LASTS;
        lasts.then_some(refused.reason.as_str())
    }

    /// Devices that are not healthy for something which a look may show to be gone.
    pub(super) fn obstructed(&self, now: Moment) -> Vec<DeviceId> {
        let obstructed = self.by_id.iter().filter(|(_, refused)| refused.cause == Cause::Obstacle);
        obstructed.map(|(id, _)| id).filter(|id| self.lasting(id, now).is_some()).cloned().collect()
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
        let mut add = |reason, cause, at| {
            refusals.add(&id, "a/b", reason, cause, Moment(at));
            (refusals.lasting(&id, Moment(at)).map(str::to_owned), refusals.obstructed(Moment(at)).len())
        };
        assert_eq!(add("kubelet has not said whose it is", Cause::Request, 0), (None, 0));
        assert_eq!(add("in use", Cause::Obstacle, 40_000), (None, 0), "what is not the device's does not count");
        assert_eq!(add("in use", Cause::Obstacle, 70_000), (Some("in use".to_owned()), 1));
        assert_eq!((refusals.counts()["a/b"], refusals.all()[&id].times), (3, 3));
        assert_eq!(refusals.lasting(&id, Moment(9_000_000)), Some("in use"), "until it is looked at");
        refusals.add(&id, "a/b", "in use", Cause::Obstacle, Moment(430_001));
        assert_eq!(refusals.lasting(&id, Moment(430_001)), None, "a refusal of long ago is another one");
        refusals.clear(&id);
        assert_eq!(refusals.lasting(&id, Moment(430_001)), None);
    }

    #[test]
    fn what_failed_is_no_longer_healthy_until_it_is_forgotten() {
        let id: DeviceId = "0000:3b:00.0-00000001".parse().unwrap();
        let mut refusals = Refusals::default();
        for at in [0, 30_000] {
            refusals.add(&id, "a/b", "EIO", Cause::Attempt, Moment(at));
        }
        assert_eq!(refusals.obstructed(Moment(30_000)), [], "no look says anything of it");
        assert_eq!(
            [30_000, 390_000, 390_001].map(|at| refusals.lasting(&id, Moment(at)).is_some()),
            [true, true, false]
        );
        refusals.add(&id, "a/b", "EIO", Cause::Attempt, Moment(390_001));
        assert_eq!(refusals.lasting(&id, Moment(390_001)), None, "it was offered, and begins anew");
    }
}
