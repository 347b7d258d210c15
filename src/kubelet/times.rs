//! How long things take, and how long we wait for them.

use std::time::Duration;

/// What is waited for, and how long. [`Times::default`] is right for a node; tests are in a hurry.
#[derive(Debug, Clone)]
pub struct Times {
    /// For kubelet's answer to a registration. kubelet dials back first, and gives that 10 s (`plugin/v1beta1/client.go`).
    pub register: Duration,
    /// Between the end of our lists and a new registration: a kubelet that notices the end later takes it for the end of the new
    /// registration (`plugin/v1beta1/handler.go`, `runClient`).
    pub settle: Duration,
    /// How long kubelet may be without our list before we register again; twice as long after each time that did not help.
    pub quiet: Duration,
    /// How long a list has to be read for the registration to have helped.
    pub calm: Duration,
    /// The longest pause between attempts of any kind.
    pub longest: Duration,
    /// How long a container waits for its devices before it is told to ask again. kubelet gives up after 30 s, with a line that says
    /// nothing.
    pub patience: Duration,
    /// How long calls under way may take after an end was asked for.
    pub drain: Duration,
    /// How often the folder is looked at although the system would tell of a change.
    pub rescan: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            register: Duration::from_secs(15),
            settle: Duration::from_millis(500),
            quiet: Duration::from_secs(1),
            calm: Duration::from_secs(10),
            longest: Duration::from_secs(30),
            patience: Duration::from_secs(25),
            drain: Duration::from_secs(3),
            rescan: Duration::from_secs(30),
        }
    }
}

/// Pauses that double, from one that is given.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The pause before the next attempt.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }

    /// All is well, or all is new.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let pauses: Vec<u64> = (0..5).map(|_| backoff.pause().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 5, 5]);
        backoff.reset();
        assert_eq!(backoff.pause().as_secs(), 1);
    }
}
