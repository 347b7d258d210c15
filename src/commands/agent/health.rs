//! How far the agent is and how it fares, for whoever probes it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// How far the agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing is served yet; what is being done.
    Starting(&'static str),
    /// Everything is served.
    Serving,
    /// A signal has come.
    Ending,
}

/// What a probe asks.
#[derive(Debug)]
pub(super) struct Health {
    stage: Mutex<Stage>,
    /// Whether the last look at the node's devices went well.
    well: AtomicBool,
}

impl Health {
    pub(super) fn new() -> Self {
        Self { stage: Mutex::new(Stage::Starting("beginning")), well: AtomicBool::new(true) }
    }

    /// Takes the next stage in. After the end none comes.
    pub(super) fn enter(&self, next: Stage) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if *stage != Stage::Ending {
            *stage = next;
        }
    }

    /// How the last look at the node's devices went.
    pub(super) fn look_went(&self, well: bool) {
        self.well.store(well, Ordering::Relaxed);
    }

    /// Why the agent is not ready, if it is not.
    pub(super) fn unready(&self) -> Option<String> {
        match *self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Starting(what) => Some(format!("starting: {what}")),
            Stage::Ending => Some("ending".to_owned()),
            Stage::Serving if self.well.load(Ordering::Relaxed) => None,
            Stage::Serving => Some("the node cannot be looked at: see the log".to_owned()),
        }
    }
}
