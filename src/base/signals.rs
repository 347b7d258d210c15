//! The moment in which a program takes over its signals.

use std::io;

use nix::sys::signal::{SigSet, Signal};

/// Runs what takes over SIGTERM, SIGINT and SIGHUP while they are held back on this thread; one that comes meanwhile comes after.
///
/// tokio's registry (the crate signal-hook-registry) first gives the kernel its handler and then notes whom to tell. A signal between the
/// two is lost: it neither ends the process, as before, nor is anybody told, and a sidecar would wait for its end in vain.
///
/// # Errors
///
/// Those of `take_over`, or that the mask cannot be changed.
pub fn held_back<T>(take_over: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    let before = signals.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
    let outcome = take_over();
    before.thread_set_mask()?;
    outcome
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use nix::sys::signal::raise;

    use super::*;

    #[test]
    fn a_signal_in_that_moment_comes_after() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let there = AtomicBool::new(false);
        runtime.block_on(async {
            let mut hangup = held_back(|| {
                raise(Signal::SIGHUP)?;
                let taken = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
                there.store(true, Ordering::Relaxed);
                Ok(taken)
            })
            .unwrap();
            assert!(there.load(Ordering::Relaxed), "not ended by it");
            hangup.recv().await;
        });
        // And the mask is as it was.
        assert!(!SigSet::thread_get_mask().unwrap().contains(Signal::SIGHUP));
    }
}
