//! One connection to a sidecar.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};

/// How long KubeVirt waits until a connection is ready.
const DIAL: Duration = Duration::from_secs(2);
/// After so long gRPC tries once more whatever the reason was (its connection backoff, without the jitter): a file that is no socket
/// costs all of [`DIAL`].
const AGAIN: Duration = Duration::from_secs(1);
/// The fourth byte of an HTTP/2 frame, if it is SETTINGS: the first thing that a server says.
const SETTINGS: u8 = 4;

/// Why there is no connection. KubeVirt takes all of it for "not ready yet".
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody listens.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Something listens and does not speak.
    #[error("nothing is said within {} s", DIAL.as_secs())]
    Silent,
    /// Something speaks, but not gRPC; or it hangs up.
    #[error("what answers there does not speak HTTP/2")]
    Foreign,
}

/// A connection that is ready: the server has said SETTINGS.
#[derive(Debug, Clone)]
pub struct Connection(SendRequest<Body>);

/// Connects as KubeVirt does: again and again until it is given up, with the last reason.
pub async fn dial(socket: &Path) -> Result<Connection, DialError> {
    let until = Instant::now() + DIAL;
    let mut last = DialError::Silent;
    let trying = async {
        loop {
            match connect(socket).await {
                Ok(connection) => return connection,
                Err(error) => last = error,
            }
            sleep(AGAIN).await;
        }
    };
    timeout_at(until, trying).await.map_err(|_| last)
}

async fn connect(socket: &Path) -> Result<Connection, DialError> {
    let (first, mut said) = watch::channel(Vec::new());
    let stream = Watched { stream: UnixStream::connect(socket).await?, first };
    let (sender, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(|_| DialError::Foreign)?;
    // Its errors reach the calls that wait for an answer.
    tokio::spawn(connection);
    let begin = said.wait_for(|bytes| bytes.len() > 3).await.map_err(|_| DialError::Foreign)?;
    if begin[3] != SETTINGS {
        return Err(DialError::Foreign);
    }
    drop(begin);
    Ok(Connection(sender))
}

impl Service<http::Request<Body>> for Connection {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// A stream whose first bytes are looked at: hyper takes a connection for ready before the server has said a word, Go does not.
#[derive(Debug)]
struct Watched {
    stream: UnixStream,
    first: watch::Sender<Vec<u8>>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        let read = &buffer.filled()[before..];
        if !read.is_empty() && self.first.borrow().len() <= 3 {
            self.first.send_modify(|first| first.extend_from_slice(&read[..read.len().min(4)]));
        }
        outcome
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
