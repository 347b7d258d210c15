//! One agent's stay at the desk.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request as Call, Response, Status, Streaming, async_trait};

use super::{Asking, Desk, Link};
use crate::link::proto::{self, FromAgent, FromSidecar, from_agent::Answer, from_sidecar::Ask, link_server};
use crate::link::wire::{self, Answered, text};

/// How long an agent may take to introduce itself.
const FIRST: Duration = Duration::from_secs(5);

/// So many messages wait for an agent that does not read.
const QUEUE: usize = 4;

type Answers = ReceiverStream<Result<FromSidecar, Status>>;

#[async_trait]
impl link_server::Link for Desk {
    type AttendStream = Answers;

    async fn attend(&self, call: Call<Streaming<FromAgent>>) -> Result<Response<Answers>, Status> {
        let (out, outgoing) = mpsc::channel(QUEUE);
        let hello = proto::Hello { version: env!("CARGO_PKG_VERSION").to_owned(), node: String::new() };
        // There is room for the first.
        let _ = out.try_send(Ok(FromSidecar { id: 0, ask: Some(Ask::Hello(hello)) }));
        let desk = self.clone();
        tokio::spawn(async move {
            let reason = desk.stay(call.into_inner(), out).await;
            tracing::info!(reason, "the agent's link has ended");
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

impl Desk {
    /// Serves one agent to the end; says why it ended.
    async fn stay(&self, mut incoming: Streaming<FromAgent>, out: mpsc::Sender<Result<FromSidecar, Status>>) -> String {
        let hello = match timeout(FIRST, incoming.message()).await {
            Err(_) => return "the agent does not introduce itself".to_owned(),
            Ok(Err(status)) => return text(status.message()),
            Ok(Ok(None)) => return "the agent has gone before it said who it is".to_owned(),
            Ok(Ok(Some(FromAgent { answer: Some(Answer::Hello(hello)), .. }))) => hello,
            Ok(Ok(Some(_))) => return "the agent does not begin with an introduction".to_owned(),
        };
        let (requests, asked) = mpsc::channel(QUEUE);
        let number = self.state.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let node = (!hello.node.is_empty()).then(|| text(&hello.node));
        tracing::info!(node = node.as_deref().unwrap_or("unknown"), agent = text(&hello.version), "the agent has come");
        let link = Link { number, node, requests };
        let former = self.state.link.send_replace(Some(link.clone()));
        drop(former);
        if self.standing_lock().is_some() {
            tokio::spawn(self.clone().remind(link));
        }
        let reason = self.pass_on(number, incoming, out, asked).await;
        self.state.link.send_if_modified(|link| {
            let is_this = link.as_ref().is_some_and(|link| link.number == number);
            if is_this {
                *link = None;
            }
            is_this
        });
        reason
    }

    /// Passes requests and answers on until something ends it. Whoever still waits for an answer then learns that there is none.
    async fn pass_on(
        &self,
        number: u64,
        mut incoming: Streaming<FromAgent>,
        out: mpsc::Sender<Result<FromSidecar, Status>>,
        mut asked: mpsc::Receiver<Asking>,
    ) -> String {
        let mut open: HashMap<u64, oneshot::Sender<Answered>> = HashMap::new();
        let mut id = 0;
        let mut links = self.state.link.subscribe();
        let mut ended = self.state.ended.subscribe();
        loop {
            tokio::select! {
                message = incoming.message() => match message {
                    Ok(Some(FromAgent { id, answer })) => {
                        // Whoever does not wait any longer does not need it.
                        if let Some(asker) = open.remove(&id) {
                            let _ = asker.send(wire::reply_of_wire(answer));
                        }
                    }
                    Ok(None) => return "the agent has ended it".to_owned(),
                    Err(status) => return text(status.message()),
                },
                Some(Asking { request, answer }) = asked.recv() => {
                    open.retain(|_, asker| !asker.is_closed());
                    id += 1;
                    open.insert(id, answer);
                    // An agent that does not read has as many requests as it ever will.
                    if out.try_send(Ok(wire::request_to_wire(id, &request))).is_err() {
                        return "the agent does not read".to_owned();
                    }
                },
                _ = links.wait_for(|link| link.as_ref().is_none_or(|link| link.number != number)) => {
                    return "another agent has come".to_owned();
                }
                _ = ended.wait_for(|ended| *ended) => return "the sidecar ends".to_owned(),
            }
        }
    }
}
