//! What stands between the transport and the service: a message is read whole, within its time and its limit. What cannot be read at a
//! stop point is replaced by the bare word that some VM stops, for no stop is ever kept from happening.
//!
//! A message's beginning, in which its point stands, is read at once; only the rest of a long one waits for its turn.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body as HttpBody, Bytes, Frame};
use prost::Message as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};
use tonic::{Code, Status};
use tower_layer::Layer;

use super::service::status;
use super::{MAX_MESSAGE, Point};
use crate::kubevirt::proto::plugins::ExecuteNodeHookRequest;

/// The call that there is.
const PATH: &str = "/kubevirt.hooks.plugins.v1alpha1.NodeHookService/ExecuteNodeHook";
/// How long a message may take to come.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// So much of a message is read without waiting for anybody, in bytes; a frame may bring as much again.
const FREE: usize = 16 << 10;
/// So many longer ones are read at once.
const AT_ONCE: usize = 4;
/// What stands before a message: whether it is compressed, and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
const HEAD: usize = 5;
/// So much of one that is too long is read and dropped, so that its sender hears the answer.
const DROPPED: usize = 64 << 20;

/// Puts [`Intake`] in front of the service.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl<S> Layer<S> for Gate {
    type Service = Intake<S>;

    fn layer(&self, services: S) -> Intake<S> {
        Intake { services, seats: Arc::clone(&self.0) }
    }
}

/// Services that get whole messages.
#[derive(Debug, Clone)]
pub(super) struct Intake<S> {
    services: S,
    seats: Arc<Semaphore>,
}

impl<S> Service<Request<Body>> for Intake<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.services.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that is ready is the one to be called.
        let fresh = self.services.clone();
        let mut services = std::mem::replace(&mut self.services, fresh);
        let seats = Arc::clone(&self.seats);
        Box::pin(async move {
            if request.uri().path() != PATH {
                return services.call(request).await;
            }
            let (parts, mut body) = request.into_parts();
            let mut read = Vec::new();
            let end = {
                let reading = receive(&mut body, &mut read, &seats);
                timeout(READ_WITHIN, reading).await.unwrap_or(End::Late)
            };
            match sifted(read, &end) {
                Ok(message) => services.call(Request::from_parts(parts, Body::new(Whole(Some(message))))).await,
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

/// How the reading of a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Long,
    Late,
    Broken,
}

/// Reads a body; of one that is too long the beginning. What is longer than [`FREE`] takes a seat.
async fn receive(body: &mut Body, read: &mut Vec<u8>, seats: &Semaphore) -> End {
    let (mut dropped, mut long, mut seat) = (0_usize, false, None);
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None if long => return End::Long,
            None => return End::Whole,
            Some(Err(_)) => return End::Broken,
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                long |= read.len() + data.len() > HEAD + MAX_MESSAGE;
                if !long {
                    read.extend_from_slice(&data);
                    if read.len() > FREE && seat.is_none() {
                        // Never closed.
                        seat = seats.acquire().await.ok();
                    }
                    continue;
                }
                dropped += data.len();
                if dropped > DROPPED {
                    return End::Long;
                }
            }
        }
    }
}

/// What the service is to see of what was read.
fn sifted(read: Vec<u8>, end: &End) -> Result<Bytes, Status> {
    let read = Bytes::from(read);
    let message = read.get(HEAD..).unwrap_or_default();
    if *end == End::Whole && ExecuteNodeHookRequest::decode(message).is_ok() {
        return Ok(read);
    }
    if let Some(point) = point_of(message).filter(|point| point.is_stop()) {
        tracing::warn!(%point, ?end, "a VM ends, and the call that says so cannot be read");
        let word = ExecuteNodeHookRequest { hook_point: point.name().to_owned(), ..Default::default() }.encode_to_vec();
        let length = u32::try_from(word.len()).unwrap_or_default().to_be_bytes();
        return Ok([&[0], &length[..], &word].concat().into());
    }
    Err(match end {
        End::Whole => status(Code::InvalidArgument, &"the call is no ExecuteNodeHookRequest"),
        End::Long => status(Code::OutOfRange, &format!("the call is too long: at most {MAX_MESSAGE} bytes are read")),
        End::Late => status(Code::DeadlineExceeded, &"the call did not come in time"),
        End::Broken => status(Code::Aborted, &"the call broke off"),
    })
}

/// The point in a message whose rest is not sound. It is the first field, and Go writes fields in their order.
fn point_of(message: &[u8]) -> Option<Point> {
    // Field 1, with a length (protobuf: Encoding).
    let [0x0a, length, rest @ ..] = message else { return None };
    let name = rest.get(..usize::from(*length))?;
    Point::named(std::str::from_utf8(name).ok()?)
}

/// A body of one piece.
struct Whole(Option<Bytes>);

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}
