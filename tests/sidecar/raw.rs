//! A client that sends what no gRPC library would.

use std::convert::Infallible;
use std::future::Future as _;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

pub(crate) const DEFINE: &str = "/kubevirt.hooks.v1alpha3.Callbacks/OnDefineDomain";

/// So much is sent at a time.
const PIECE: usize = 16 << 10;

/// A body: given bytes, then so many zeros, then its end, or silence, or what comes later and the end.
pub(crate) struct Sent {
    head: Option<Bytes>,
    zeros: usize,
    ends: bool,
    later: Option<oneshot::Receiver<Bytes>>,
}

impl Sent {
    /// A whole message.
    pub(crate) fn message(bytes: &[u8]) -> Self {
        let mut head = head(bytes.len()).to_vec();
        head.extend(bytes);
        Self { head: Some(head.into()), zeros: 0, ends: true, later: None }
    }

    /// A whole message, whose second half comes when it is sent for.
    pub(crate) fn halves(bytes: &[u8]) -> (Self, impl FnOnce() + use<>) {
        let mut all = head(bytes.len()).to_vec();
        all.extend(bytes);
        let rest = Bytes::from(all.split_off(all.len() / 2));
        let (sender, later) = oneshot::channel();
        let sent = Self { head: Some(all.into()), zeros: 0, ends: true, later: Some(later) };
        (sent, || sender.send(rest).expect("nobody wants it"))
    }

    /// The beginning of a message that claims to be longer.
    pub(crate) fn part(claimed: usize, sent: usize, ends: bool) -> Self {
        Self { head: Some(head(claimed).to_vec().into()), zeros: sent, ends, later: None }
    }

    /// Bytes that are no message.
    pub(crate) fn bytes(bytes: &'static [u8], ends: bool) -> Self {
        Self { head: Some(Bytes::from_static(bytes)), zeros: 0, ends, later: None }
    }
}

fn head(length: usize) -> [u8; 5] {
    let [a, b, c, d] = u32::try_from(length).unwrap().to_be_bytes();
    [0, a, b, c, d]
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static ZEROS: [u8; PIECE] = [0; PIECE];
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        if let Some(later) = &mut self.later {
            let rest = ready!(Pin::new(later).poll(cx)).unwrap();
            self.later = None;
            return Poll::Ready(Some(Ok(Frame::data(rest))));
        }
        let now = self.zeros.min(PIECE);
        self.zeros -= now;
        match (now, self.ends) {
            (0, true) => Poll::Ready(None),
            // Nobody wakes it: this is the end of what is said.
            (0, false) => Poll::Pending,
            _ => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&ZEROS[..now]))))),
        }
    }
}

/// A connection.
pub(crate) async fn dial(socket: &Path) -> SendRequest<Sent> {
    let stream = UnixStream::connect(socket).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A call, with its answer.
pub(crate) async fn call(
    sender: &mut SendRequest<Sent>,
    path: &str,
    body: Sent,
) -> Result<Response<Incoming>, hyper::Error> {
    let request = Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    sender.ready().await?;
    sender.send_request(request).await
}

/// The status that an answer has in its head: code and message.
pub(crate) fn status(answer: &Response<Incoming>) -> (tonic::Code, String) {
    let status = tonic::Status::from_header_map(answer.headers()).expect("no status");
    (status.code(), status.message().to_owned())
}

/// The message of OnDefineDomain, as it goes over the wire.
pub(crate) fn define_message(domain: &str, vmi: &str) -> Vec<u8> {
    let params = virt_tailor::kubevirt::proto::v1alpha3::OnDefineDomainParams {
        domain_xml: domain.to_owned().into(),
        vmi: vmi.to_owned().into(),
    };
    prost::Message::encode_to_vec(&params)
}
