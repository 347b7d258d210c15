//! Connections as they come.

use std::future::Future as _;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;

use super::caller::Caller;
use super::crowd::Crowd;

/// How long to wait when a connection cannot be accepted, or when there are too many and none of them can be ended yet. The usual reason
/// is that there are no file descriptors left, and then the next attempt would fail at once, for ever.
const PAUSE: Duration = Duration::from_millis(50);

/// How long to wait for one that is being ended to give its descriptor back.
const BREATH: Duration = Duration::from_millis(1);

/// The connections of a socket. Never ends and never fails.
#[derive(Debug)]
pub(super) struct Incoming {
    listener: UnixListener,
    pause: Option<Pin<Box<Sleep>>>,
    /// Whether the last attempt failed: told once, not every time.
    failing: bool,
    crowd: Crowd,
    /// One for whom there is no room yet.
    held: Option<UnixStream>,
}

impl Incoming {
    pub(super) fn new(listener: StdListener, crowd: Crowd) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, pause: None, failing: false, crowd, held: None })
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
            if let Some(stream) = self.held.take() {
                if self.crowd.has_room() {
                    return Poll::Ready(Some(Ok(Caller::new(stream, &self.crowd))));
                }
                self.held = Some(stream);
                self.pause = Some(Box::pin(sleep(PAUSE)));
                continue;
            }
            match ready!(self.listener.poll_accept(cx)) {
                Ok((stream, _)) => {
                    self.failing = false;
                    self.held = Some(stream);
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::warn!(%error, "cannot accept a connection; trying on");
                    }
                    // Descriptors may be what is missing: whoever is here for nothing has one.
                    let pause = if self.crowd.send_one_away() { BREATH } else { PAUSE };
                    self.pause = Some(Box::pin(sleep(pause)));
                }
            }
        }
    }
}
