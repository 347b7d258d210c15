//! Connections as they come.

use std::future::Future as _;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;

use super::caller::Caller;

/// How long to wait when a connection cannot be accepted. The usual reason is that there are no file descriptors left, and then the
/// next attempt would fail at once, for ever.
const PAUSE: Duration = Duration::from_millis(50);

/// The connections of a socket. Never ends and never fails.
#[derive(Debug)]
pub(super) struct Incoming {
    listener: UnixListener,
    pause: Option<Pin<Box<Sleep>>>,
    /// Whether the last attempt failed: told once, not every time.
    failing: bool,
}

impl Incoming {
    pub(super) fn new(listener: StdListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, pause: None, failing: false })
    }
}

impl Stream for Incoming {
    type Item = io::Result<Caller>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(cx)) {
                Ok((stream, _)) => {
                    self.failing = false;
                    return Poll::Ready(Some(Ok(Caller::new(stream))));
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::warn!(%error, "cannot accept a connection; trying on");
                    }
                    self.pause = Some(Box::pin(sleep(PAUSE)));
                }
            }
        }
    }
}
