//! One socket while it is served.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::transport::Server;

use super::Devices;
use super::incoming::Incoming;
use super::plugin::Plugin;
use super::proto::deviceplugin::device_plugin_server::DevicePluginServer;
use super::socket::Placed;

/// Longest message that is read. The largest there is names 256 devices twice, with 63 characters each.
const LONGEST: usize = 256 << 10;

/// So many calls at once on a connection: every device in PreStartContainer, and room for an Allocate beside them, which holds up every
/// pod of the node while it waits.
const STREAMS: u32 = 512;

/// So much of a call, and of all calls of a connection, may come before it is read.
const WINDOW: u32 = 64 << 10;
const WINDOWS: u32 = 512 << 10;

/// So many connections at once; kubelet has one, two while it registers us again.
const MOST: usize = 16;

/// Longest headers of a call.
const HEADERS: u32 = 8 << 10;

/// A served socket; the name goes, and nobody is accepted any more, when this is dropped.
#[derive(Debug)]
pub(super) struct Listening {
    placed: Placed,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Listening {
    /// Serves a socket from now on.
    pub(super) fn start<D: Devices>(placed: Placed, plugin: &Arc<Plugin<D>>) -> io::Result<Self> {
        let incoming = Incoming::new(placed.listener()?, "kubelet", MOST)?;
        let (end, ended) = oneshot::channel::<()>();
        let service = DevicePluginServer::from_arc(Arc::clone(plugin)).max_decoding_message_size(LONGEST);
        let serving = Server::builder()
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOWS)
            .http2_max_header_list_size(HEADERS)
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, async {
                let _ = ended.await;
            });
        let task = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::warn!(%error, "a device plugin socket is not served any longer");
            }
        });
        Ok(Self { placed, end: Some(end), task })
    }

    /// Whether kubelet can find and reach us.
    pub(super) fn is_there(&self) -> bool {
        self.placed.is_there() && !self.task.is_finished()
    }

    pub(super) fn placed(&self) -> &Placed {
        &self.placed
    }

    /// Ends: the name vanishes, nobody is accepted any more, and calls under way have a time to be answered.
    pub(super) async fn end(self, drain: Duration) {
        let Self { placed, end, mut task } = self;
        drop(placed);
        drop(end);
        if timeout(drain, &mut task).await.is_err() {
            task.abort();
        }
    }
}
