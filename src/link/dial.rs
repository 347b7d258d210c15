//! The agent's end of one link: a client that is root, of a server that may be hostile.
//!
//! What it can cost us. Memory: windows of 64 KiB, headers of 8 KiB, messages of 16 KiB, four requests under way. Processor time: ten
//! requests at once and one a second after that, the rest stays in the sender's window; and whatever comes besides (pings, settings,
//! headers that never end) has its bytes counted and ends the link. Time: the first message comes within five seconds. Others: a link
//! is one task with those that its connection starts, which end with it; a panic in it is its end alone.

use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::http::{self, Uri};
use tonic::codegen::{BoxFuture, Service};
use tonic::{Code, Status, Streaming};

use crate::kubelet::{Crew, Dismissed};

use super::find::Places;
use super::metered::{Meter, Metered};
use super::proto::link_client::LinkClient;
use super::proto::{self, FromAgent, FromSidecar, from_agent::Answer, from_sidecar::Ask};
use super::rate::Bucket;
use super::wire::{self, text};
use super::{Errands, MAX_MESSAGE, Pod};

/// How long the sidecar may take from the connection to its Hello.
const FIRST: Duration = Duration::from_secs(5);

/// HTTP/2's smallest window, for the stream and for the connection.
const WINDOW: u32 = (1 << 16) - 1;

/// Longest list of headers.
const HEADERS: u32 = 8 << 10;

/// So many requests are worked on at once.
const OUTSTANDING: usize = 4;

/// So many requests at once, then one each [`EVERY`].
const BURST: u32 = 10;
const EVERY: Duration = Duration::from_secs(1);

/// After so long without a word a sidecar is asked whether it is there, and after as long again without an answer it is gone.
pub const PING: Duration = Duration::from_secs(20);

/// Why a link ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// A sidecar that serves no link: an older one, or one that was told not to.
    #[error("the socket serves no link")]
    Foreign,
    /// The sidecar does not let us in.
    #[error("the sidecar refuses the link: {0}")]
    Refused(String),
    /// Nothing was said in time.
    #[error("nothing was said within {} s", FIRST.as_secs())]
    Silent,
    /// Something else than Hello came first.
    #[error("the first message is no introduction")]
    Rude,
    /// More bytes than any request needs.
    #[error("more was sent than any sidecar says")]
    Flood,
    /// The other side ended it in order.
    #[error("the sidecar has ended it")]
    Over,
    /// The connection broke, or what came is not the protocol.
    #[error("the connection is broken: {0}")]
    Broken(String),
    /// A mistake of ours.
    #[error("this is a mistake of virt-tailor's agent, please report it: a panic while a request was answered")]
    Panic,
}

impl End {
    /// With its causes, for the transport's own words are "http2 error".
    fn broken(error: &dyn std::error::Error) -> Self {
        let mut line = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            line.push_str(": ");
            line.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::Broken(text(&line))
    }
}

/// Serves one pod's link to its end; `places` says for which node, and how long a silence may be.
pub(super) async fn attend<E: Errands>(pod: &Pod, stream: StdStream, errands: &Arc<E>, places: &Places) -> End {
    let meter = Meter::default();
    let stream = match stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream)) {
        Ok(stream) => TokioIo::new(Metered::new(stream, meter.clone())),
        Err(error) => return End::broken(&error),
    };
    let crew = Crew::default();
    let _dismissed = Dismissed(crew.clone());
    let mut http = Builder::new(crew);
    http.timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(HEADERS)
        .max_send_buf_size(MAX_MESSAGE)
        .keep_alive_interval(places.ping)
        .keep_alive_timeout(places.ping)
        .keep_alive_while_idle(true);
    let end = match http.handshake(stream).await {
        Err(error) => End::broken(&error),
        Ok((sender, connection)) => {
            tokio::select! {
                // What the conversation learns of its end says more than the connection's.
                biased;
                end = converse(pod, Connection(sender), errands, &places.node) => end,
                outcome = connection => match outcome {
                    Ok(()) => End::Over,
                    Err(error) => End::broken(&error),
                },
            }
        }
    };
    if meter.is_over() { End::Flood } else { end }
}

async fn converse<E: Errands>(pod: &Pod, connection: Connection, errands: &Arc<E>, node: &str) -> End {
    let (answers, outgoing) = mpsc::channel(OUTSTANDING);
    let hello = proto::Hello { version: env!("CARGO_PKG_VERSION").to_owned(), node: node.to_owned() };
    // There is room for the first.
    let _ = answers.try_send(FromAgent { id: 0, answer: Some(Answer::Hello(hello)) });
    let mut client = LinkClient::with_origin(connection, Uri::from_static("http://localhost"))
        .max_decoding_message_size(MAX_MESSAGE);
    let opening = async {
        let mut incoming = client.attend(ReceiverStream::new(outgoing)).await?.into_inner();
        let first = incoming.message().await?;
        Ok::<_, Status>((incoming, first))
    };
    let (incoming, first) = match timeout(FIRST, opening).await {
        Err(_) => return End::Silent,
        Ok(Err(status)) => return end_of(&status),
        Ok(Ok(opened)) => opened,
    };
    match first.map(|message| message.ask) {
        Some(Some(Ask::Hello(hello))) => {
            tracing::info!(pod = %pod.name, namespace = %pod.namespace, sidecar = text(&hello.version), "linked");
        }
        Some(_) => return End::Rude,
        None => return End::Over,
    }
    errands.linked(pod);
    let _unlinked = Unlinked { pod, errands };
    answer(pod, incoming, answers, errands).await
}

/// Tells the agent that the link has ended, however it ends.
struct Unlinked<'a, E: Errands> {
    pod: &'a Pod,
    errands: &'a Arc<E>,
}

impl<E: Errands> Drop for Unlinked<'_, E> {
    fn drop(&mut self) {
        self.errands.unlinked(self.pod);
    }
}

/// Answers requests to the end.
async fn answer<E: Errands>(
    pod: &Pod,
    mut incoming: Streaming<FromSidecar>,
    answers: mpsc::Sender<FromAgent>,
    errands: &Arc<E>,
) -> End {
    let mut bucket = Bucket::new(BURST, EVERY);
    let mut asked = JoinSet::new();
    loop {
        let has_room = asked.len() < OUTSTANDING;
        // Whatever is not read yet stays in the window, and that is full soon: whoever sends too much waits.
        let next = async {
            sleep_until(bucket.ready()).await;
            incoming.message().await
        };
        tokio::select! {
            Some(done) = asked.join_next() => match done {
                // Who reads no answers gets no more of them: nothing further is read until there is room.
                Ok(answer) => match answers.send(answer).await {
                    Ok(()) => {}
                    Err(_) => return End::Over,
                },
                Err(_) => return End::Panic,
            },
            message = next, if has_room => match message {
                Ok(Some(message)) => {
                    bucket.take(1);
                    take(pod, message, errands, &mut asked);
                }
                Ok(None) => return End::Over,
                Err(status) => return end_of(&status),
            },
        }
    }
}

/// Begins to answer one message.
fn take<E: Errands>(pod: &Pod, message: FromSidecar, errands: &Arc<E>, asked: &mut JoinSet<FromAgent>) {
    let id = message.id;
    match wire::request_of_wire(message) {
        Ok(request) => {
            let (pod, errands) = (pod.clone(), Arc::clone(errands));
            asked.spawn(async move {
                let reply = errands.ask(&pod, request.clone()).await;
                wire::reply_to_wire(id, &request, reply)
            });
        }
        Err(why) => {
            tracing::warn!(pod = %pod.name, namespace = %pod.namespace, reason = %why, "a request over the link is refused");
            asked.spawn(async move { wire::malformed_to_wire(id, &why) });
        }
    }
}

fn end_of(status: &Status) -> End {
    match status.code() {
        Code::Unimplemented => End::Foreign,
        Code::PermissionDenied => End::Refused(text(status.message())),
        _ => match std::error::Error::source(status) {
            Some(source) => End::broken(source),
            None => End::Broken(text(status.message())),
        },
    }
}

/// One connection, as tonic's clients want it.
struct Connection(SendRequest<Body>);

impl Service<http::Request<Body>> for Connection {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
