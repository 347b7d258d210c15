//! One connection to kubelet, for one call.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::http::Uri;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::{Response, Status};

use super::crew::{Crew, Dismissed};
use super::error::KubeletError;

/// So much of an answer may come before it is read.
const WINDOW: u32 = 256 << 10;

/// Longest headers of an answer.
const HEADERS: u32 = 16 << 10;

/// A connection; ends when the last clone goes.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    sender: SendRequest<Body>,
    _tasks: Arc<Tasks>,
}

/// What moves the bytes, and what that has started. Ended when nobody needs it: a peer that does not read must not keep it.
#[derive(Debug)]
struct Tasks(AbortHandle, #[expect(dead_code, reason = "its end is its use")] Dismissed);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    async fn open(socket: &Path) -> Result<Self, KubeletError> {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|error| KubeletError::Reach { socket: socket.to_owned(), error })?;
        let crew = Crew::default();
        let dismissed = Dismissed(crew.clone());
        let (sender, connection) = Builder::new(crew)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| KubeletError::Foreign { socket: socket.to_owned() })?;
        // Its errors reach the call that waits for an answer.
        let task = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { sender, _tasks: Arc::new(Tasks(task.abort_handle(), dismissed)) })
    }
}

impl Service<http::Request<Body>> for Connection {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.sender.send_request(request))
    }
}

/// Makes one call over a connection of its own, all of it within a time.
pub(super) async fn call<T, F: Future<Output = Result<Response<T>, Status>>>(
    socket: &Path,
    call: &'static str,
    within: Duration,
    make: impl FnOnce(Connection, Uri) -> F,
) -> Result<T, KubeletError> {
    let whole = async {
        let connection = Connection::open(socket).await?;
        // kubelet is content with any name; a path of a socket, the default of some, is none.
        let answer = make(connection, Uri::from_static("http://localhost")).await;
        answer.map(Response::into_inner).map_err(|status| KubeletError::of(status, socket, call))
    };
    let silent = |_| KubeletError::Silent { socket: socket.to_owned(), call, within };
    timeout(within, whole).await.map_err(silent)?
}
