//! `virt-tailor agent`: the edge of the node agent. Options in; a process that serves until it is told to end.
//!
//! | file | what it is |
//! |---|---|
//! | `life` | what goes on side by side |
//! | `answers` | kubelet's answers as values |
//! | `watch` | the configuration, followed |
//! | `uevents` | what the kernel says of devices |
//! | `serve` | which resources are served |
//! | `hooks` | KubeVirt's node hooks |
//! | `admin` | the socket behind `node release` |
//! | `metrics`, `http` | what a scrape sees |
//! | `features`, `rivals` | what others on the node are told, and who they are |

pub(in crate::commands) mod admin;
mod answers;
mod features;
mod hooks;
mod http;
mod life;
mod metrics;
mod rivals;
mod serve;
mod uevents;
mod watch;

use std::sync::Arc;

use crate::agent::{Agent, Moment, Settings};
use crate::cli::agent as cli;
use crate::host::{Owner, Root, owner};
use crate::kubevirt::serve::log;
use crate::link::names::from_logs;
use crate::prep::guard::LiveGuard;
use crate::prep::hand::Workshop;

use super::Failure;
use super::node::session::{Session, configuration};

/// The agent of a live node.
pub(super) type LiveAgent = Agent<Workshop, LiveGuard>;

/// Serves until a signal says that it is over.
pub(super) fn run(args: &cli::Agent) -> Result<(), Failure> {
    log::start(args.verbose);
    let session = Session::at(&args.place)?;
    let config = Arc::new(configuration(&args.configuration, &session.root)?);
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
    let guard = agent.engine().guard();
    for one in agent.recover(&|holding| Ok(!guard.users_of(&holding.request)?.is_empty()))? {
        tracing::info!(outcome = ?one, "recovered");
    }
    agent.reload(Arc::clone(&config)).map_err(Failure::NodeRefused)?;
    rivals::name(&args.kubelet_root, &session.root, &config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Read { path: "the system's event queue".into(), error })?;
    let own = own_pod(args, &session.root);
    runtime.block_on(life::live(args, &agent, &session.root, own))?;
    // Plans run in threads of their own; what has not ended by now the next agent takes up.
    runtime.shutdown_background();
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
