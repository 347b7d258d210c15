//! Everybody who is connected, and whom to send away when there is no room for the next.
//!
//! virt-launcher opens a connection, makes one call and closes it. A connection costs little as long as little is read from it, so
//! there is room for many that have said less than [`FREE`] bytes: Info and Shutdown, and all that a silent caller says, need no more.
//! Whoever has more to say needs one of fewer seats, first come, first served. Whoever stays without need is sent away first, and
//! only when a newcomer needs the place: a call that is being answered is never cut for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::line::{GRACE, Line};

/// So many connections at once; KubeVirt has one, and a hundred starts at once, or one beside two hundred who are silent, find room
/// without anybody's being sent away.
const MOST: usize = 208;

/// So many of them may send more than [`FREE`] bytes. Each may have 64 KiB sent before anything of it is answered (HTTP/2's least
/// window), which with all around it was measured at 190 KiB.
const SEATS: usize = 64;

/// So much is read from a connection without a seat: HTTP/2's beginning and the head of a call, which have some hundred bytes.
pub(super) const FREE: usize = 4 << 10;

/// How long memory may be held by somebody who does not go on while others wait for it. A whole message takes milliseconds.
const IDLE: Duration = Duration::from_secs(1);

/// How long the log is silent about the next of a kind.
const SILENCE: Duration = Duration::from_secs(10);

/// All connections; every clone is the same.
#[derive(Debug, Clone)]
pub(super) struct Crowd {
    lines: Arc<Mutex<Vec<Arc<Line>>>>,
    seats: Arc<Semaphore>,
    told: Arc<Mutex<Told>>,
}

/// When the log was last told that somebody was sent away, for each reason: a flood of callers must not become one of lines.
#[derive(Debug, Default)]
struct Told {
    no_room: Option<Instant>,
    no_seat: Option<Instant>,
    no_memory: Option<Instant>,
    /// When the last in a seat was answered, of those who have left.
    answered: Option<Instant>,
}

impl Default for Crowd {
    fn default() -> Self {
        let (lines, told) = Default::default();
        Self { lines, told, seats: Arc::new(Semaphore::new(SEATS)) }
    }
}

impl Crowd {
    /// Lets one in.
    pub(super) fn enter(&self, line: Line) -> Arc<Line> {
        let line = Arc::new(line);
        lock(&self.lines).push(Arc::clone(&line));
        line
    }

    /// One has ended.
    pub(super) fn leave(&self, line: &Arc<Line>) {
        lock(&self.lines).retain(|known| !Arc::ptr_eq(known, line));
        let mut told = lock(&self.told);
        told.answered = told.answered.max(line.answered_seated());
    }

    /// Whether there is room for one more, after sending somebody away if need be.
    pub(super) fn has_room(&self) -> bool {
        lock(&self.lines).iter().filter(|line| line.lives()).count() < MOST || self.send_one_away()
    }

    /// Ends the connection that has the least reason to be there, if there is one.
    pub(super) fn send_one_away(&self) -> bool {
        let now = Instant::now();
        let gone = self.cut_one(|line| Some((line.rank_at_the_door(now)?, line.came())));
        if gone && is_news(&mut lock(&self.told).no_room) {
            tracing::warn!(most = MOST, "no room for another connection: an old one that makes no call is ended");
        }
        gone
    }

    /// A seat as soon as there is one.
    pub(super) async fn seat(self) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.seats.acquire_owned().await
    }

    /// Ends the connection that has the least reason to keep its seat, if there is one.
    pub(super) fn free_a_seat(&self) {
        let now = Instant::now();
        let here = lock(&self.lines).iter().filter_map(|line| line.answered_seated()).max();
        let last = here.max(lock(&self.told).answered);
        let moves = last.is_some_and(|last| now.saturating_duration_since(last) < GRACE);
        let gone = self.cut_one(|line| Some((line.rank_in_seat(now, moves)?, line.came())));
        if gone && is_news(&mut lock(&self.told).no_seat) {
            tracing::warn!(
                most = SEATS,
                "too many messages at once: a connection whose message does not get whole is ended"
            );
        }
    }

    /// Ends the connection that has held memory for longest and does nothing with it, if that is too long.
    pub(super) fn relieve(&self) {
        let gone = self.cut_one(|line| line.idle_since().filter(|since| since.elapsed() > IDLE));
        if gone && is_news(&mut lock(&self.told).no_memory) {
            tracing::warn!("no memory for another message: a connection that holds some and does not go on is ended");
        }
    }

    /// Ends the one with the lowest key, if any has one.
    fn cut_one<K: Ord>(&self, key: impl Fn(&Line) -> Option<K>) -> bool {
        let lines = lock(&self.lines);
        let keyed = lines.iter().filter(|line| line.lives()).filter_map(|line| Some((key(line)?, line)));
        let first = keyed.min_by(|(one, _), (other, _)| one.cmp(other));
        first.inspect(|(_, line)| line.cut()).is_some()
    }
}

/// Whether the log is to be told again, which is then noted.
fn is_news(last: &mut Option<Instant>) -> bool {
    let is_news = last.is_none_or(|last| last.elapsed() > SILENCE);
    if is_news {
        *last = Some(Instant::now());
    }
    is_news
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is a single step, so there is nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aged(crowd: &Crowd, age: Duration) -> Arc<Line> {
        let line = Arc::new(Line::aged(age));
        lock(&crowd.lines).push(Arc::clone(&line));
        line
    }

    #[test]
    fn who_never_began_a_call_goes_first_and_who_is_being_answered_stays() {
        let crowd = Crowd::default();
        let busy = aged(&crowd, Duration::from_secs(9));
        busy.call();
        busy.begin();
        let served = aged(&crowd, Duration::from_secs(8));
        served.call();
        served.begin();
        served.end(true);
        let halting = aged(&crowd, Duration::from_secs(7));
        halting.call();
        let silent = aged(&crowd, Duration::from_secs(6));
        let later = aged(&crowd, Duration::from_millis(200));
        let fresh = aged(&crowd, Duration::ZERO);
        // It may still be reading.
        let reading = aged(&crowd, Duration::from_secs(9));
        reading.call();
        reading.begin();
        reading.end(true);
        served.ago(2 * GRACE);
        for gone in [&silent, &later, &served, &halting] {
            assert!(gone.lives() && crowd.send_one_away() && !gone.lives());
        }
        assert!(!crowd.send_one_away());
        assert!(busy.lives() && fresh.lives() && reading.lives());
        // Nothing takes half a minute.
        let hanging = aged(&crowd, Duration::from_secs(60));
        hanging.call();
        hanging.begin();
        assert!(crowd.send_one_away() && !hanging.lives());
    }

    #[test]
    fn there_is_room_for_so_many() {
        let crowd = Crowd::default();
        let fresh: Vec<_> = (0..MOST).map(|_| crowd.enter(Line::default())).collect();
        assert!(!crowd.has_room(), "nobody has had time for a call");
        crowd.leave(&fresh[0]);
        assert!(crowd.has_room());
        aged(&crowd, Duration::from_secs(2));
        assert!(crowd.has_room());
        assert!(!crowd.has_room() || lock(&crowd.lines).iter().filter(|line| line.lives()).count() < MOST);
    }

    #[test]
    fn a_seat_is_for_one_message_and_not_for_long() {
        let crowd = Crowd::default();
        let seated = |age| {
            let line = crowd.enter(Line::default());
            line.call();
            line.is_seated();
            line.ago(age);
            line
        };
        let stands = aged(&crowd, Duration::from_secs(9));
        stands.wants_seat();
        let slow = seated(Duration::from_secs(3));
        let busy = seated(Duration::from_secs(9));
        busy.begin();
        let fresh = seated(Duration::from_secs(1));
        // Somebody in a seat is answered: things move.
        let done = seated(Duration::from_secs(1));
        done.begin();
        done.end(true);
        crowd.free_a_seat();
        assert!([&stands, &slow, &busy, &fresh, &done].iter().all(|line| line.lives()));
        // No longer: first who has had his answer, then who does not go on.
        done.ago(2 * GRACE);
        for gone in [&done, &slow] {
            crowd.free_a_seat();
            assert!(!gone.lives());
        }
        crowd.free_a_seat();
        assert!([&stands, &busy, &fresh].iter().all(|line| line.lives()));
        // Whoever lets others be answered all the time keeps no seat by that, and neither does who makes one call after the other.
        for age in [6, 11] {
            let answered = seated(Duration::from_secs(age));
            if age > 10 {
                answered.begin();
                answered.end(true);
            }
            crowd.free_a_seat();
            assert!(!answered.lives(), "{age}");
        }
        assert!(busy.lives() && fresh.lives());
    }

    #[test]
    fn memory_that_lies_idle_is_taken_back() {
        let crowd = Crowd::default();
        let idle = crowd.enter(Line::default());
        idle.hold();
        crowd.relieve();
        assert!(idle.lives());
        idle.ago(2 * IDLE);
        // Not while it is our turn.
        idle.begin();
        crowd.relieve();
        assert!(idle.lives());
        // Our time does not count as the caller's.
        idle.end(true);
        crowd.relieve();
        assert!(idle.lives());
        idle.ago(2 * IDLE);
        crowd.relieve();
        assert!(!idle.lives());
    }
}
