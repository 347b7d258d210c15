//! The configuration, followed while it changes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::agent as cli;
use crate::commands::node::session::effective;
use crate::host::Root;

use super::LiveAgent;
use super::life::over;

/// How often the file is read. It is small; a ConfigMap comes by exchanging a link two folders up, which no watch on the file itself
/// would tell.
const READ_EVERY: Duration = Duration::from_secs(2);

/// Takes every new configuration; one that is wrong is said, and the one before stays.
pub(super) async fn follow(args: &cli::Agent, agent: &LiveAgent, root: &Root, stopped: watch::Receiver<bool>) {
    let path = args.configuration.config.clone();
    let mut known = std::fs::read(&path).ok();
    let mut ticks = interval(READ_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => (),
            () = over(stopped.clone()) => return,
        }
        let text = std::fs::read(&path).ok();
        if text == known {
            continue;
        }
        known = text;
        let (agent, root, path) = (agent.clone(), root.clone(), path.clone());
        let node = args.configuration.node_name.clone();
        let _ = tokio::task::spawn_blocking(move || take(&agent, &path, node.as_deref(), &root)).await;
    }
}

fn take(agent: &LiveAgent, path: &Path, node: Option<&str>, root: &Root) {
    let config = match effective(path, node, root) {
        Ok(config) => Arc::new(config),
        Err(error) => {
            tracing::error!(reason = %error, "the new configuration is wrong: the one before stays in force");
            return;
        }
    };
    let guard = agent.engine().guard();
    // The guard is asked by what the new one makes.
    let before = guard.config();
    guard.allow(Arc::clone(&config));
    match agent.reload(config) {
        Ok(()) => tracing::info!(path = %path.display(), "the new configuration is in force"),
        Err(reasons) => {
            guard.allow(before);
            let reason = reasons.join("; ");
            tracing::error!(reason, "the new configuration does not fit this node: the one before stays in force");
        }
    }
}
