//! The socket of the node hooks: there as long as there is a folder for it.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tonic::transport::Server;

use super::intake::Gate;
use super::service::Service;
use super::{MAX_MESSAGE, NodeHooks};
use crate::kubelet::{Incoming, Placed, place};
use crate::kubevirt::proto::plugins::node_hook_service_server::NodeHookServiceServer;

/// How long calls under way may take after an end was asked for.
const DRAIN: Duration = Duration::from_secs(3);
/// So many connections at once. virt-handler makes one for each call, from twenty workers.
const MOST: usize = 64;
/// So many calls at once on a connection; virt-handler makes one.
const STREAMS: u32 = 4;
/// So much of a call, and of all calls of a connection, may come before it is read.
const WINDOW: u32 = 64 << 10;
/// Longest headers of a call.
const HEADERS: u32 = 8 << 10;
/// A client that does not answer pings is gone, whatever its connection says.
const PING: Duration = Duration::from_secs(20);
/// virt-handler connects for each call; who stays longer has forgotten to go.
const LONGEST: Duration = Duration::from_secs(120);

/// Serves the node hooks at a path until `stop` is ready. `pace` is how often is looked whether the folder has come, or the socket gone:
/// a node without KubeVirt's plugins has no such folder, and that is no error.
///
/// Must run in a tokio runtime with time and I/O. A path without a folder and a name is never served.
pub async fn serve_node_hooks<N: NodeHooks>(
    path: &Path,
    hooks: Arc<N>,
    pace: Duration,
    stop: impl Future<Output = ()> + Send,
) {
    let mut stop = pin!(stop);
    let mut told = String::new();
    loop {
        match start(path, &hooks) {
            Ok(Some(listening)) => {
                told.clear();
                tracing::info!(socket = %path.display(), "serving KubeVirt's node hooks");
                let over = loop {
                    tokio::select! {
                        () = &mut stop => break true,
                        () = sleep(pace) => if !listening.is_there() { break false },
                    }
                };
                listening.end(if over { DRAIN } else { Duration::ZERO }).await;
                if over {
                    return;
                }
                tracing::info!(socket = %path.display(), "the socket has gone; listening again");
            }
            Ok(None) => (),
            Err(reason) if reason == told => (),
            Err(reason) => {
                tracing::warn!(reason, "KubeVirt's node hooks are not served; trying on");
                told = reason;
            }
        }
        tokio::select! {
            () = &mut stop => return,
            () = sleep(pace) => (),
        }
    }
}

/// Serves from now on; nothing if there is no folder.
fn start<N: NodeHooks>(path: &Path, hooks: &Arc<N>) -> Result<Option<Listening>, String> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(format!("{} is no path of a socket", path.display()));
    };
    if !folder.is_dir() {
        return Ok(None);
    }
    let placed = place(folder, name).map_err(|error| error.to_string())?;
    let listener = placed.listener().and_then(|listener| Incoming::new(listener, "virt-handler", MOST));
    let incoming = listener.map_err(|error| error.to_string())?;
    let (end, ended) = oneshot::channel::<()>();
    let service = NodeHookServiceServer::new(Service(Arc::clone(hooks))).max_decoding_message_size(MAX_MESSAGE);
    let serving = Server::builder()
        .layer(Gate::default())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(STREAMS * WINDOW)
        .http2_max_header_list_size(HEADERS)
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PING))
        .max_connection_age(LONGEST)
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, async {
            let _ = ended.await;
        });
    let task = tokio::spawn(async move {
        if let Err(error) = serving.await {
            tracing::warn!(%error, "the node hooks' socket is not served any longer");
        }
    });
    Ok(Some(Listening { placed, end, task }))
}

/// The socket while it is served.
struct Listening {
    placed: Placed,
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Listening {
    fn is_there(&self) -> bool {
        self.placed.is_there() && !self.task.is_finished()
    }

    /// Ends: the name vanishes, nobody is accepted any more, and calls under way have a time to be answered.
    async fn end(self, drain: Duration) {
        let Self { placed, end, mut task } = self;
        drop(placed);
        drop(end);
        if timeout(drain, &mut task).await.is_err() {
            task.abort();
        }
    }
}
