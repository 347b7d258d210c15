//! Logs: JSON on standard error, one span per call. Never a user's data and never a whole document.

use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::domain::Outcome;
use crate::kubevirt::hook::{self, CloudInit, Reply};

/// Starts logging, and has panics logged instead of ending the process: one call's mistake must not take the pod with it.
pub fn start(verbose: bool) {
    let ours = if verbose { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let mut targets = Targets::new().with_target("virt_tailor", ours);
    if verbose {
        // Here h2 says what it refuses: the authority of a KubeVirt before 1.1, above all.
        targets = targets.with_target("h2::server", LevelFilter::DEBUG);
    }
    let lines = fmt::layer().json().flatten_event(true).with_span_list(false).with_writer(std::io::stderr);
    // Only a second logger could be refused, and there is none.
    let _ = tracing_subscriber::registry().with(lines).with(targets).try_init();
    hook::tell_places_of_panics(|place| tracing::error!(place, "this is a mistake of ours, please report it"));
}

/// What the log says of an answer.
pub(super) trait Answer {
    /// What was changed in the document, and what is to be known besides; tells how many changes there are.
    fn tell(&self) -> usize;
}

impl Answer for Outcome {
    fn tell(&self) -> usize {
        for change in &self.changes {
            tracing::info!(what = change.what, why = change.why, from = change.from, "changed");
        }
        for note in &self.notes {
            tracing::info!(note, "noted");
        }
        self.changes.len()
    }
}

impl Answer for CloudInit {
    /// User data is nobody's business.
    fn tell(&self) -> usize {
        for document in &self.changed {
            tracing::info!(what = %document, why = "the guest section is merged into its user data", "changed");
        }
        for note in &self.notes {
            tracing::info!(note, "noted");
        }
        self.changed.len()
    }
}

/// Logs a call with what was answered.
pub(super) fn reply<T: Answer>(point: &'static str, version: &'static str, reply: &Reply<T>, took: Duration) {
    let vm = reply.vm.as_deref().unwrap_or("unknown");
    let pass = reply.pass.map(|pass| pass.to_string());
    let pass = pass.as_deref().unwrap_or("unknown");
    let span = tracing::info_span!("call", point, version, vm, pass);
    let _inside = span.enter();
    let ms = took.as_secs_f64() * 1000.0;
    match (&reply.answer, &reply.kept) {
        (Err(error), _) => tracing::error!(reason = %error, ms, "refused"),
        (Ok(_), Some(error)) => {
            tracing::error!(reason = %error, ms, "left as it came, because of --on-error keep");
        }
        (Ok(answer), None) => {
            let changes = answer.tell();
            tracing::info!(changes, ms, "answered");
        }
    }
}
