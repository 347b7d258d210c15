//! One connection: what it is busy with, and whether it may stay when others need what it has.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// Nobody who has begun a call is sent away sooner, and nobody who may still be reading an answer.
pub(super) const GRACE: Duration = Duration::from_millis(500);

/// How long a connection may stay without beginning a call once all are taken. virt-launcher begins one in milliseconds.
const BRIEF: Duration = Duration::from_millis(100);

/// How long a message may keep a seat while others wait for one and nobody in a seat is answered: a usual one takes milliseconds.
const TURN: Duration = Duration::from_secs(2);

/// How long even if others are answered.
const LONG_TURN: Duration = Duration::from_secs(5);

/// From this age on a connection may be sent away whatever it does: no call takes so long.
const OLD: Duration = Duration::from_secs(30);

/// One connection, as long as somebody has it.
#[derive(Debug)]
pub(super) struct Line {
    came: Instant,
    /// Set once; whoever reads from the connection is woken and ends it.
    cut: AtomicBool,
    reader: Mutex<Option<Waker>>,
    /// Whether root is at the other end.
    root: bool,
    /// Whether it is the agent's link, which stays for as long as it likes.
    link: AtomicBool,
    ways: Mutex<Ways>,
}

/// What a connection is busy with.
#[derive(Debug, Default)]
struct Ways {
    /// Whether there ever was a call.
    begun: bool,
    seat: Seat,
    /// Calls that came whole and are not answered yet: it is our turn.
    ours: usize,
    /// When a call was last answered.
    answered: Option<Instant>,
    /// Shares of memory, and since when there are any and it is not our turn.
    shares: usize,
    since: Option<Instant>,
}

/// What a connection needs to send more than a little.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Seat {
    #[default]
    None,
    Wanted,
    Taken(Instant),
}

impl Default for Line {
    fn default() -> Self {
        Self {
            came: Instant::now(),
            cut: AtomicBool::new(false),
            reader: Mutex::new(None),
            root: false,
            link: AtomicBool::new(false),
            ways: Mutex::new(Ways::default()),
        }
    }
}

impl Line {
    /// One that may be an agent's.
    pub(super) fn of_root() -> Self {
        Self { root: true, ..Self::default() }
    }

    /// Whether it may become the agent's link.
    pub(super) fn may_link(&self) -> bool {
        self.root
    }

    /// It is the agent's link from now on.
    pub(super) fn becomes_link(&self) {
        self.link.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_link(&self) -> bool {
        self.link.load(Ordering::Relaxed)
    }

    /// The head of a call is there.
    pub(super) fn call(&self) {
        lock(&self.ways).begun = true;
    }

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

    /// It has more to say, and waits for a seat.
    pub(super) fn wants_seat(&self) {
        lock(&self.ways).seat = Seat::Wanted;
    }

    /// It has one, until it ends.
    pub(super) fn is_seated(&self) {
        lock(&self.ways).seat = Seat::Taken(Instant::now());
    }

    /// Whether it is kept waiting for a seat: it is not to blame that nothing comes.
    pub(super) fn is_kept_waiting(&self) -> bool {
        lock(&self.ways).seat == Seat::Wanted
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

    /// Ends it.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        if let Some(reader) = lock(&self.reader).take() {
            reader.wake();
        }
    }

    pub(super) fn lives(&self) -> bool {
        !self.cut.load(Ordering::Acquire)
    }

    pub(super) fn came(&self) -> Instant {
        self.came
    }

    /// When a call of somebody in a seat was last answered.
    pub(super) fn answered_seated(&self) -> Option<Instant> {
        let ways = lock(&self.ways);
        if matches!(ways.seat, Seat::Taken(_)) { ways.answered } else { None }
    }

    /// How soon it goes when there is no room for another connection, lowest first; none if it may stay.
    pub(super) fn rank_at_the_door(&self, now: Instant) -> Option<u8> {
        if self.is_link() {
            return None;
        }
        let age = |since| now.saturating_duration_since(since);
        let ways = lock(&self.ways);
        match ways.ours {
            0 if !ways.begun => (age(self.came) > BRIEF).then_some(0),
            0 => match ways.has_gone_quiet(now) {
                Some(is_quiet) => is_quiet.then_some(1),
                None => (age(self.came) > 2 * GRACE).then_some(2),
            },
            _ => (age(self.came) > OLD).then_some(3),
        }
    }

    /// How soon it goes when somebody needs its seat, lowest first; none if it may stay. `moves`: somebody in a seat was answered
    /// just now, so that seats will be free, and who waits for his turn on a busy machine is not to blame.
    pub(super) fn rank_in_seat(&self, now: Instant, moves: bool) -> Option<u8> {
        if self.is_link() {
            return None;
        }
        let age = |since| now.saturating_duration_since(since);
        let ways = lock(&self.ways);
        let Seat::Taken(seated) = ways.seat else { return None };
        match ways.ours {
            0 => match ways.has_gone_quiet(now) {
                Some(true) => Some(0),
                // Neither a message that never ends nor one after the other keeps a seat.
                Some(false) => (age(seated) > 2 * LONG_TURN).then_some(1),
                None => {
                    let turn = age(ways.answered.map_or(seated, |answered| answered.max(seated)));
                    let is_long = turn > LONG_TURN || (turn > TURN && !moves) || age(seated) > 2 * LONG_TURN;
                    is_long.then_some(1)
                }
            },
            _ => (age(seated) > OLD).then_some(2),
        }
    }

    /// Since when it holds memory without our being the reason.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let ways = lock(&self.ways);
        if ways.ours == 0 { ways.since } else { None }
    }

    /// One that came earlier, for tests.
    #[cfg(test)]
    pub(super) fn aged(age: Duration) -> Self {
        Self { came: Instant::now().checked_sub(age).unwrap(), ..Self::default() }
    }

    /// Lets all that happened have happened earlier, for tests.
    #[cfg(test)]
    pub(super) fn ago(&self, age: Duration) {
        let mut ways = lock(&self.ways);
        let earlier = |time: Instant| time.checked_sub(age).unwrap();
        ways.answered = ways.answered.map(earlier);
        ways.since = ways.since.map(earlier);
        if let Seat::Taken(seated) = &mut ways.seat {
            *seated = earlier(*seated);
        }
    }
}

impl Ways {
    /// Of one that has had what it came for, with nothing of it on its way: whether that is a while ago. None of all others.
    fn has_gone_quiet(&self, now: Instant) -> Option<bool> {
        let answered = self.answered.filter(|_| self.shares == 0)?;
        Some(now.saturating_duration_since(answered) > GRACE)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is a single step, so there is nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
