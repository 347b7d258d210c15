//! A connection that has to say something before long, and that can be ended.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::{AcquireError, OwnedSemaphorePermit};
use tokio::time::{Instant, Sleep, sleep};
use tonic::transport::server::Connected;

use super::agent::may_link;
use super::crowd::{Crowd, FREE};
use super::line::Line;

/// How long a caller may take for the first bytes of HTTP/2. virt-launcher sends them at once; pings only begin behind them, so without
/// this a silent connection would hold its file descriptor for ever, and enough of them would keep a Shutdown out.
const PATIENCE: Duration = Duration::from_secs(5);

/// Length of HTTP/2's connection preface (RFC 9113, section 3.4).
const PREFACE: usize = 24;

/// How often somebody who waits for a seat looks whether others keep one for nothing.
const LOOK: Duration = Duration::from_millis(100);

type Seating = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// How much may be read.
enum Seat {
    /// So many bytes more.
    Free(usize),
    /// No more until there is a seat.
    Waiting { seating: Seating, look: Pin<Box<Sleep>> },
    /// All there is.
    Taken { _seat: OwnedSemaphorePermit },
}

/// A connection that ends if its preface does not come in time, and needs a seat to say more than a little.
pub(super) struct Caller {
    stream: UnixStream,
    seat: Seat,
    /// Until the preface is there: how much of it came, and when patience ends.
    waiting: Option<(usize, Pin<Box<Sleep>>)>,
    line: Arc<Line>,
    crowd: Crowd,
}

impl Caller {
    pub(super) fn new(stream: UnixStream, crowd: &Crowd) -> Self {
        let waiting = Some((0, Box::pin(sleep(PATIENCE))));
        let line = if may_link(&stream) { Line::of_root() } else { Line::default() };
        Self { stream, seat: Seat::Free(FREE), waiting, line: crowd.enter(line), crowd: crowd.clone() }
    }

    /// An error if it is to end; wakes the task when it is.
    fn lives(&self, cx: &Context<'_>) -> io::Result<()> {
        if self.line.is_cut(cx) { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Reads as much as its seat allows.
    fn read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.seat {
                // The link has its own limits, and seats are for those who come and go.
                Seat::Free(0) if self.line.is_link() => return Pin::new(&mut self.stream).poll_read(cx, buf),
                Seat::Free(0) => {
                    self.line.wants_seat();
                    let seating = Box::pin(self.crowd.clone().seat());
                    self.seat = Seat::Waiting { seating, look: Box::pin(sleep(LOOK)) };
                }
                Seat::Free(left) => {
                    let mut few = [0; FREE];
                    let mut few = ReadBuf::new(&mut few[..(*left).min(buf.remaining())]);
                    ready!(Pin::new(&mut self.stream).poll_read(cx, &mut few))?;
                    *left -= few.filled().len();
                    buf.put_slice(few.filled());
                    return Poll::Ready(Ok(()));
                }
                Seat::Waiting { seating, look } => {
                    if let Poll::Ready(seat) = seating.as_mut().poll(cx) {
                        let seat = seat.map_err(|_| io::ErrorKind::ConnectionAborted)?;
                        self.line.is_seated();
                        self.seat = Seat::Taken { _seat: seat };
                        continue;
                    }
                    ready!(look.as_mut().poll(cx));
                    look.as_mut().reset(Instant::now() + LOOK);
                    self.crowd.free_a_seat();
                    self.lives(cx)?;
                }
                Seat::Taken { .. } => return Pin::new(&mut self.stream).poll_read(cx, buf),
            }
        }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("stream", &self.stream).field("line", &self.line).finish_non_exhaustive()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.crowd.leave(&self.line);
    }
}

impl Connected for Caller {
    type ConnectInfo = Arc<Line>;

    fn connect_info(&self) -> Arc<Line> {
        Arc::clone(&self.line)
    }
}

impl AsyncRead for Caller {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.lives(cx)?;
        let before = buf.filled().len();
        let polled = self.read(cx, buf);
        let Some((come, patience)) = &mut self.waiting else { return polled };
        *come += buf.filled().len() - before;
        if *come >= PREFACE {
            self.waiting = None;
            return polled;
        }
        if polled.is_pending() {
            ready!(patience.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncWrite for Caller {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.lives(cx)?;
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
        self.lives(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
