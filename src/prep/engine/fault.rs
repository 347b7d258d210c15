//! Places where a crash is tried out: every one between two writes.

use crate::prep::step::Step;

/// A place where this process may be killed, in builds made for that (`--features fault-injection`).
#[cfg(not(feature = "fault-injection"))]
#[inline]
pub(super) fn point(_place: &str) {}

/// Which step the places that follow are about.
#[cfg(not(feature = "fault-injection"))]
#[inline]
pub(super) fn about(_step: Option<&Step>) {}

/// Ends this process as `kill -9` would at the place whose number, counted from 1, stands in `VIRT_TAILOR_FAULT`; the places that were
/// passed are added to the file that `VIRT_TAILOR_FAULT_LOG` names, a line each: number, time in µs, kind of step, place.
#[cfg(feature = "fault-injection")]
pub(super) fn point(place: &str) {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let number = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
    if let Some(path) = std::env::var_os("VIRT_TAILOR_FAULT_LOG")
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path)
    {
        let step = ABOUT.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_micros();
        let _ = writeln!(file, "{number} {now} {} {place}", step.as_deref().unwrap_or("plan"));
    }
    if std::env::var("VIRT_TAILOR_FAULT").ok().and_then(|text| text.parse().ok()) == Some(number) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    }
}

/// The kind of step that the places are about, as the journal writes it.
#[cfg(feature = "fault-injection")]
static ABOUT: std::sync::Mutex<Option<String>> = std::sync::Mutex::new(None);

/// Which step the places that follow are about.
#[cfg(feature = "fault-injection")]
pub(super) fn about(step: Option<&Step>) {
    let kind = step.and_then(|step| Some(serde_json::to_value(step).ok()?.get("step")?.as_str()?.to_owned()));
    *ABOUT.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = kind;
}
