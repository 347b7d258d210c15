//! Everybody who is connected, and whom to send away when there is no room for the next.
//!
//! virt-launcher opens a connection, makes one call and closes it. Whoever stays without that is sent away first, and only when a
//! newcomer needs the place: a call that is being answered is never cut for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// So many connections at once; KubeVirt has one. Whoever comes while so many have calls waits at the door. Each may have 64 KiB sent
/// before anything is read (HTTP/2's least window), which with all around it was measured at 190 KiB.
const MOST: usize = 64;

/// Nobody is sent away sooner: a caller that is right sends its call at once, but may have to wait for the processor.
const GRACE: Duration = Duration::from_millis(500);

/// How long memory may be held by somebody who does not go on while others wait for it. A whole message takes milliseconds.
const IDLE: Duration = Duration::from_secs(1);

/// How long the log is silent about the next of a kind.
const SILENCE: Duration = Duration::from_secs(10);

/// From this age on even a connection with a call may be sent away for a newcomer: no call takes so long.
const OLD: Duration = Duration::from_secs(30);

/// One connection, as long as somebody has it.
#[derive(Debug)]
pub(super) struct Line {
    came: Instant,
    /// Set once; whoever reads from the connection is woken and ends it.
    cut: AtomicBool,
    reader: Mutex<Option<Waker>>,
    ways: Mutex<Ways>,
}

/// What a connection is busy with.
#[derive(Debug, Default)]
struct Ways {
    /// Calls that came whole and are not answered yet: it is our turn.
    ours: usize,
    /// When a call was last answered.
    answered: Option<Instant>,
    /// Shares of memory, and since when there are any and it is not our turn.
    shares: usize,
    since: Option<Instant>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            came: Instant::now(),
            cut: AtomicBool::new(false),
            reader: Mutex::new(None),
            ways: Mutex::new(Ways::default()),
        }
    }
}

impl Line {
    /// A call is there as a whole.
    pub(super) fn begin(&self) {
        lock(&self.ways).ours += 1;
    }

    /// A call that was there is done with, answered or dropped.
    pub(super) fn end(&self, answered: bool) {
        let mut ways = lock(&self.ways);
        ways.ours = ways.ours.saturating_sub(1);
        if answered {
            ways.answered = Some(Instant::now());
        }
        // From here on it is the caller's turn.
        ways.since = ways.since.map(|_| Instant::now());
    }

    /// Memory is given to it.
    pub(super) fn hold(&self) {
        let mut ways = lock(&self.ways);
        ways.shares += 1;
        ways.since.get_or_insert_with(Instant::now);
    }

    /// Memory comes back from it.
    pub(super) fn release(&self) {
        let mut ways = lock(&self.ways);
        ways.shares = ways.shares.saturating_sub(1);
        if ways.shares == 0 {
            ways.since = None;
        }
    }

    /// Whether it is to end; if not, whoever asks is woken when it is.
    pub(super) fn is_cut(&self, cx: &Context<'_>) -> bool {
        if self.cut.load(Ordering::Acquire) {
            return true;
        }
        let mut reader = lock(&self.reader);
        if reader.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
            *reader = Some(cx.waker().clone());
        }
        self.cut.load(Ordering::Acquire)
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        if let Some(reader) = lock(&self.reader).take() {
            reader.wake();
        }
    }

    fn lives(&self) -> bool {
        !self.cut.load(Ordering::Acquire)
    }

    /// How soon it goes when a place is needed, lowest first; none if it may stay.
    fn rank(&self, now: Instant) -> Option<u8> {
        let age = |since| now.saturating_duration_since(since);
        let ways = lock(&self.ways);
        match (ways.ours, ways.answered) {
            // It has had what it came for, and only forgot to go; nothing of it is on its way.
            (0, Some(answered)) if ways.shares == 0 => (age(answered) > GRACE).then_some(0),
            (0, _) => (age(self.came) > 2 * GRACE).then_some(1),
            _ => (age(self.came) > OLD).then_some(2),
        }
    }

    /// Since when it holds memory without our being the reason.
    fn idle_since(&self) -> Option<Instant> {
        let ways = lock(&self.ways);
        if ways.ours == 0 { ways.since } else { None }
    }
}

/// All connections; every clone is the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Crowd {
    lines: Arc<Mutex<Vec<Arc<Line>>>>,
    told: Arc<Mutex<Told>>,
}

/// When the log was last told that somebody was sent away, for each reason: a flood of callers must not become one of lines.
#[derive(Debug, Default)]
struct Told {
    no_room: Option<Instant>,
    no_memory: Option<Instant>,
    /// When the last of those who have left was answered.
    answered: Option<Instant>,
}

impl Crowd {
    /// Lets one in.
    pub(super) fn enter(&self) -> Arc<Line> {
        let line = Arc::new(Line::default());
        lock(&self.lines).push(Arc::clone(&line));
        line
    }

    /// One has ended.
    pub(super) fn leave(&self, line: &Arc<Line>) {
        lock(&self.lines).retain(|known| !Arc::ptr_eq(known, line));
        let answered = lock(&line.ways).answered;
        let mut told = lock(&self.told);
        told.answered = told.answered.max(answered);
    }

    /// Whether there is room for one more, after sending somebody away if need be.
    pub(super) fn has_room(&self) -> bool {
        lock(&self.lines).iter().filter(|line| line.lives()).count() < MOST || self.send_one_away()
    }

    /// Ends the connection that has the least reason to be there, if there is one.
    pub(super) fn send_one_away(&self) -> bool {
        let now = Instant::now();
        let lines = lock(&self.lines);
        let left = lock(&self.told).answered;
        let last = lines.iter().filter_map(|line| lock(&line.ways).answered).max().max(left);
        // As long as calls are answered there are only many: places will be free, and who waits for his turn is not to blame.
        let moves = last.is_some_and(|last| now.saturating_duration_since(last) < GRACE);
        let rank = |line: &Arc<Line>| line.rank(now).filter(|rank| *rank == 0 || !moves);
        let ranked = lines.iter().filter(|line| line.lives()).filter_map(|line| Some((rank(line)?, line)));
        match ranked.min_by_key(|(rank, line)| (*rank, line.came)) {
            Some((_, line)) => {
                if is_news(&mut lock(&self.told).no_room) {
                    tracing::warn!(
                        most = MOST,
                        "no room for another connection: an old one that makes no call is ended"
                    );
                }
                line.cut();
                true
            }
            None => false,
        }
    }

    /// Ends the connection that has held memory for longest and does nothing with it, if that is too long.
    pub(super) fn relieve(&self) {
        let lines = lock(&self.lines);
        let idle = lines.iter().filter(|line| line.lives()).filter_map(|line| Some((line.idle_since()?, line)));
        if let Some((since, line)) = idle.min_by_key(|(since, _)| *since)
            && since.elapsed() > IDLE
        {
            if is_news(&mut lock(&self.told).no_memory) {
                tracing::warn!(
                    "no memory for another message: a connection that holds some and does not go on is ended"
                );
            }
            line.cut();
        }
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
        let came = Instant::now().checked_sub(age).unwrap();
        let line = Arc::new(Line { came, ..Line::default() });
        lock(&crowd.lines).push(Arc::clone(&line));
        line
    }

    #[test]
    fn the_oldest_without_a_call_goes_first_and_who_is_being_answered_stays() {
        let crowd = Crowd::default();
        let busy = aged(&crowd, Duration::from_secs(9));
        busy.begin();
        let served = aged(&crowd, Duration::from_secs(8));
        served.begin();
        served.end(true);
        let silent = aged(&crowd, Duration::from_secs(7));
        let later = aged(&crowd, Duration::from_secs(6));
        let fresh = aged(&crowd, Duration::ZERO);
        // Somebody was answered just now: that one may still be reading, and the others will have their turn.
        assert!(!crowd.send_one_away());
        lock(&served.ways).answered = Instant::now().checked_sub(2 * GRACE);
        for gone in [&served, &silent, &later] {
            assert!(gone.lives() && crowd.send_one_away() && !gone.lives());
        }
        assert!(!crowd.send_one_away());
        assert!(busy.lives() && fresh.lives());
        // Nothing takes half a minute.
        let hanging = aged(&crowd, 2 * OLD);
        hanging.begin();
        assert!(crowd.send_one_away() && !hanging.lives());
    }

    #[test]
    fn there_is_room_for_so_many() {
        let crowd = Crowd::default();
        let fresh: Vec<_> = (0..MOST).map(|_| crowd.enter()).collect();
        assert!(!crowd.has_room(), "nobody has had time for a call");
        crowd.leave(&fresh[0]);
        assert!(crowd.has_room());
        aged(&crowd, Duration::from_secs(2));
        assert!(crowd.has_room());
        assert!(!crowd.has_room() || lock(&crowd.lines).iter().filter(|line| line.lives()).count() < MOST);
    }

    #[test]
    fn memory_that_lies_idle_is_taken_back() {
        let crowd = Crowd::default();
        let idle = crowd.enter();
        idle.hold();
        crowd.relieve();
        assert!(idle.lives());
        lock(&idle.ways).since = Instant::now().checked_sub(2 * IDLE);
        // Not while it is our turn.
        idle.begin();
        crowd.relieve();
        assert!(idle.lives());
        // Our time does not count as the caller's.
        idle.end(true);
        crowd.relieve();
        assert!(idle.lives());
        lock(&idle.ways).since = Instant::now().checked_sub(2 * IDLE);
        crowd.relieve();
        assert!(!idle.lives());
    }
}
