//! What stands between the transport and the services: limits for what comes, and our words for what the transport refuses.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::{Code, Status};
use tower_layer::Layer;

use super::agent::is_link;
use super::budget::Budget;
use super::call::Call;
use super::line::Line;
use super::received::Received;
use super::status::is_ours;
use super::unread::Unread;

/// Puts [`Intake`] in front of the services.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) budget: Budget,
}

impl<S> Layer<S> for Gate {
    type Service = Intake<S>;

    fn layer(&self, services: S) -> Intake<S> {
        Intake { services, budget: self.budget.clone() }
    }
}

/// Services within limits.
#[derive(Debug, Clone)]
pub(super) struct Intake<S> {
    services: S,
    budget: Budget,
}

impl<S> Service<Request<Body>> for Intake<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.services.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let line = request.extensions().get::<Arc<Line>>().cloned().unwrap_or_default();
        match is_link(&request, &line) {
            Ok(false) => {}
            // Many messages, in both directions, for hours.
            Ok(true) => return Box::pin(self.services.call(request)),
            Err(status) => return Box::pin(async move { Ok(status.into_http()) }),
        }
        let (mut parts, body) = request.into_parts();
        line.call();
        let call = Arc::new(Call::new(parts.uri.clone(), line));
        parts.extensions.insert(Arc::clone(&call));
        let body = Body::new(Received::new(body, Arc::clone(&call), self.budget.clone()));
        let answer = self.services.call(Request::from_parts(parts, body));
        Box::pin(async move {
            let pending = Pending(call);
            let answer = answer.await?;
            let call = Arc::clone(&pending.0);
            call.is_over(true);
            Ok(match foreign(&answer) {
                Some(status) => Unread::of(&status, call.point()).status(call.point()).into_http(),
                None => answer.map(|body| Body::new(Sent { body, call })),
            })
        })
    }
}

/// The status of an answer if it is an error in somebody else's words.
fn foreign(answer: &Response<Body>) -> Option<Status> {
    let status = Status::from_header_map(answer.headers())?;
    (status.code() != Code::Ok && !is_ours(status.message())).then_some(status)
}

/// A call that is being answered; the caller may go before it is.
struct Pending(Arc<Call>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.is_over(false);
    }
}

/// The body of an answer, whose bytes count as the call's until they have left.
struct Sent {
    body: Body,
    call: Arc<Call>,
}

/// A piece of an answer. The transport keeps it for as long as the caller does not read.
struct Piece {
    bytes: Bytes,
    _call: Arc<Call>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let kept = |bytes| Bytes::from_owner(Piece { bytes, _call: Arc::clone(&self.call) });
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(kept))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
