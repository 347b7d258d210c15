//! One call, from its head to the last byte of its answer: what it holds, and on which connection.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tonic::codegen::http::Uri;

use super::budget::Share;
use super::line::Line;

/// One call. Everything that works for it keeps it, and its memory is free again when the last of them is done.
#[derive(Debug)]
pub(super) struct Call {
    point: Uri,
    line: Arc<Line>,
    share: Mutex<Option<Share>>,
    bytes: AtomicUsize,
    /// Whether its message is there and its answer is not.
    ours: AtomicBool,
}

impl Call {
    pub(super) fn new(point: Uri, line: Arc<Line>) -> Self {
        Self { point, line, share: Mutex::new(None), bytes: AtomicUsize::new(0), ours: AtomicBool::new(false) }
    }

    /// What is called, e.g. `/kubevirt.hooks.info.Info/Info`.
    pub(super) fn point(&self) -> &str {
        self.point.path()
    }

    pub(super) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// How long its message is.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn has_bytes(&self, bytes: usize) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Keeps memory for it.
    pub(super) fn hold(&self, share: Share) {
        *self.share.lock().unwrap_or_else(PoisonError::into_inner) = Some(share);
    }

    /// Its message is there.
    pub(super) fn is_whole(&self) {
        if !self.ours.swap(true, Ordering::Relaxed) {
            self.line.begin();
        }
    }

    /// Nobody works for it any more.
    pub(super) fn is_over(&self, answered: bool) {
        if self.ours.swap(false, Ordering::Relaxed) {
            self.line.end(answered);
        }
    }
}
