//! Who has what: pod-resources and the Pods API.

use std::sync::Arc;

use prost::Message as _;
use tonic::{Request, Response, Status, async_trait};
use virt_tailor::kubelet::proto::core;
use virt_tailor::kubelet::proto::podresources as resources;
use virt_tailor::kubelet::proto::podresources::pod_resources_lister_server::PodResourcesLister;
use virt_tailor::kubelet::proto::pods as api;
use virt_tailor::kubelet::proto::pods::pods_server::Pods;

use super::Shared;

#[derive(Debug, Clone)]
pub(super) struct PodsOfKubelet(pub(super) Arc<Shared>);

#[async_trait]
impl PodResourcesLister for PodsOfKubelet {
    async fn list(
        &self,
        _: Request<resources::ListPodResourcesRequest>,
    ) -> Result<Response<resources::ListPodResourcesResponse>, Status> {
        let mut pod_resources = Vec::new();
        for pod in self.0.state().pods.values() {
            let container = |(name, given): (&String, &std::collections::BTreeMap<String, super::Given>)| {
                let devices = given.iter().map(|(resource, given)| resources::ContainerDevices {
                    resource_name: resource.clone(),
                    device_ids: given.ids.clone(),
                });
                resources::ContainerResources { name: name.clone(), devices: devices.collect() }
            };
            pod_resources.push(resources::PodResources {
                name: pod.name.clone(),
                namespace: pod.namespace.clone(),
                containers: pod.containers.iter().map(container).collect(),
            });
        }
        Ok(Response::new(resources::ListPodResourcesResponse { pod_resources }))
    }
}

#[async_trait]
impl Pods for PodsOfKubelet {
    async fn get_pod(&self, request: Request<api::GetPodRequest>) -> Result<Response<api::GetPodResponse>, Status> {
        let uid = request.into_inner().pod_uid;
        let state = self.0.state();
        let pod = state.pods.get(&uid).ok_or_else(|| Status::not_found("pod not found"))?;
        let metadata =
            core::ObjectMeta { name: Some(pod.name.clone()), namespace: Some(pod.namespace.clone()), uid: Some(uid) };
        let pod = core::Pod { metadata: Some(metadata) }.encode_to_vec();
        Ok(Response::new(api::GetPodResponse { pod }))
    }
}
