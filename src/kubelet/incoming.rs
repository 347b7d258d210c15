//! Who connects to a socket of the agent's that kubelet or virt-handler calls: root alone, and not too many at once.

use std::future::Future as _;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

/// How long to wait when a connection cannot be accepted, as when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a connection may take for the first bytes of HTTP/2.
const PATIENCE: Duration = Duration::from_secs(5);
/// Length of HTTP/2's connection preface (RFC 9113, section 3.4).
const PREFACE: usize = 24;

/// The connections of a socket. Never ends and never fails.
#[derive(Debug)]
pub(crate) struct Incoming {
    listener: UnixListener,
    /// Who is expected, as messages name it.
    who: &'static str,
    most: usize,
    seats: Arc<Semaphore>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Whether the last attempt failed: told once, not every time.
    failing: bool,
}

impl Incoming {
    /// Of a listener that does not block; at most so many connections at once, those beyond are hung up on.
    pub(crate) fn new(listener: StdListener, who: &'static str, most: usize) -> io::Result<Self> {
        let listener = UnixListener::from_std(listener)?;
        Ok(Self { listener, who, most, seats: Arc::new(Semaphore::new(most)), pause: None, failing: false })
    }

    /// A connection of somebody who may be heard, if there is a seat.
    fn admitted(&self, stream: UnixStream) -> Option<Caller> {
        // SO_PEERCRED: who connected, not who has the descriptor now. An agent is root itself; in a test it may be somebody else.
        let uid = match stream.peer_cred() {
            Ok(peer) => peer.uid(),
            Err(error) => {
                tracing::warn!(%error, expected = self.who, "a caller cannot be told; hung up");
                return None;
            }
        };
        if uid != 0 && uid != geteuid().as_raw() {
            tracing::warn!(uid, expected = self.who, "a caller is not root; hung up");
            return None;
        }
        let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() else {
            tracing::warn!(most = self.most, expected = self.who, "too many connections; hung up");
            return None;
        };
        Some(Caller { stream, waiting: Some((0, Box::pin(sleep(PATIENCE)))), _seat: seat })
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
                    if let Some(caller) = self.admitted(stream) {
                        return Poll::Ready(Some(Ok(caller)));
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::warn!(%error, expected = self.who, "cannot accept a connection; trying on");
                    }
                    self.pause = Some(Box::pin(sleep(PAUSE)));
                }
            }
        }
    }
}

/// A connection with its seat; it ends if it says nothing at all.
#[derive(Debug)]
pub(crate) struct Caller {
    stream: UnixStream,
    /// Until the preface is there: how much of it came, and when patience ends.
    waiting: Option<(usize, Pin<Box<Sleep>>)>,
    _seat: OwnedSemaphorePermit,
}

impl Connected for Caller {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Caller {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some((come, patience)) = &mut self.waiting else { return polled };
        *come += buf.filled().len() - before;
        if *come >= PREFACE {
            self.waiting = None;
        } else if polled.is_pending() {
            ready!(patience.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
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
