//! Answers come in time, whatever hangs. The clock is a test's: nobody waits.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Code;

use crate::hostile::{bodiless, message, raw};
use crate::rig::{Mood, Rig, connect, ours};

const TWO_SECONDS: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn a_node_that_hangs() {
    let rig = Rig::new().await;
    rig.model.feels(Mood::Hangs);
    let asked = Instant::now();
    let status = rig.call("PreVMStart", ours()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().starts_with("virt-tailor: the node is still being looked at"), "{status}");
    assert!(asked.elapsed() <= TWO_SECONDS, "{:?}", asked.elapsed());
    assert_eq!(rig.model.told().len(), 1);
    for stop in ["PreVMStop", "PostVMStop"] {
        let asked = Instant::now();
        rig.call(stop, ours()).await.unwrap();
        assert!(asked.elapsed() <= TWO_SECONDS, "{stop}: {:?}", asked.elapsed());
        assert_eq!(rig.model.told().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hang_holds_up_nobody_else() {
    let rig = Rig::new().await;
    rig.model.feels(Mood::Hangs);
    let asked = Instant::now();
    let mut all = JoinSet::new();
    // Each has a connection of its own, as virt-handler's workers have.
    for _ in 0..20 {
        let socket = rig.socket.clone();
        all.spawn(async move { raw(connect(&socket).await.unwrap(), message("PreVMStart", &ours())).await });
    }
    while let Some(answer) = all.join_next().await {
        assert_eq!(answer.unwrap().unwrap_err().code(), Code::Unavailable);
    }
    assert!(asked.elapsed() <= TWO_SECONDS, "{:?}", asked.elapsed());
    assert_eq!(rig.model.told().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn calls_whose_message_does_not_come_hold_up_nobody() {
    let rig = Rig::new().await;
    let mut all = JoinSet::new();
    for _ in 0..6 {
        all.spawn(bodiless(connect(&rig.socket).await.unwrap()));
    }
    // Until all have been received.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asked = Instant::now();
    rig.call("PostVMStop", ours()).await.unwrap();
    assert!(asked.elapsed() <= TWO_SECONDS, "{:?}", asked.elapsed());
    assert_eq!(rig.model.told(), ["PostVMStop vms/vm"]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_ends() {
    let rig = Rig::new().await;
    let began = Instant::now();
    let mut silent = UnixStream::connect(&rig.socket).await.unwrap();
    let mut all = Vec::new();
    let _ = silent.read_to_end(&mut all).await;
    assert!(began.elapsed() <= Duration::from_secs(10), "{:?}", began.elapsed());
    rig.call("PreVMStart", ours()).await.unwrap();
}
