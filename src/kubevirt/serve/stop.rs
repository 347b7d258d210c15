//! The one switch that ends a sidecar: Shutdown and signals turn it, everything that lasts watches it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::base::held_back;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The switch; every clone is the same one.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    switch: Arc<watch::Sender<bool>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { switch: Arc::new(watch::Sender::new(false)) }
    }
}

impl Stop {
    /// Asks for the end; only the first time counts.
    pub(super) fn ask(&self, who: &'static str) {
        let first = self.switch.send_if_modified(|asked| !std::mem::replace(asked, true));
        if first {
            tracing::info!(asked_by = who, "ending");
        }
    }

    /// Waits until somebody has asked.
    pub(super) async fn asked(&self) {
        // The sender lives as long as we do, so this cannot fail.
        let _ = self.switch.subscribe().wait_for(|asked| *asked).await;
    }

    /// Waits until somebody has asked and as long again as is given.
    pub(super) async fn asked_for(&self, patience: Duration) {
        self.asked().await;
        tokio::time::sleep(patience).await;
    }

    /// Lets SIGTERM and SIGINT ask. Must be called in a runtime.
    pub(super) fn on_signals(&self) -> io::Result<()> {
        let (mut terminate, mut interrupt) =
            held_back(|| Ok((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)))?;
        let stop = self.clone();
        tokio::spawn(async move {
            let who = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            stop.ask(who);
        });
        Ok(())
    }
}
