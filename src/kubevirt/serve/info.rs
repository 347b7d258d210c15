//! Info: what virt-launcher asks first. It gives one second, and an error ends the pod; the answer is made of constants.

use tonic::{Request, Response, Status, async_trait};

use crate::kubevirt::proto::info::{HookPoint, InfoParams, InfoResult, info_server};

/// The versions of Callbacks, newest first.
pub(super) const VERSIONS: [&str; 3] = ["v1alpha3", "v1alpha2", "v1alpha1"];

/// The answer to Info.
#[derive(Debug, Clone)]
pub(super) struct Info {
    pub(super) cloud_init: bool,
}

#[async_trait]
impl info_server::Info for Info {
    async fn info(&self, _: Request<InfoParams>) -> Result<Response<InfoResult>, Status> {
        tracing::debug!("Info");
        // virt-launcher dereferences a null pointer when somebody wants PreCloudInitIso for a VM without cloud-init.
        let points = ["OnDefineDomain", "Shutdown"].into_iter().chain(self.cloud_init.then_some("PreCloudInitIso"));
        // Each is named once: KubeVirt would call twice for one that is named twice. Priorities have no effect in any version.
        let hook_points = points.map(|name| HookPoint { name: name.to_owned(), priority: 0 }).collect();
        let versions = VERSIONS.map(str::to_owned).to_vec();
        Ok(Response::new(InfoResult { name: "virt-tailor".to_owned(), hook_points, versions }))
    }
}
