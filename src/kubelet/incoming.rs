//! kubelet's connections to one resource, as they come.

use std::future::Future as _;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

/// So many connections at once; kubelet has one, two while it registers us again. Those beyond are hung up on.
const MOST: usize = 16;

/// How long to wait when a connection cannot be accepted, as when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// The connections of a socket. Never ends and never fails.
#[derive(Debug)]
pub(super) struct Incoming {
    listener: UnixListener,
    seats: Arc<Semaphore>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Whether the last attempt failed: told once, not every time.
    failing: bool,
}

impl Incoming {
    /// Of a listener that does not block.
    pub(super) fn new(listener: StdListener) -> io::Result<Self> {
        let listener = UnixListener::from_std(listener)?;
        Ok(Self { listener, seats: Arc::new(Semaphore::new(MOST)), pause: None, failing: false })
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
                    match Arc::clone(&self.seats).try_acquire_owned() {
                        Ok(seat) => return Poll::Ready(Some(Ok(Caller { stream, _seat: seat }))),
                        Err(_) => {
                            tracing::warn!(most = MOST, "too many connections to a device plugin socket; hung up")
                        }
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::warn!(%error, "cannot accept a connection of kubelet's; trying on");
                    }
                    self.pause = Some(Box::pin(sleep(PAUSE)));
                }
            }
        }
    }
}

/// A connection with its seat.
#[derive(Debug)]
pub(super) struct Caller {
    stream: UnixStream,
    _seat: OwnedSemaphorePermit,
}

impl Connected for Caller {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Caller {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Caller {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
