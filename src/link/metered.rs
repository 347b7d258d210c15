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
}

impl Metered {
    pub(super) fn new(stream: UnixStream, meter: Meter) -> Self {
        Self { stream, meter, bucket: Bucket::new(BURST, EVERY) }
    }
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.bucket.has_one() {
            self.meter.0.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(io::Error::other("too much was sent")));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        if read > 0 {
            // A piece counts as one unit at least: many small ones cost more than a large one.
            self.bucket.take(u32::try_from(read.div_ceil(UNIT)).unwrap_or(u32::MAX));
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
