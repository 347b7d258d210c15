//! `virt-tailor agent`: the edge of the node agent. Options in; a process that serves until it is told to end.
//!
//! | file | what it is |
//! |---|---|
//! | `life` | what goes on side by side; probes are answered first, then the node is taken up, then all is served |
//! | `answers` | kubelet's answers as values |
//! | `watch` | the configuration: the first, and those that follow |
//! | `uevents` | what the kernel says of devices |
//! | `serve` | which resources are served |
//! | `hooks` | KubeVirt's node hooks |
//! | `admin` | the socket behind `node release` |
//! | `metrics`, `http`, `health` | what a scrape and a probe see |
//! | `features`, `rivals` | what others on the node are told, and who they are |

pub(in crate::commands) mod admin;
mod answers;
mod features;
mod health;
mod hooks;
mod http;
mod life;
mod metrics;
mod rivals;
mod serve;
mod uevents;
mod watch;

use std::path::Path;
use std::sync::Arc;

use crate::agent::{Agent, Moment, Settings};
use crate::cli::agent as cli;
use crate::config::node::Effective;
use crate::host::{Owner, Root, owner};
use crate::kubevirt::serve::log;
use crate::link::names::from_logs;
use crate::prep::guard::LiveGuard;
use crate::prep::hand::Workshop;
use crate::prep::journal::JournalError;

use super::Failure;
use super::node::session::Session;
use health::{Health, Stage};
use watch::{self as config, First};

/// The agent of a live node.
pub(super) type LiveAgent = Agent<Workshop, LiveGuard>;

/// Serves until a signal says that it is over.
pub(super) fn run(args: &cli::Agent) -> Result<(), Failure> {
    log::start(args.verbose);
    let session = Session::at(&args.place)?;
    let First { config, known, rejected } = config::first(args, &session.root)?;
    // One agent for each node: the journal is one's own, or somebody else has it.
    let engine = session.engine((*config).clone())?;
    let root = session.root.clone();
    let clock = Box::new(move || Moment::now(&root));
    let state = args.place.state_dir.clone();
    let settings = Settings { root: session.root.clone(), state: state.clone(), boot: session.boot.clone(), clock };
    let opened = Agent::open(settings, engine).map_err(|error| Failure::Read { path: state.join("promises"), error });
    let (agent, troubles) = opened?;
    for trouble in troubles {
        tracing::warn!(trouble, "a promise cannot be read: its device is refused until it is promised anew");
    }
    if let (None, Some(text)) = (&rejected, &known) {
        config::keep(args, text);
    }
    agent.reject(rejected);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Read { path: "the system's event queue".into(), error })?;
    let own = own_pod(args, &session.root);
    let (starting, root, kubelet) = (agent.clone(), session.root.clone(), args.kubelet_root.clone());
    let start = move |health: &Health| take_up(&starting, config, &root, &kubelet, health);
    runtime.block_on(life::live(args, &agent, &session.root, own, known, start))?;
    // Plans run in threads of their own; what has not ended by now the next agent takes up.
    runtime.shutdown_background();
    Ok(())
}

/// What may take long before anything is served: services that are started again, devices that go back, functions that are made.
fn take_up(
    agent: &LiveAgent,
    config: Arc<Effective>,
    root: &Root,
    kubelet: &Path,
    health: &Health,
) -> Result<(), JournalError> {
    health.enter(Stage::Starting("finishing or undoing what was cut short"));
    let guard = agent.engine().guard();
    for one in agent.recover(&|holding| Ok(!guard.users_of(&holding.request)?.is_empty()))? {
        tracing::info!(outcome = ?one, "recovered");
    }
    health.enter(Stage::Starting("looking at the node's devices, and making what resources make"));
    rivals::name(kubelet, root, &config);
    let begun = agent.begin_with(config);
    health.look_went(begun.is_ok());
    if let Err(reason) = begun {
        tracing::error!(reason, "the node cannot be looked at");
    }
    Ok(())
}

/// The pod this runs in, if it is one: kubelet's answers count once they name it.
fn own_pod(args: &cli::Agent, root: &Root) -> Own {
    if let Some((namespace, name)) = args.own_pod.as_deref().and_then(|pod| pod.split_once('/')) {
        return Own::Pod { namespace: namespace.to_owned(), name: name.to_owned() };
    }
    let text = Root::new("/").text("proc/self/cgroup").ok().flatten().unwrap_or_default();
    let Owner::Pod { uid, .. } = owner(&text) else { return Own::NoPod };
    match from_logs(&root.path("var/log/pods"), &uid) {
        Ok(pod) => Own::Pod { namespace: pod.namespace, name: pod.name },
        Err(error) => {
            tracing::error!(uid, reason = %error, "which pod this is cannot be told, so no device is ever found free: say --own-pod");
            Own::Unknown
        }
    }
}

/// In which pod this runs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Own {
    /// In none: a service of the node itself.
    NoPod,
    /// In this one.
    Pod { namespace: String, name: String },
    /// In one, and nobody says which.
    Unknown,
}
