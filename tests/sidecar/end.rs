//! The end: in order, in time, with exit code 0 and nothing left.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use hyper::Response;
use hyper::body::Incoming;

use crate::raw::{DEFINE, Sent, call, define_message, dial};
use crate::rig::{LONG, Sidecar, command, define, entries, kill, sample, shutdown, vmi, within};

/// Ends it and tells how long that took.
fn ends(sidecar: &mut Sidecar, signal: &str) -> Duration {
    let begin = Instant::now();
    sidecar.signal(signal);
    assert_eq!(sidecar.ended().code(), Some(0), "{}", sidecar.log());
    assert!(entries(&sidecar.hooks).is_empty());
    begin.elapsed()
}

#[test]
fn signals_end_it_at_once() {
    for signal in ["-TERM", "-INT"] {
        let mut sidecar = Sidecar::start(&[]);
        ends(&mut sidecar, signal);
        assert!(!sidecar.log().contains("a connection hangs"), "{signal}: {}", sidecar.log());
    }
}

#[test]
fn a_signal_at_any_moment_of_the_start_leaves_nothing() {
    let mut ways = [0, 0];
    for step in 0..150_u64 {
        let folder = tempfile::tempdir().unwrap();
        let mut child = command(folder.path()).stderr(Stdio::null()).spawn().unwrap();
        // A start takes a few milliseconds here.
        let until = Instant::now() + Duration::from_micros(step * 100);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        kill("-TERM", child.id());
        let status = within(LONG, || child.try_wait().unwrap()).unwrap_or_else(|| {
            let about = |what| std::fs::read_to_string(format!("/proc/{}/{what}", child.id())).unwrap_or_default();
            panic!("after {step}00 µs it does not end: in {}\n{}", about("wchan"), about("status"))
        });
        // Before it has taken over signals the kernel ends it; then it has touched nothing yet.
        match status.code() {
            Some(0) => ways[1] += 1,
            _ => {
                assert_eq!(status.signal(), Some(15));
                ways[0] += 1;
            }
        }
        assert!(entries(folder.path()).is_empty(), "after {step}00 µs: {:?}", entries(folder.path()));
    }
    println!("ended by the kernel: {}, by itself: {}", ways[0], ways[1]);
    assert!(ways[1] > 0);
}

#[tokio::test]
async fn an_idle_connection_delays_nothing() {
    let mut sidecar = Sidecar::start(&[]);
    let channel = sidecar.client().await;
    define(channel.clone(), sample("plain.pass1.xml").into(), vmi("plain", &[]).into()).await.unwrap();
    let log = tokio::task::spawn_blocking(move || {
        ends(&mut sidecar, "-TERM");
        sidecar.log()
    });
    let log = log.await.unwrap();
    assert!(!log.contains("a connection hangs"), "{log}");
    drop(channel);
}

/// A call of which the sidecar has one half: its head has been read, for an Info behind it on the same connection was answered.
async fn half_a_call(
    sidecar: &Sidecar,
) -> (tokio::task::JoinHandle<Result<Response<Incoming>, hyper::Error>>, impl FnOnce()) {
    let message = define_message(&sample("plain.pass1.xml"), &vmi("plain", &[]));
    let (body, finish) = Sent::halves(&message);
    let mut sender = dial(&sidecar.socket()).await;
    let mut other = sender.clone();
    let under_way = tokio::spawn(async move { call(&mut sender, DEFINE, body).await });
    tokio::task::yield_now().await;
    let info = call(&mut other, "/kubevirt.hooks.info.Info/Info", Sent::message(&[])).await.unwrap();
    assert_eq!(info.headers().get("grpc-status"), None, "Info is answered");
    assert!(!under_way.is_finished());
    (under_way, finish)
}

/// Waits for a line of the log.
fn said(sidecar: &Sidecar, what: &str) {
    within(LONG, || sidecar.log().contains(what).then_some(())).unwrap_or_else(|| panic!("{}", sidecar.log()));
}

#[tokio::test]
async fn a_signal_in_the_middle_of_a_call_lets_it_be_answered() {
    let mut sidecar = Sidecar::start(&[]);
    let (under_way, finish) = half_a_call(&sidecar).await;
    sidecar.signal("-TERM");
    said(&sidecar, "\"asked_by\":\"SIGTERM\"");
    assert!(!under_way.is_finished());
    assert!(!sidecar.log().contains("answered"));
    finish();
    let answer = under_way.await.unwrap().unwrap();
    // The status of a good answer is behind it, not in its head.
    assert_eq!(answer.headers().get("grpc-status"), None);
    assert_eq!(sidecar.ended().code(), Some(0));
    assert!(sidecar.log().contains("answered") && entries(&sidecar.hooks).is_empty(), "{}", sidecar.log());
}

#[tokio::test]
async fn a_signal_while_a_document_is_fitted_lets_it_be_answered() {
    let asking = vmi("plain", &[("domain.virt-tailor.io/viommu.model", "virtio")]);
    // How long it takes depends on the machine; that the signal came in between is seen in the log.
    let within_the_call = async |elements: usize| {
        let mut sidecar = Sidecar::start(&[]);
        let mut domain = sample("plain.pass1.xml");
        let many = "<x a='b'></x>".repeat(elements);
        domain.insert_str(
            domain.find("<devices>").unwrap(),
            &format!("<metadata><y xmlns='urn:y'>{many}</y></metadata>"),
        );
        let call = tokio::spawn(define(sidecar.client().await, domain.into(), asking.clone().into()));
        tokio::time::sleep(Duration::from_millis(50)).await;
        sidecar.signal("-TERM");
        let answer = call.await.unwrap();
        assert_eq!(sidecar.ended().code(), Some(0));
        let log = sidecar.log();
        if log.contains("a connection hangs; it is dropped") {
            // This machine took more than the three seconds that there are.
            return false;
        }
        assert!(answer.is_ok(), "{answer:?}");
        log.find("asked_by").unwrap() < log.find("\"answered\"").unwrap()
    };
    let mut came = false;
    for elements in [2_000, 5_000, 10_000, 20_000, 40_000] {
        came |= within_the_call(elements).await;
    }
    assert!(came, "no signal came within a call");
}

#[tokio::test]
async fn a_signal_after_shutdown_changes_nothing() {
    let mut sidecar = Sidecar::start(&[]);
    let (under_way, finish) = half_a_call(&sidecar).await;
    shutdown(sidecar.client().await).await.unwrap();
    said(&sidecar, "\"asked_by\":\"Shutdown\"");
    // Shutdown is answered, and the other call keeps the process.
    sidecar.signal("-TERM");
    sidecar.signal("-INT");
    finish();
    assert_eq!(under_way.await.unwrap().unwrap().headers().get("grpc-status"), None);
    assert_eq!(sidecar.ended().code(), Some(0), "{}", sidecar.log());
    assert!(entries(&sidecar.hooks).is_empty());
}

#[test]
fn signals_without_end_do_not_disturb_the_end() {
    let mut sent = 0_u32;
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let mut child = command(folder.path()).stderr(Stdio::null()).spawn().unwrap();
        within(LONG, || entries(folder.path()).iter().any(|name| name.ends_with(".sock")).then_some(())).unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        // From the first to the last moment of cleaning up, and beyond.
        let status = loop {
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
            sent += 1;
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
        };
        assert_eq!(status.code(), Some(0), "after {sent} signals");
        assert!(entries(folder.path()).is_empty());
    }
    println!("{sent} signals");
    assert!(sent > 100, "{sent}: it has ended before there was a second one");
}

/// Connects and begins a call whose head never gets whole.
fn halting(socket: &std::path::Path) -> UnixStream {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    // SETTINGS, and HEADERS of stream 1 without an end.
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
    stream.write_all(&[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x83]).unwrap();
    stream.set_nonblocking(true).unwrap();
    stream
}

/// Whether the other side has closed it.
fn is_over(stream: &mut UnixStream) -> bool {
    let would_block = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    let mut heard = [0; 256];
    loop {
        match stream.read(&mut heard) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !would_block(&error),
        }
    }
}

#[tokio::test]
async fn two_hundred_slow_clients_are_in_nobodys_way() {
    let mut sidecar = Sidecar::start(&[]);
    let mut slow: Vec<UnixStream> = (0..200).map(|_| halting(&sidecar.socket())).collect();
    for _ in 0..10 {
        crate::rig::info(sidecar.client().await).await;
        sidecar.define(sample("plain.pass1.xml"), vmi("plain", &[])).await.unwrap();
    }
    // Nobody had to be sent away for that, so nobody had to wait until somebody could be.
    assert_eq!(slow.iter_mut().filter_map(|stream| is_over(stream).then_some(())).count(), 0);
    assert!(!sidecar.log().contains("no room"), "{}", sidecar.log());
    shutdown(sidecar.client().await).await.unwrap();
    assert_eq!(sidecar.ended().code(), Some(0));
}

#[tokio::test]
async fn more_slow_clients_than_there_is_room_for_keep_nobody_out() {
    let mut sidecar = Sidecar::start(&[]);
    let socket = sidecar.socket();
    let mut slow: Vec<UnixStream> = (0..600).map(|_| halting(&socket)).collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..4 {
        // Whoever was sent away comes again.
        for stream in slow.iter_mut().filter_map(|stream| is_over(stream).then_some(stream)).take(300) {
            *stream = halting(&socket);
        }
        let asked = Instant::now();
        crate::rig::info(sidecar.client().await).await;
        slowest = slowest.max(asked.elapsed());
        sidecar.define(sample("plain.pass1.xml"), vmi("plain", &[])).await.unwrap();
    }
    println!("the slowest Info, with its connection, took {slowest:?}");
    // virt-launcher gives a connection two seconds and Info one; the rest is for a test build on a busy machine.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert!(sidecar.log().contains("no room for another connection"), "{}", sidecar.log());
    shutdown(sidecar.client().await).await.unwrap();
    assert_eq!(sidecar.ended().code(), Some(0));
}

#[test]
fn connections_that_hang_are_dropped_in_time() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    // HEADERS of stream 1 without an end, then silence: a call that never comes to its document.
    const HEADERS: &[u8] = &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x83];
    let starts: [&[&[u8]]; 5] = [&[], &[b"PRI * HT"], &[PREFACE], &[PREFACE, SETTINGS], &[PREFACE, SETTINGS, HEADERS]];
    std::thread::scope(|scope| {
        for pieces in starts {
            scope.spawn(move || {
                let mut sidecar = Sidecar::start(&[]);
                let mut stream = UnixStream::connect(sidecar.socket()).unwrap();
                for piece in pieces {
                    stream.write_all(piece).unwrap();
                }
                std::thread::sleep(Duration::from_millis(50));
                let took = ends(&mut sidecar, "-TERM");
                println!("{} pieces: {took:?}", pieces.len());
                assert!(took < Duration::from_secs(18), "{took:?}");
                // Nobody is left to talk to.
                stream.set_read_timeout(Some(LONG)).unwrap();
                let _ = stream.read_to_end(&mut Vec::new());
            });
        }
    });
}

#[tokio::test]
async fn a_slow_client_keeps_nobody_waiting() {
    let mut sidecar = Sidecar::start(&[]);
    let socket = sidecar.socket();
    let slow: Vec<UnixStream> = (0..120)
        .map(|_| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.write_all(b"PRI * HTTP/2.0\r\n").unwrap();
            stream
        })
        .collect();
    let begin = Instant::now();
    sidecar.define(sample("plain.pass1.xml"), vmi("plain", &[])).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    let begin = Instant::now();
    shutdown(sidecar.client().await).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!(sidecar.ended().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(18), "{:?}", begin.elapsed());
    drop(slow);
}

#[tokio::test]
async fn a_silent_connection_is_ended_and_keeps_no_shutdown_out() {
    let mut sidecar = Sidecar::start(&[]);
    let socket = sidecar.socket();
    // Nothing at all, and a preface that never gets whole.
    let mut silent = UnixStream::connect(&socket).unwrap();
    let mut halting = UnixStream::connect(&socket).unwrap();
    halting.write_all(b"PRI * HTTP/2.0\r\n").unwrap();
    for stream in [&mut silent, &mut halting] {
        stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        let mut heard = Vec::new();
        let end = stream.read_to_end(&mut heard);
        // Closed, or reset: not a timeout of ours.
        let timeout = end
            .as_ref()
            .is_err_and(|e| matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
        assert!(!timeout, "the connection is still open: {end:?}");
    }
    shutdown(sidecar.client().await).await.unwrap();
    assert_eq!(sidecar.ended().code(), Some(0));
}
