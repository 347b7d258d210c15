//! The service that kubelet calls (`DevicePlugin`), for one resource.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Request, Response, Status, async_trait};

use super::proto::deviceplugin as proto;
use super::proto::deviceplugin::device_plugin_server::DevicePlugin;
use super::register::options;
use super::streams::{Lists, Streams};
use super::works::Works;
use super::{Allocation, Devices};
use crate::base::shown;

/// What our lines begin with: they are shown in a pod's events, among those of others.
const NAME: &str = "virt-tailor: ";

/// The handlers.
#[derive(Debug)]
pub(super) struct Plugin<D> {
    devices: Arc<D>,
    works: Works<D>,
    streams: Streams,
    patience: Duration,
}

impl<D: Devices> Plugin<D> {
    pub(super) fn new(devices: Arc<D>, streams: Streams, patience: Duration) -> Self {
        Self { works: Works::new(Arc::clone(&devices)), devices, streams, patience }
    }

    /// What the owner prefers, and of that only what kubelet can use: available, each once, not more than it wants.
    fn preferred(&self, asked: &proto::ContainerPreferredAllocationRequest) -> Vec<String> {
        let size = usize::try_from(asked.allocation_size).unwrap_or(0);
        let mut left: HashSet<&str> = asked.available_device_i_ds.iter().map(String::as_str).collect();
        let mut ids =
            self.devices.prefer(&asked.available_device_i_ds, &asked.must_include_device_i_ds, size.min(left.len()));
        ids.retain(|id| left.remove(id.as_str()));
        ids.truncate(size);
        ids
    }
}

#[async_trait]
impl<D: Devices> DevicePlugin for Plugin<D> {
    type ListAndWatchStream = Lists;

    async fn get_device_plugin_options(
        &self,
        _: Request<proto::Empty>,
    ) -> Result<Response<proto::DevicePluginOptions>, Status> {
        Ok(Response::new(options()))
    }

    async fn list_and_watch(&self, _: Request<proto::Empty>) -> Result<Response<Lists>, Status> {
        Ok(Response::new(self.streams.open(self.devices.offers())))
    }

    async fn get_preferred_allocation(
        &self,
        request: Request<proto::PreferredAllocationRequest>,
    ) -> Result<Response<proto::PreferredAllocationResponse>, Status> {
        let answer = |asked| proto::ContainerPreferredAllocationResponse { device_i_ds: self.preferred(asked) };
        let container_responses = request.get_ref().container_requests.iter().map(answer).collect();
        Ok(Response::new(proto::PreferredAllocationResponse { container_responses }))
    }

    async fn allocate(
        &self,
        request: Request<proto::AllocateRequest>,
    ) -> Result<Response<proto::AllocateResponse>, Status> {
        let devices = Arc::clone(&self.devices);
        let containers = request.into_inner().container_requests;
        // It may write to a disk, which nobody else is to wait for; and once begun it is finished, whoever hangs up.
        let work = tokio::task::spawn_blocking(move || {
            let one = |container: proto::ContainerAllocateRequest| devices.allocate(&container.devices_ids).map(answer);
            containers.into_iter().map(one).collect::<Result<Vec<_>, _>>()
        });
        match work.await {
            Ok(Ok(container_responses)) => Ok(Response::new(proto::AllocateResponse { container_responses })),
            Ok(Err(unknown)) => Err(status(Code::InvalidArgument, &unknown)),
            Err(error) => {
                let bug = format!("this is a mistake of virt-tailor, please report it: {error}");
                Err(status(Code::Internal, &bug))
            }
        }
    }

    async fn pre_start_container(
        &self,
        request: Request<proto::PreStartContainerRequest>,
    ) -> Result<Response<proto::PreStartContainerResponse>, Status> {
        match self.works.prepare(request.into_inner().devices_ids, self.patience).await {
            Ok(()) => Ok(Response::new(proto::PreStartContainerResponse {})),
            Err(unprepared) => Err(status(Code::Unavailable, &unprepared)),
        }
    }
}

fn answer(allocation: Allocation) -> proto::ContainerAllocateResponse {
    let node = |node: super::DeviceNode| proto::DeviceSpec {
        container_path: node.container_path,
        host_path: node.host_path,
        permissions: node.permissions.to_owned(),
    };
    proto::ContainerAllocateResponse {
        envs: allocation.envs.into_iter().collect(),
        devices: allocation.nodes.into_iter().map(node).collect(),
        ..proto::ContainerAllocateResponse::default()
    }
}

/// A status in our words, on one line.
fn status(code: Code, what: &dyn Display) -> Status {
    Status::new(code, format!("{NAME}{}", shown(&what.to_string())))
}
