//! Servers that are no sidecar: each costs its own link and a bounded amount of everything.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use prost::Message as _;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::{Request as Call, Response, Status, Streaming, async_trait};
use virt_tailor::link::desk::{Confirmed, Desk, Policy};
use virt_tailor::link::find::Places;
use virt_tailor::link::proto::{
    FromAgent, FromSidecar, Hello, Over, Prepare, from_agent::Answer, from_sidecar::Ask, link_server, refused,
};
use virt_tailor::link::{Errand, Reply, Request};

use crate::agent::{Act, Agent};
use crate::desk::{NAME, serve};
use crate::limits::Log;
use crate::node::{Node, listen, uid};
use crate::rig::LONG;

const READY: Act = Act::Answer(Reply::Ready { lock_confirmed: true });

/// HTTP/2's empty SETTINGS, as a server begins.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// And the acknowledgement of the other side's.
const SETTINGS_ACK: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];

/// Serves every connection on a thread of its own.
fn raw(folder: &Path, behave: impl Fn(&mut UnixStream) + Send + Sync + 'static) -> Arc<AtomicU64> {
    let listener = listen(folder, NAME);
    let (behave, count) = (Arc::new(behave), Arc::new(AtomicU64::new(0)));
    let counting = Arc::clone(&count);
    thread::spawn(move || accept(&listener, &behave, &counting));
    count
}

fn accept<F: Fn(&mut UnixStream) + Send + Sync + 'static>(listener: &UnixListener, behave: &Arc<F>, count: &AtomicU64) {
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { return };
        count.fetch_add(1, Ordering::Relaxed);
        let behave = Arc::clone(behave);
        thread::spawn(move || behave(&mut stream));
    }
}

/// Writes the same until the other side has had enough.
fn pour(stream: &mut UnixStream, bytes: &[u8]) {
    while stream.write_all(bytes).is_ok() {}
}

fn hold(stream: &mut UnixStream) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

/// The next frame: its kind, its flags and what is in it.
fn next_frame(stream: &mut UnixStream) -> io::Result<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap()];
    stream.read_exact(&mut payload)?;
    Ok((head[3], head[4], payload))
}

/// Opens the call as a server, with these settings, and says what is given.
fn open(stream: &mut UnixStream, settings: &[u8], messages: &[FromSidecar]) -> io::Result<()> {
    stream.write_all(&frame(4, 0, 0, settings))?;
    let mut preface = [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()];
    stream.read_exact(&mut preface)?;
    let (mut called, mut acknowledged) = (false, false);
    while !called || !acknowledged {
        let (kind, flags, _) = next_frame(stream)?;
        called |= kind == 1;
        acknowledged |= kind == 4 && flags == 1;
    }
    let head = [&[0x88, 0x5f, 16][..], b"application/grpc"].concat();
    let mut said = [SETTINGS_ACK, &frame(1, 4, 1, &head)].concat();
    for message in messages {
        let message = message.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        said.extend(frame(0, 0, 1, &[&[0], &length[..], &message].concat()));
    }
    stream.write_all(&said)
}

/// Answers so many pings, and takes the rest in silence; an error is the end of the connection.
fn ping(stream: &mut UnixStream, mut answered: u64, heard: &AtomicU64) -> io::Result<()> {
    loop {
        if let (6, 0, opaque) = next_frame(stream)? {
            heard.fetch_add(1, Ordering::Relaxed);
            if answered > 0 {
                answered -= 1;
                stream.write_all(&frame(6, 1, 0, &opaque))?;
            }
        }
    }
}

/// Grants no window, so that an answer waits for ever; ends the call in order; and goes on answering pings.
fn strand(stream: &mut UnixStream) -> io::Result<()> {
    // SETTINGS_INITIAL_WINDOW_SIZE = 0. The second message is no request, and that is answered.
    open(stream, &[0, 4, 0, 0, 0, 0], &[hello(), FromSidecar { id: 7, ask: None }])?;
    thread::sleep(Duration::from_millis(300));
    let trailers = [&[0, 11][..], b"grpc-status", &[1, b'0']].concat();
    stream.write_all(&frame(1, 5, 1, &trailers))?;
    ping(stream, u64::MAX, &AtomicU64::new(0))
}

/// Sends what it is told over the real protocol, as fast as it is taken.
#[derive(Clone)]
struct Talker {
    say: fn(u64) -> FromSidecar,
    heard: tokio::sync::mpsc::UnboundedSender<FromAgent>,
    sent: Arc<AtomicU64>,
    calls: Arc<AtomicU64>,
    /// So many messages.
    limit: u64,
    /// Bytes of metadata before the first word.
    metadata: usize,
}

#[async_trait]
impl link_server::Link for Talker {
    type AttendStream = ReceiverStream<Result<FromSidecar, Status>>;

    async fn attend(&self, call: Call<Streaming<FromAgent>>) -> Result<Response<Self::AttendStream>, Status> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let (out, outgoing) = tokio::sync::mpsc::channel(1);
        let this = self.clone();
        let mut incoming = call.into_inner();
        tokio::spawn(async move {
            for number in 0..this.limit {
                if out.send(Ok((this.say)(number))).await.is_err() {
                    return;
                }
                this.sent.fetch_add(1, Ordering::Relaxed);
            }
            // The stream stays open.
            std::future::pending::<()>().await;
        });
        let heard = self.heard.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                let _ = heard.send(message);
            }
        });
        let mut response = Response::new(ReceiverStream::new(outgoing));
        if self.metadata > 0 {
            response.metadata_mut().insert("x-much", "x".repeat(self.metadata).parse().unwrap());
        }
        Ok(response)
    }
}

struct Talking {
    heard: tokio::sync::mpsc::UnboundedReceiver<FromAgent>,
    sent: Arc<AtomicU64>,
    /// How often somebody came.
    calls: Arc<AtomicU64>,
}

fn talk(folder: &Path, limit: u64, metadata: usize, say: fn(u64) -> FromSidecar) -> Talking {
    let (sender, heard) = tokio::sync::mpsc::unbounded_channel();
    let (sent, calls) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let talker = Talker { say, heard: sender, sent: Arc::clone(&sent), calls: Arc::clone(&calls), limit, metadata };
    let listener = listen(folder, NAME);
    listener.set_nonblocking(true).unwrap();
    let incoming = UnixListenerStream::new(tokio::net::UnixListener::from_std(listener).unwrap());
    let service = link_server::LinkServer::new(talker).max_encoding_message_size(usize::MAX);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    Talking { heard, sent, calls }
}

fn hello() -> FromSidecar {
    FromSidecar { id: 0, ask: Some(Ask::Hello(Hello { version: "9.9.9\u{1b}[2J".to_owned(), node: String::new() })) }
}

fn over(id: u64) -> FromSidecar {
    FromSidecar { id, ask: Some(Ask::Over(Over {})) }
}

fn prepare(id: u64, names: &[&str]) -> FromSidecar {
    let node_profiles = names.iter().map(|name| (*name).to_owned()).collect();
    FromSidecar { id, ask: Some(Ask::Prepare(Prepare { node_profiles, memory_lock: None })) }
}

impl Talking {
    /// The answer to a request.
    async fn answer(&mut self, id: u64) -> Answer {
        loop {
            let message = tokio::time::timeout(LONG, self.heard.recv()).await.expect("no answer").unwrap();
            if message.id == id {
                return message.answer.unwrap();
            }
        }
    }
}

fn kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn is_served(desk: &Desk) {
    for _ in 0..4 {
        if desk.confirm(&Errand::default()).await == Ok(Confirmed { lock: false }) {
            return;
        }
    }
    panic!("no agent comes");
}

fn asked_of(agent: &Agent, number: u32) -> usize {
    agent.seen().asked.iter().filter(|(pod, _)| pod.uid == uid(number)).count()
}

#[tokio::test]
async fn many_requests_are_read_slowly_and_answered() {
    let node = Node::new();
    let mut talking = talk(&node.pod(1), 14, 0, |number| if number == 0 { hello() } else { over(number) });
    let agent = Agent::new([READY]);
    let begin = std::time::Instant::now();
    let _finding = agent.serve(node.places());
    agent.sees(|seen| seen.asked.len() >= 11).await;
    // Ten at once, one a second after that.
    let most = 10 + usize::try_from(begin.elapsed().as_secs()).unwrap();
    assert!(agent.seen().asked.len() <= most, "{:?}", begin.elapsed());
    assert!(matches!(talking.answer(13).await, Answer::Released(_)));
    assert_eq!(agent.seen().asked.len(), 13);
    assert!(agent.seen().unlinked.is_empty());
}

#[tokio::test]
async fn a_flood_of_requests_ends_its_own_link() {
    let node = Node::new();
    let talking = talk(&node.pod(1), u64::MAX, 0, |number| if number == 0 { hello() } else { over(number) });
    let good = Desk::new(Policy::Required);
    let _serving = serve(&good, &node.pod(2));
    let agent = Agent::new([READY]);
    let _finding = agent.serve(node.places());
    let seen = agent.sees(|seen| seen.unlinked.len() >= 2).await;
    assert!(seen.unlinked.iter().all(|linked| *linked == uid(1)));
    // Each time ten, and the rest was not even taken: a window holds some thousands.
    assert!(asked_of(&agent, 1) <= 10 * agent.seen().linked.len(), "{}", asked_of(&agent, 1));
    assert!(talking.sent.load(Ordering::Relaxed) < 40_000, "{:?}", talking.sent);
    is_served(&good).await;
}

#[tokio::test]
async fn no_more_than_four_requests_are_worked_on() {
    let node = Node::new();
    let talking = talk(&node.pod(1), 9, 0, |number| if number == 0 { hello() } else { prepare(number, &[]) });
    let agent = Agent::new([Act::Hang]);
    let _finding = agent.serve(node.places());
    agent.sees(|seen| seen.asked.len() == 4).await;
    let good = Desk::new(Policy::Required);
    let _serving = serve(&good, &node.pod(2));
    // Its own wait is long enough for more to come, if more came.
    assert!(good.confirm(&Errand::default()).await.is_err());
    assert_eq!((asked_of(&agent, 1), asked_of(&agent, 2)), (4, 1));
    assert_eq!(talking.sent.load(Ordering::Relaxed), 9);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_and_the_link_goes_on() {
    let node = Node::new();
    let mut talking = talk(&node.pod(1), 8, 0, |number| match number {
        0 => hello(),
        // Asked by a newer sidecar: to us, nothing.
        1 => FromSidecar { id: 1, ask: None },
        2 => FromSidecar { id: 2, ..hello() },
        3 => prepare(3, &["../../etc/passwd"]),
        4 => prepare(4, &["0000:3b:00.0"]),
        5 => prepare(5, &["a", "a"]),
        6 => prepare(6, &["a"; 40]),
        7 => prepare(7, &["isolate"]),
        _ => FromSidecar { id: 0, ask: None },
    });
    let agent = Agent::new([READY]);
    let _finding = agent.serve(node.places());
    let mut refusals = Vec::new();
    for id in 1..=6 {
        let Answer::Refused(refused) = talking.answer(id).await else { panic!("{id} is not refused") };
        refusals.push((refused.code(), refused.reason));
    }
    use refused::Code::{Invalid, Unimplemented};
    let expected = [
        (Unimplemented, "this agent of virt-tailor does not know the request: the sidecar is newer, update the agent"),
        (Invalid, "the sidecar introduces itself twice"),
        (Invalid, "\"../../etc/passwd\" is not the name of a node profile"),
        (Invalid, "\"0000:3b:00.0\" is not the name of a node profile"),
        (Invalid, "the node profile \"a\" is named twice"),
        (Invalid, "40 node profiles are named; 32 at most are taken"),
    ];
    assert_eq!(refusals, expected.map(|(code, line)| (code, line.to_owned())));
    // And an honest request after all that is answered: the answer repeats what was done.
    let Answer::Ready(ready) = talking.answer(7).await else { panic!("not answered") };
    assert_eq!(ready.node_profiles, ["isolate"]);
    let asked = agent.seen().asked;
    let isolate = Request::Prepare { node_profiles: vec!["isolate".to_owned()], memlock: None };
    assert_eq!(asked.iter().map(|(_, request)| request).collect::<Vec<_>>(), [&isolate]);
}

#[tokio::test]
async fn a_link_that_has_ended_keeps_no_connection() {
    let node = Node::new();
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    raw(&node.pod(1), move |stream| {
        let end = strand(stream).map_err(|error| error.kind());
        let _ = ended.send(end);
    });
    let agent = Agent::new([READY]);
    let _finding = agent.serve(node.places());
    // It came as far as a link.
    agent.sees(|seen| !seen.unlinked.is_empty()).await;
    let end = tokio::time::timeout(Duration::from_secs(10), ends.recv()).await.expect("the connection is kept");
    let kinds =
        [Err(io::ErrorKind::UnexpectedEof), Err(io::ErrorKind::ConnectionReset), Err(io::ErrorKind::BrokenPipe)];
    let end = end.unwrap();
    assert!(kinds.contains(&end), "{end:?}");
}

/// A sidecar that hangs: its kernel takes all that is sent to it.
#[tokio::test]
async fn a_link_on_which_no_ping_is_answered_ends_and_no_other() {
    let node = Node::new();
    // One that hangs after a while, and one that does nothing but answer pings.
    let pings: [Arc<AtomicU64>; 2] = Default::default();
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    for ((number, answered), heard) in [(1, 1), (2, u64::MAX)].into_iter().zip(&pings) {
        let (heard, ended) = (Arc::clone(heard), ended.clone());
        raw(&node.pod(number), move |stream| {
            let end = open(stream, &[], &[hello()]).and_then(|()| ping(stream, answered, &heard));
            let _ = ended.send((number, end.map_err(|error| error.kind())));
        });
    }
    let good = Desk::new(Policy::Required);
    let _serving = serve(&good, &node.pod(3));
    let agent = Agent::new([READY]);
    let _finding = agent.serve(Places { ping: Duration::from_secs(2), ..node.places() });
    is_served(&good).await;
    let seen = agent.sees(|seen| !seen.unlinked.is_empty()).await;
    assert_eq!(seen.unlinked, [uid(1)]);
    // The connection with it, and it had been asked again after its first answer.
    let (number, end) = tokio::time::timeout(LONG, ends.recv()).await.expect("the connection is kept").unwrap();
    assert!(number == 1 && end.is_err(), "{number} {end:?}");
    assert_eq!(pings[0].load(Ordering::Relaxed), 2);

    // The others were asked as often, and are there.
    assert!(pings[1].load(Ordering::Relaxed) >= 2, "{pings:?}");
    is_served(&good).await;
    let seen = agent.seen();
    assert!(!seen.unlinked.iter().any(|unlinked| *unlinked != uid(1)), "{:?}", seen.unlinked);
    assert_eq!([2, 3].map(|number| seen.linked.iter().filter(|linked| **linked == uid(number)).count()), [1, 1]);
}

/// Who is silent is let go of after five seconds, and not before.
#[tokio::test]
async fn silence_ends_a_link_after_five_seconds() {
    let node = Node::new();
    raw(&node.pod(1), hold);
    let (log, _logging) = Log::start();
    let agent = Agent::new([READY]);
    let _finding = agent.serve(node.places());
    let begin = std::time::Instant::now();
    let line = said_of(&log, 1).await;
    assert!(line.contains("nothing was said within 5 s"), "{line}");
    assert!(begin.elapsed() > Duration::from_secs(4), "{:?}", begin.elapsed());
    assert_eq!(agent.seen().linked, [""; 0]);
}

/// What is as long as it may be, and what is longer: each limit is what decides, not another one behind it.
#[tokio::test]
async fn lists_of_headers_and_messages_have_a_greatest_length() {
    let node = Node::new();
    let mut short = talk(&node.pod(1), 2, 6 << 10, |number| match number {
        0 => hello(),
        _ => prepare(number, &[&"y".repeat(15 << 10)]),
    });
    let _headers = talk(&node.pod(2), 2, 10 << 10, |_| hello());
    let mut message = talk(&node.pod(3), 2, 0, |number| match number {
        0 => hello(),
        _ => prepare(number, &[&"y".repeat(17 << 10)]),
    });
    let (log, _logging) = Log::start();
    let agent = Agent::new([READY]);
    let _finding = agent.serve(node.places());
    assert!(matches!(short.answer(1).await, Answer::Refused(_)));
    let line = said_of(&log, 2).await;
    assert!(line.contains("the connection is broken: "), "{line}");
    let line = said_of(&log, 3).await;
    assert!(line.contains("the connection is broken: ") && line.contains("16384"), "{line}");
    let seen = agent.seen();
    assert!(seen.linked.contains(&uid(1)) && !seen.unlinked.contains(&uid(1)), "{seen:?}");
    assert!(!seen.linked.contains(&uid(2)), "{:?}", seen.linked);
    assert!(seen.linked.contains(&uid(3)) && seen.unlinked.contains(&uid(3)), "{seen:?}");
    let mut heard = Vec::new();
    while let Ok(message) = message.heard.try_recv() {
        heard.push(message.id);
    }
    assert!(heard.iter().all(|id| *id == 0), "only our own Hello: {heard:?}");
}

/// What a peer says is shown up to 300 characters: in an answer, and in the log.
#[tokio::test]
async fn a_long_text_of_the_other_side_is_cut() {
    let node = Node::new();
    let mut talking = talk(&node.pod(1), 2, 0, |number| match number {
        0 => FromSidecar { id: 0, ask: Some(Ask::Hello(Hello { version: "v".repeat(1000), node: String::new() })) },
        _ => prepare(number, &[&"é".repeat(1000)]),
    });
    let (log, _logging) = Log::start();
    let agent = Agent::new([READY]);
    let _finding = agent.serve(node.places());
    let Answer::Refused(refused) = talking.answer(1).await else { panic!("not refused") };
    // A quotation mark comes first.
    assert_eq!(refused.reason, format!("\"{}…", "é".repeat(299)));
    let linked = log.lines("linked");
    let [linked] = linked.as_slice() else { panic!("{linked:?}") };
    assert!(linked.contains(&format!("{}…", "v".repeat(300))) && !linked.contains(&"v".repeat(301)), "{linked}");
}

/// The first thing that is said of why a pod has no link.
async fn said_of(log: &Log, number: u32) -> String {
    let uid = uid(number);
    let said = async {
        loop {
            let lines = log.lines("no link to this pod");
            if let Some(line) = lines.into_iter().find(|line| line.contains(&uid)) {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, said).await.expect("nothing is said of it")
}

/// Pods that are hostile in every way there is.
pub(crate) struct Crowd {
    /// How many there are, numbered from 1.
    pub(crate) pods: u32,
    /// How many kinds of them.
    kinds: u32,
    /// How often somebody came to each.
    calls: Vec<Arc<AtomicU64>>,
    silent: Vec<Arc<AtomicU64>>,
    _talkers: Vec<Talking>,
}

impl Crowd {
    /// So many of each kind; must be made in a runtime.
    pub(crate) fn gather(node: &Node, times: u32) -> Self {
        let mut pods = 0;
        let mut next = || {
            pods += 1;
            node.pod(pods)
        };
        let (mut calls, mut silent, mut talkers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..times {
            // Silence.
            silent.push(raw(&next(), hold));
            // Hangs up.
            calls.push(raw(&next(), |_| ()));
            // Not HTTP/2 at all.
            calls.push(raw(&next(), |stream| pour(stream, &[0x55; 4096])));
            // A frame longer than allowed: 16 MiB are announced.
            calls.push(raw(&next(), |stream| {
                let _ = stream.write_all(SETTINGS);
                pour(stream, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
            }));
            // HTTP/2, but only pings.
            calls.push(raw(&next(), |stream| {
                let _ = stream.write_all(&[SETTINGS, SETTINGS_ACK].concat());
                pour(stream, &frame(6, 0, 0, &[7; 8]).repeat(200));
            }));
            // Only settings.
            calls.push(raw(&next(), |stream| pour(stream, &SETTINGS.repeat(400))));
            // Headers that never end.
            calls.push(raw(&next(), |stream| {
                let _ = stream.write_all(&[SETTINGS, SETTINGS_ACK].concat());
                let _ = stream.write_all(&frame(1, 0, 1, &[0x88]));
                pour(stream, &frame(9, 0, 1, &[0x40, 1, b'a', 1, b'b'].repeat(100)));
            }));
            // Headers that come byte by byte.
            calls.push(raw(&next(), |stream| {
                let _ = stream.write_all(&[SETTINGS, SETTINGS_ACK].concat());
                for byte in frame(1, 0, 1, &[0x88; 4000]) {
                    if stream.write_all(&[byte]).is_err() {
                        return;
                    }
                    thread::sleep(Duration::from_millis(100));
                }
            }));
            // Streams that nobody asked for.
            calls.push(raw(&next(), |stream| {
                let _ = stream.write_all(&[SETTINGS, SETTINGS_ACK].concat());
                pour(stream, &frame(5, 4, 1, &[0, 0, 0, 2, 0x82]).repeat(100));
            }));
            // A long list of headers, a huge message, a message that is no introduction, requests without end.
            talkers.push(talk(&next(), u64::MAX, 64 << 10, |_| hello()));
            talkers.push(talk(&next(), u64::MAX, 0, |_| prepare(1, &[&"x".repeat(1 << 20)])));
            talkers.push(talk(&next(), u64::MAX, 0, over));
            talkers.push(talk(&next(), u64::MAX, 0, |number| match number {
                0 => hello(),
                _ => prepare(number, &[&"y".repeat(15 << 10)]),
            }));
        }
        calls.extend(silent.iter().cloned());
        calls.extend(talkers.iter().map(|talking| Arc::clone(&talking.calls)));
        Self { pods, kinds: pods / times, calls, silent, _talkers: talkers }
    }

    /// How often somebody came to those who are silent.
    pub(crate) fn calls_of_silent(&self) -> Vec<u64> {
        self.silent.iter().map(|calls| calls.load(Ordering::Relaxed)).collect()
    }

    /// Who introduces himself, and then asks without end: the last kind.
    fn introduced(&self) -> Vec<String> {
        (1..=self.pods).filter(|number| number.is_multiple_of(self.kinds)).map(uid).collect()
    }

    /// How often somebody came, to each.
    pub(crate) fn calls(&self) -> Vec<u64> {
        self.calls.iter().map(|calls| calls.load(Ordering::Relaxed)).collect()
    }
}

/// One pod for each way of being hostile; all at once, beside an honest one.
#[tokio::test]
async fn every_kind_of_hostility_costs_its_own_link_and_little_memory() {
    let node = Node::new();
    let agent = Agent::new([READY]);
    let before = kib("VmRSS");
    let crowd = Crowd::gather(&node, 6);
    let hostile = crowd.pods;
    let good = Desk::new(Policy::Required);
    let _serving = serve(&good, &node.pod(hostile + 1));
    let _finding = agent.serve(node.places());
    is_served(&good).await;
    // Longer than the first message may take, and some attempts.
    tokio::time::sleep(Duration::from_secs(8)).await;
    is_served(&good).await;
    let grown = kib("VmRSS").saturating_sub(before);
    println!("{hostile} hostile pods: {grown} KiB more, servers included");
    assert!(grown < 64 << 10, "{grown} KiB for {hostile} links and their servers");
    // Nobody came further than an introduction, and only who introduced himself came so far.
    let seen = agent.seen();
    let introduced = crowd.introduced();
    assert!(introduced.iter().all(|uid| seen.linked.contains(uid)), "{:?}", seen.linked);
    let strangers = seen.linked.iter().filter(|linked| **linked != uid(hostile + 1) && !introduced.contains(linked));
    assert_eq!(strangers.count(), 0, "{:?}", seen.linked);
    assert_eq!(seen.linked.iter().filter(|linked| **linked == uid(hostile + 1)).count(), 1);
    assert_eq!(seen.unlinked.iter().filter(|linked| **linked == uid(hostile + 1)).count(), 0);
    assert!(seen.asked.iter().all(|(pod, _)| pod.uid == uid(hostile + 1)), "{:?}", seen.asked.len());
}
