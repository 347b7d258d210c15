//! The end: in order, in time, with exit code 0 and nothing left.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

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
        let took = ends(&mut Sidecar::start(&[]), signal);
        assert!(took < Duration::from_secs(1), "{signal}: {took:?}");
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
        let status = within(LONG, || child.try_wait().unwrap()).expect("it does not end");
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
    let took = tokio::task::spawn_blocking(move || ends(&mut sidecar, "-TERM")).await.unwrap();
    assert!(took < Duration::from_secs(1), "{took:?}");
    drop(channel);
}

#[tokio::test]
async fn a_call_under_way_is_answered() {
    let mut sidecar = Sidecar::start(&[]);
    let channel = sidecar.client().await;
    let mut domain = sample("plain.pass1.xml");
    let many = "<x a='b'></x>".repeat(10_000);
    domain.insert_str(domain.find("<devices>").unwrap(), &format!("<metadata><y xmlns='urn:y'>{many}</y></metadata>"));
    let asking = vmi("plain", &[("domain.virt-tailor.io/viommu.model", "virtio")]);
    let call = tokio::spawn(define(channel, domain.into(), asking.into()));
    tokio::time::sleep(Duration::from_millis(30)).await;
    let under_way = !call.is_finished();
    sidecar.signal("-TERM");
    let answer = call.await.unwrap();
    println!("under way at the signal: {under_way}");
    assert!(answer.is_ok(), "{answer:?}");
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
                assert!(took < Duration::from_secs(3) + LONG / 2, "{took:?}");
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
    let slow: Vec<UnixStream> = (0..200)
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
    assert!(begin.elapsed() < Duration::from_secs(3) + LONG / 2, "{:?}", begin.elapsed());
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
