//! The body of a call: one message, read only when there is memory for it, and within its time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body as HttpBody, Bytes, Frame};
use tokio::sync::AcquireError;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;

use super::MAX_REQUEST;
use super::budget::{Budget, Share};
use super::call::Call;
use super::unread::Unread;

/// How long a message may take to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it may wait for memory before. virt-handler gives a start 20 s.
const WAIT: Duration = Duration::from_secs(10);

/// How often somebody who waits for memory looks whether others hold it for nothing.
const LOOK: Duration = Duration::from_millis(100);

/// What stands before a message: whether it is compressed, and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
const HEAD: usize = 5;

type Frames = Poll<Option<Result<Frame<Bytes>, Status>>>;
type Sharing = Pin<Box<dyn Future<Output = Result<Share, AcquireError>> + Send>>;

/// A body that keeps to the limits.
pub(super) struct Received {
    body: Body,
    call: Arc<Call>,
    budget: Budget,
    stage: Stage,
    until: Pin<Box<Sleep>>,
}

enum Stage {
    /// Some bytes of the head are there, fewer than it has.
    Head(Vec<u8>),
    /// The head is there with the first piece, but no memory is.
    Waiting { sharing: Sharing, piece: Bytes, left: usize, look: Pin<Box<Sleep>> },
    /// So many bytes are missing.
    Message(usize),
    /// Nothing more to come.
    Over,
}

impl Received {
    pub(super) fn new(body: Body, call: Arc<Call>, budget: Budget) -> Self {
        let until = Box::pin(sleep_until(Instant::now() + PATIENCE));
        Self { body, call, budget, stage: Stage::Head(Vec::new()), until }
    }

    /// Ends it with an error.
    fn end(&mut self, why: &Unread) -> Frames {
        self.stage = Stage::Over;
        Poll::Ready(Some(Err(why.status(self.call.point()))))
    }

    /// A piece of the message is passed on.
    fn pass(&mut self, piece: Bytes, left: usize) -> Frames {
        let Some(left) = left.checked_sub(piece.len()) else {
            return self.end(&Unread::Broken("more than one message".to_owned()));
        };
        if left == 0 && !matches!(self.stage, Stage::Message(0)) {
            self.call.is_whole();
        }
        self.stage = Stage::Message(left);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    /// Whether more must come.
    fn is_half(&self) -> bool {
        match &self.stage {
            Stage::Head(head) => !head.is_empty(),
            Stage::Message(left) => *left > 0,
            Stage::Waiting { .. } => true,
            Stage::Over => false,
        }
    }

    /// The first piece, with the whole head in it; nothing to pass on if it has to wait.
    fn begin(&mut self, piece: Bytes) -> Option<Frames> {
        let length = match piece[..] {
            [_, a, b, c, d, ..] => usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        if length > MAX_REQUEST {
            return Some(self.end(&Unread::TooLong { bytes: length }));
        }
        let left = HEAD + length;
        self.call.has_bytes(length);
        match self.budget.share(length, self.call.line()) {
            Some(share) => {
                self.call.hold(share);
                Some(self.pass(piece, left))
            }
            None => {
                let sharing = Box::pin(self.budget.clone().share_later(length, Arc::clone(self.call.line())));
                self.until.as_mut().reset(Instant::now() + WAIT);
                self.stage = Stage::Waiting { sharing, piece, left, look: Box::pin(sleep(LOOK)) };
                None
            }
        }
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Frames {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                Stage::Over => return Poll::Ready(None),
                Stage::Waiting { sharing, piece, left, look } => {
                    if let Poll::Ready(share) = sharing.as_mut().poll(cx) {
                        let (piece, left) = (std::mem::take(piece), *left);
                        let Ok(share) = share else {
                            return this.end(&Unread::Full { after: WAIT });
                        };
                        this.call.hold(share);
                        this.until.as_mut().reset(Instant::now() + PATIENCE);
                        return this.pass(piece, left);
                    }
                    if this.until.as_mut().poll(cx).is_ready() {
                        return this.end(&Unread::Full { after: WAIT });
                    }
                    ready!(look.as_mut().poll(cx));
                    look.as_mut().reset(Instant::now() + LOOK);
                    this.budget.relieve();
                }
                Stage::Head(_) | Stage::Message(_) => {
                    let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
                        // A message that is there needs no more time: what is still awaited is only the end.
                        if matches!(this.stage, Stage::Message(0)) || this.until.as_mut().poll(cx).is_pending() {
                            return Poll::Pending;
                        }
                        if this.call.line().is_kept_waiting() {
                            this.until.as_mut().reset(Instant::now() + PATIENCE);
                            continue;
                        }
                        return this.end(&Unread::Slow { after: PATIENCE });
                    };
                    let mut piece = match frame {
                        Some(Ok(frame)) => match frame.into_data() {
                            Ok(piece) => piece,
                            Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                        },
                        None if this.is_half() => {
                            return this.end(&Unread::Broken("it ends in the middle of a message".to_owned()));
                        }
                        end => {
                            this.stage = Stage::Over;
                            return Poll::Ready(end);
                        }
                    };
                    match &mut this.stage {
                        Stage::Message(left) => {
                            let left = *left;
                            return this.pass(piece, left);
                        }
                        Stage::Head(head) if !head.is_empty() || piece.len() < HEAD => {
                            head.extend_from_slice(&piece);
                            if head.len() < HEAD {
                                continue;
                            }
                            piece = Bytes::from(std::mem::take(head));
                        }
                        _ => {}
                    }
                    if let Some(outcome) = this.begin(piece) {
                        return outcome;
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Head(_)) && self.body.is_end_stream()
    }
}
