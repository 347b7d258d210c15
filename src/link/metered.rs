//! A stream whose bytes are counted: more of them than the protocol can need is the end.
//!
//! Limits on messages do not stop a peer that sends frames which are none, such as pings, each of which the transport answers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use super::rate::Bucket;

/// What is counted in, in bytes.
const UNIT: usize = 16;

/// Ten of the longest messages and as much again; five times the window, for frames so small that they are mostly head.
const BURST: u32 = (320 << 10) / 16;

/// 16 bytes in a millisecond: each second one of the longest messages, or a thousand pings.
const EVERY: Duration = Duration::from_millis(1);

/// So much is read in one turn, in bytes. What comes is worked off between two turns, and headers of interim answers (1xx) are kept until
/// then, as many as there are.
const TURN: usize = 16 << 10;

/// Whether too much came; every clone is the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter(Arc<AtomicBool>);

impl Meter {
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream that breaks when too much comes.
#[derive(Debug)]
pub(super) struct Metered {
    stream: UnixStream,
    meter: Meter,
    bucket: Bucket,
    /// What was read since the last turn ended.
    turn: usize,
}

impl Metered {
    pub(super) fn new(stream: UnixStream, meter: Meter) -> Self {
        Self { stream, meter, bucket: Bucket::new(BURST, EVERY), turn: 0 }
    }
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.bucket.has_one() {
            self.meter.0.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(io::Error::other("too much was sent")));
        }
        if self.turn >= TURN {
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        if read > 0 {
            self.turn += read;
            // A piece counts as one unit at least: many small ones cost more than a large one.
            self.bucket.take(u32::try_from(read.div_ceil(UNIT)).unwrap_or(u32::MAX));
        }
        if polled.is_pending() {
            self.turn = 0;
        }
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn a_turn_ends_after_16_kib_and_another_follows() {
        const ALL: usize = 4 * TURN;
        const PIECE: usize = 4 << 10;
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&[7; ALL]).await.unwrap();
        let mut metered = Metered::new(ours, Meter::default());
        let (mut turns, mut all) = (Vec::new(), 0);
        poll_fn(|cx| {
            let mut turn = 0;
            loop {
                let mut bytes = [0; PIECE];
                let mut buf = ReadBuf::new(&mut bytes);
                match Pin::new(&mut metered).poll_read(cx, &mut buf) {
                    Poll::Ready(outcome) => outcome.unwrap(),
                    Poll::Pending => break,
                }
                turn += buf.filled().len();
            }
            turns.push(turn);
            all += turn;
            if all < ALL { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        assert_eq!(all, ALL);
        assert!(turns.iter().all(|turn| *turn < TURN + PIECE), "{turns:?}");
    }
}
