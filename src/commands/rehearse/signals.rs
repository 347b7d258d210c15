//! Signals that end a rehearsal in order: what it has started ends with it, and its folder goes.
//!
//! SIGKILL cannot be caught: then the sidecar ends by itself (see `process`), and only the folder `vt-*` in the temporary folder stays.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use crate::base::held_back;
use nix::sys::signal::Signal;
use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};

/// The signals, from the moment that this is made. Must be made in a runtime.
#[derive(Debug)]
pub(super) struct Signals([(Signal, Arrivals); 3]);

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        held_back(|| {
            Ok(Self([
                (Signal::SIGTERM, signal(SignalKind::terminate())?),
                (Signal::SIGINT, signal(SignalKind::interrupt())?),
                // The terminal is gone.
                (Signal::SIGHUP, signal(SignalKind::hangup())?),
            ]))
        })
    }

    /// Waits for the first to come.
    pub(super) async fn first(mut self) -> Signal {
        poll_fn(|context| {
            for (signal, arrivals) in &mut self.0 {
                if arrivals.poll_recv(context).is_ready() {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }
}
