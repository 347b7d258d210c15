//! KubeVirt's contracts over unix sockets: everything here that knows tokio and tonic.
//!
//! One thread runs the network, so that Info and Shutdown are answered at once; a document is fitted on a second one.
//! An end has three stages: the sockets vanish and nobody is accepted any more, calls under way are answered, and whatever still
//! hangs after [`DRAIN`] is dropped.

mod agent;
mod budget;
mod call;
mod callbacks;
mod caller;
mod crowd;
mod farewell;
mod incoming;
mod info;
mod intake;
mod line;
pub mod log;
mod name;
mod plugin;
mod received;
mod socket;
mod stale;
mod status;
mod stop;
mod unread;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tonic::transport::server::{Router, Server};
use tower_layer::{Identity, Stack};

use super::hook::Hook;
use crate::link;
use budget::Budget;
use callbacks::{Callbacks, Desk};
use crowd::Crowd;
use incoming::Incoming;
use intake::Gate;
use plugin::DomainHooks;
use socket::Placed;
use stop::Stop;

pub use name::{PluginName, PluginNameError};
pub use socket::SocketError;

/// How long the answers of calls under way may take once an end was asked for; a connection that hangs gets no longer.
pub const DRAIN: Duration = Duration::from_secs(3);

/// KubeVirt has no limit for what it sends; a VMI with its status can be large.
const MAX_REQUEST: usize = 16 << 20;

/// So many calls at once on a connection; virt-launcher makes one.
const STREAMS: u32 = 4;

/// So much of a call may come before it is read. It lies in memory outside of any budget.
const WINDOW: u32 = 16 << 10;

/// The limits in front of the services.
type Layers = Stack<Gate, Identity>;
type Transport = Server<Layers>;

/// A client that does not answer pings is gone, whatever its connection says. (One that never began is gone sooner: see `caller`.)
const PING: Duration = Duration::from_secs(20);

/// Where to serve what.
#[derive(Debug, Clone)]
pub struct Places {
    /// The folder of the hook socket; without one only the plugin is served.
    pub hooks: Option<PathBuf>,
    /// The folder of the plugin's socket, if it is to be served.
    pub plugin: Option<PathBuf>,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The system has no resources for us.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    /// A socket cannot be put in its place.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The transport gave up.
    #[error("cannot serve any longer: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// A sidecar before it serves: from its making on, SIGTERM and SIGINT end it in order.
#[derive(Debug)]
pub struct Sidecar {
    runtime: Runtime,
    stop: Stop,
}

impl Sidecar {
    /// Takes over the signals. A first process of a container would not even notice SIGTERM without.
    pub fn start() -> Result<Self, ServeError> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            // One call after the other is KubeVirt's way; a second thread is for a second caller while the first is slow.
            .max_blocking_threads(2)
            .build()
            .map_err(ServeError::Runtime)?;
        let stop = Stop::default();
        runtime.block_on(async { stop.on_signals() }).map_err(ServeError::Runtime)?;
        Ok(Self { runtime, stop })
    }

    /// Serves until KubeVirt, or a signal, says that it is over.
    pub fn serve(self, hook: Hook, places: &Places, agent: link::desk::Policy) -> Result<(), ServeError> {
        let Self { runtime, stop } = self;
        let outcome = runtime.block_on(serve(Arc::new(hook), places, link::desk::Desk::new(agent), &stop));
        // A document that is still being fitted is nobody's any more.
        runtime.shutdown_background();
        outcome
    }
}

async fn serve(hook: Arc<Hook>, places: &Places, agent: link::desk::Desk, stop: &Stop) -> Result<(), ServeError> {
    // Both sockets or none: a place that cannot be served is to be seen at the start.
    let plugin = match &places.plugin {
        Some(folder) => Some(socket::place_only(folder, name::PLUGIN_SOCKET).await?),
        None => None,
    };
    let hooks = match &places.hooks {
        Some(folder) => {
            stale::remove(folder).await;
            Some(socket::place(folder, &name::unique())?)
        }
        None => None,
    };
    let crowd = Crowd::default();
    let budget = Budget::new(crowd.clone());
    let desk = Desk::new(hook, agent.clone());
    let callbacks = Callbacks::new(desk.clone(), stop.clone());
    let farewell = async {
        stop.asked().await;
        // It would keep its connection, and that the process.
        agent.end();
        std::future::pending::<()>().await;
    };
    let serving = async {
        tokio::try_join!(
            listen(hooks, callbacks.into_router(transport(&budget)), &crowd, stop),
            listen(plugin, DomainHooks::new(desk).into_router(transport(&budget)), &crowd, stop),
        )
    };
    tokio::select! {
        outcome = serving => outcome.map(|_| ()),
        () = farewell => Ok(()),
        () = stop.asked_for(DRAIN) => {
            tracing::warn!(seconds = DRAIN.as_secs(), "a connection hangs; it is dropped");
            Ok(())
        }
    }
}

/// Serves one socket to the end; nothing if there is none.
async fn listen(placed: Option<Placed>, router: Router<Layers>, crowd: &Crowd, stop: &Stop) -> Result<(), ServeError> {
    let Some(mut placed) = placed else {
        return Ok(());
    };
    let incoming =
        placed.listener().and_then(|listener| Incoming::new(listener, crowd.clone())).map_err(ServeError::Runtime)?;
    tracing::info!(socket = %placed.path().display(), "serving");
    let over = async {
        stop.asked().await;
        // First the name, then the listener: nobody finds a socket that refuses.
        placed.remove();
    };
    Ok(router.serve_with_incoming_shutdown(incoming, over).await?)
}

fn transport(budget: &Budget) -> Transport {
    Server::builder()
        .layer(Gate { budget: budget.clone() })
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        // A call that waits for memory must not take the window from those beside it.
        .initial_connection_window_size(STREAMS * WINDOW)
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PING))
}
