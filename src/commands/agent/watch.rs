//! The configuration: the one to start with, and every later one.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::agent::{keep_configuration, kept_configuration};
use crate::cli::agent as cli;
use crate::commands::Failure;
use crate::commands::node::session::{document, node_name, text_of};
use crate::config::node::Effective;
use crate::host::Root;

use super::LiveAgent;
use super::life::over;

/// How often the file is read. It is small; a ConfigMap comes by exchanging a link two folders up, which no watch on the file itself
/// would tell.
const READ_EVERY: Duration = Duration::from_secs(2);
/// How often one is tried again that is right by itself: the node may come to be read, or to fit it.
const TRY_EVERY: Duration = Duration::from_secs(10);

/// What an agent starts with.
pub(super) struct First {
    pub(super) config: Arc<Effective>,
    /// The file's text, as far as nothing more is to be said of it.
    pub(super) known: Option<String>,
    /// Why it is another one that is in force, if so.
    pub(super) rejected: Option<String>,
}

/// The configuration given; if it is wrong, the last one that was in force.
///
/// # Errors
///
/// What is wrong with the one given: no other is kept that could be used.
pub(super) fn first(args: &cli::Agent, root: &Root) -> Result<First, Failure> {
    let path = &args.configuration.config;
    let name = node_name(args.configuration.node_name.as_deref(), root)?;
    let text = text_of(path);
    let known = text.as_ref().ok().cloned();
    let error = match text.and_then(|text| document(path, &text)) {
        Ok(given) => return Ok(First { config: Arc::new(given.for_node(&name)), known, rejected: None }),
        Err(error) => error,
    };
    let kept = kept_configuration(&args.place.state_dir);
    let Ok(last) = text_of(&kept).and_then(|text| document(&kept, &text)) else { return Err(error) };
    let rejected = one_line(&error);
    tracing::error!(reason = rejected, "the configuration cannot be used: the last one that was in force is served");
    Ok(First { config: Arc::new(last.for_node(&name)), known, rejected: Some(rejected) })
}

/// Keeps what is in force for an agent that starts beside one that is wrong.
pub(super) fn keep(args: &cli::Agent, text: &str) {
    if let Err(error) = keep_configuration(&args.place.state_dir, text) {
        tracing::warn!(reason = %error, "the configuration cannot be kept: the next start depends on the file that is given then");
    }
}

/// What became of another one.
enum Taken {
    /// It is in force.
    InForce,
    /// It is wrong, whenever it is read.
    Wrong(String),
    /// Not on this node as it is now.
    NotNow(String),
}

/// Takes every new configuration; one that is wrong is said, and the one before stays.
pub(super) async fn follow(
    args: &cli::Agent,
    agent: &LiveAgent,
    root: &Root,
    mut known: Option<String>,
    stopped: watch::Receiver<bool>,
) {
    let path = args.configuration.config.clone();
    // What was said last of one that is right by itself, and when it was tried.
    let mut tried: Option<(String, String, Instant)> = None;
    let mut unread: Option<String> = None;
    let mut ticks = interval(READ_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => (),
            () = over(stopped.clone()) => return,
        }
        let text = match text_of(&path) {
            Ok(text) => text,
            Err(error) => {
                let reason = one_line(&error);
                if unread.as_ref() != Some(&reason) {
                    tracing::error!(reason, "the configuration cannot be read: the one before stays in force");
                    agent.reject(Some(reason.clone()));
                    unread = Some(reason);
                }
                continue;
            }
        };
        if unread.take().is_some() {
            known = None;
        }
        if known.as_ref() == Some(&text) {
            // Back to what is in force, from one that was not taken.
            if tried.take().is_some() {
                agent.reject(None);
            }
            continue;
        }
        let before = tried.take().filter(|(other, ..)| *other == text);
        if before.as_ref().is_some_and(|(.., when)| when.elapsed() < TRY_EVERY) {
            tried = before;
            continue;
        }
        let (ours, root, read) = (agent.clone(), root.clone(), text.clone());
        let (place, node) = (path.clone(), args.configuration.node_name.clone());
        let taken = tokio::task::spawn_blocking(move || take(&ours, &place, &read, node.as_deref(), &root)).await;
        match taken.unwrap_or_else(|_| Taken::Wrong("a mistake of ours, please report it".to_owned())) {
            Taken::InForce => {
                keep(args, &text);
                agent.reject(None);
                known = Some(text);
                tracing::info!(path = %path.display(), "the new configuration is in force");
            }
            Taken::Wrong(reason) => {
                tracing::error!(reason, "the new configuration is wrong: the one before stays in force");
                agent.reject(Some(reason));
                known = Some(text);
            }
            Taken::NotNow(reason) => {
                if before.is_none_or(|(_, said, _)| said != reason) {
                    tracing::error!(
                        reason,
                        "the new configuration does not fit this node: the one before stays in force"
                    );
                    agent.reject(Some(reason.clone()));
                }
                tried = Some((text, reason, Instant::now()));
            }
        }
    }
}

fn take(agent: &LiveAgent, path: &Path, text: &str, node: Option<&str>, root: &Root) -> Taken {
    let config = match document(path, text) {
        Ok(config) => config,
        Err(error) => return Taken::Wrong(one_line(&error)),
    };
    let config = match node_name(node, root) {
        Ok(name) => Arc::new(config.for_node(&name)),
        Err(error) => return Taken::NotNow(one_line(&error)),
    };
    let guard = agent.engine().guard();
    // The guard is asked by what the new one makes.
    let before = guard.config();
    guard.allow(Arc::clone(&config));
    match agent.reload(config) {
        Ok(()) => Taken::InForce,
        Err(reasons) => {
            guard.allow(before);
            Taken::NotNow(reasons.join("; "))
        }
    }
}

/// Several problems are a list elsewhere.
fn one_line(error: &Failure) -> String {
    error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
