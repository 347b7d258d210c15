//! One connection to a plugin, and what is asked over it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};
use tower::service_fn;
use virt_tailor::kubelet::proto::deviceplugin as proto;
use virt_tailor::kubelet::proto::deviceplugin::device_plugin_client::DevicePluginClient;

/// `client.go`, `dial`: with `WithBlock`, so it tries again until there is a connection.
const DIAL: Duration = Duration::from_secs(10);
/// grpc's first backoff.
const AGAIN: Duration = Duration::from_secs(1);

/// A client; every clone is the same.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) socket: PathBuf,
    api: DevicePluginClient<Channel>,
    closed: Arc<watch::Sender<bool>>,
    stopped: Arc<AtomicBool>,
    options: proto::DevicePluginOptions,
}

impl Client {
    /// `Connect` and `PluginConnected`.
    pub(super) async fn connect(socket: &Path) -> Result<Self, String> {
        let channel =
            timeout(DIAL, dial(socket)).await.map_err(|_| "failed to dial device plugin: timeout".to_owned())?;
        let mut api = DevicePluginClient::new(channel);
        let options = api
            .get_device_plugin_options(proto::Empty {})
            .await
            .map_err(|status| format!("failed to get device plugin options: {}", words(&status)))?
            .into_inner();
        Ok(Self {
            socket: socket.to_owned(),
            api,
            closed: Arc::new(watch::Sender::new(false)),
            stopped: Arc::default(),
            options,
        })
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.closed, &other.closed)
    }

    /// `grpc.ClientConn.Close`: whatever is under way fails.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// `setStopTime`.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    pub(super) async fn lists(&self) -> Result<Streaming<proto::ListAndWatchResponse>, Status> {
        self.api.clone().list_and_watch(proto::Empty {}).await.map(Response::into_inner)
    }

    pub(super) async fn closed(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    pub(super) async fn preferred(&self, available: &[String], count: usize) -> Result<Vec<String>, String> {
        if !self.options.get_preferred_allocation_available {
            return Ok(Vec::new());
        }
        let request = proto::PreferredAllocationRequest {
            container_requests: vec![proto::ContainerPreferredAllocationRequest {
                available_device_i_ds: available.to_vec(),
                must_include_device_i_ds: Vec::new(),
                allocation_size: i32::try_from(count).unwrap(),
            }],
        };
        let mut api = self.api.clone();
        let answer = self.unless_closed(api.get_preferred_allocation(request)).await?;
        Ok(answer.container_responses.into_iter().next().map(|response| response.device_i_ds).unwrap_or_default())
    }

    /// Without a deadline, as in `endpoint.go`.
    pub(super) async fn allocate(&self, ids: &[String]) -> Result<proto::ContainerAllocateResponse, String> {
        let container_requests = vec![proto::ContainerAllocateRequest { devices_ids: ids.to_vec() }];
        let mut api = self.api.clone();
        let answer = self.unless_closed(api.allocate(proto::AllocateRequest { container_requests })).await?;
        answer.container_responses.into_iter().next().ok_or("no containers return in allocation response".to_owned())
    }

    pub(super) async fn pre_start(&self, ids: &[String], within: Duration) -> Result<(), String> {
        if !self.options.pre_start_required {
            return Ok(());
        }
        let mut request = tonic::Request::new(proto::PreStartContainerRequest { devices_ids: ids.to_vec() });
        // grpc tells the server the deadline too.
        request.set_timeout(within);
        let mut api = self.api.clone();
        let asking = self.unless_closed(api.pre_start_container(request));
        let late = |_| "rpc error: code = DeadlineExceeded desc = context deadline exceeded".to_owned();
        timeout(within, asking).await.map_err(late)?.map(|_| ())
    }

    async fn unless_closed<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, String> {
        if self.stopped.load(Ordering::SeqCst) {
            return Err(format!("endpoint {} has been stopped", self.socket.display()));
        }
        tokio::select! {
            answer = call => answer.map(Response::into_inner).map_err(|status| words(&status)),
            () = self.closed() => Err("rpc error: code = Canceled desc = grpc: the client connection is closing".to_owned()),
        }
    }
}

async fn dial(socket: &Path) -> Channel {
    loop {
        let socket = socket.to_owned();
        let connector = service_fn(move |_| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        match Endpoint::from_static("http://localhost").connect_with_connector(connector).await {
            Ok(channel) => return channel,
            Err(_) => sleep(AGAIN).await,
        }
    }
}

/// As grpc-go writes an error.
fn words(status: &Status) -> String {
    format!("rpc error: code = {:?} desc = {}", status.code(), status.message())
}
