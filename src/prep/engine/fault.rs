//! Places where a crash is tried out: every one between two writes.

/// A place where this process may be killed, in builds made for that (`--features fault-injection`).
#[cfg(not(feature = "fault-injection"))]
#[inline]
pub(super) fn point(_place: &str) {}

/// Ends this process as `kill -9` would at the place whose number, counted from 1, stands in `VIRT_TAILOR_FAULT`; the places that were
/// passed are added to the file that `VIRT_TAILOR_FAULT_LOG` names.
#[cfg(feature = "fault-injection")]
pub(super) fn point(place: &str) {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let number = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
    if let Some(path) = std::env::var_os("VIRT_TAILOR_FAULT_LOG")
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path)
    {
        let _ = writeln!(file, "{number} {place}");
    }
    if std::env::var("VIRT_TAILOR_FAULT").ok().and_then(|text| text.parse().ok()) == Some(number) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    }
}
