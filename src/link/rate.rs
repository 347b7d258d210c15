//! So much at once, then so much a second.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket of tokens, kept as the time at which it is full again.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    burst: u32,
    /// One token.
    every: Duration,
    full: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(burst: u32, every: Duration) -> Self {
        Self { burst, every, full: Instant::now() }
    }

    /// Takes tokens, whether they are there or not.
    pub(super) fn take(&mut self, tokens: u32) {
        self.full = self.full.max(Instant::now()) + self.every * tokens;
    }

    /// When there is a token, which may have been some time ago.
    pub(super) fn ready(&self) -> Instant {
        let most = self.every * self.burst.saturating_sub(1);
        self.full.checked_sub(most).unwrap_or(self.full)
    }

    /// Whether there is a token.
    pub(super) fn has_one(&self) -> bool {
        self.ready() <= Instant::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_at_once_then_one_a_second() {
        let mut bucket = Bucket::new(10, Duration::from_secs(1));
        let mut taken = Vec::new();
        let begin = Instant::now();
        for _ in 0..13 {
            tokio::time::sleep_until(bucket.ready()).await;
            assert!(bucket.has_one());
            bucket.take(1);
            taken.push(begin.elapsed().as_secs());
        }
        assert_eq!(taken, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
        // What was not used is kept, and no more than ten.
        tokio::time::sleep(Duration::from_secs(100)).await;
        for _ in 0..10 {
            assert!(bucket.has_one());
            bucket.take(1);
        }
        assert!(!bucket.has_one());
    }
}
