//! Callbacks in its three versions. They differ in which calls they have, not in what a call means.

use std::sync::Arc;
use std::time::Instant;

use tonic::transport::server::{Router, Server as Transport};
use tonic::{Request, Response, Status, async_trait};

use crate::kubevirt::hook::{CloudInit, Hook, HookError, Reply};
use crate::kubevirt::proto::info::info_server::InfoServer;
use crate::kubevirt::proto::{v1alpha1, v1alpha2, v1alpha3};

use super::farewell::farewell;
use super::info::Info;
use super::stop::Stop;
use super::{MAX_REQUEST, log, status::status};

/// The one handler behind all versions.
#[derive(Debug, Clone)]
pub(super) struct Callbacks {
    hook: Arc<Hook>,
    stop: Stop,
}

impl Callbacks {
    pub(super) fn new(hook: Arc<Hook>, stop: Stop) -> Self {
        Self { hook, stop }
    }

    /// Everything that virt-launcher calls on the hook socket.
    pub(super) fn into_router(self, mut transport: Transport) -> Router {
        let info = Info { cloud_init: self.hook.serves_cloud_init() };
        let v1 = v1alpha1::callbacks_server::CallbacksServer::new(self.clone());
        let v2 = v1alpha2::callbacks_server::CallbacksServer::new(self.clone());
        let v3 = v1alpha3::callbacks_server::CallbacksServer::new(self);
        transport
            .add_service(InfoServer::new(info))
            .add_service(v3.max_decoding_message_size(MAX_REQUEST))
            .add_service(v2.max_decoding_message_size(MAX_REQUEST))
            .add_service(v1.max_decoding_message_size(MAX_REQUEST))
    }

    async fn on_define_domain(&self, version: &'static str, domain: Vec<u8>, vmi: Vec<u8>) -> Result<Vec<u8>, Status> {
        let outcome = answer(&self.hook, "OnDefineDomain", version, move |hook| hook.define(domain, &vmi)).await?;
        Ok(outcome.bytes)
    }

    async fn pre_cloud_init_iso(
        &self,
        version: &'static str,
        vmi: Vec<u8>,
        brought: CloudInit,
    ) -> Result<CloudInit, Status> {
        answer(&self.hook, "PreCloudInitIso", version, move |hook| hook.cloud_init(&vmi, brought)).await
    }
}

/// Has a call answered on another thread, so that Info and Shutdown need not wait for it, and logs it there.
pub(super) async fn answer<T: log::Answer + Send + 'static>(
    hook: &Arc<Hook>,
    point: &'static str,
    version: &'static str,
    work: impl FnOnce(&Hook) -> Reply<T> + Send + 'static,
) -> Result<T, Status> {
    let hook = Arc::clone(hook);
    let came = Instant::now();
    let work = tokio::task::spawn_blocking(move || {
        let reply = work(&hook);
        log::reply(point, version, &reply, came.elapsed());
        reply.answer
    });
    match work.await {
        Ok(answer) => answer.map_err(|error| status(&error)),
        // The hook itself catches panics, so this is one in the logging.
        Err(error) => Err(status(&HookError::Bug(error.to_string()))),
    }
}

#[async_trait]
impl v1alpha1::callbacks_server::Callbacks for Callbacks {
    async fn on_define_domain(
        &self,
        request: Request<v1alpha1::OnDefineDomainParams>,
    ) -> Result<Response<v1alpha1::OnDefineDomainResult>, Status> {
        let v1alpha1::OnDefineDomainParams { domain_xml, vmi } = request.into_inner();
        let domain_xml = self.on_define_domain("v1alpha1", domain_xml, vmi).await?;
        Ok(Response::new(v1alpha1::OnDefineDomainResult { domain_xml }))
    }
}

/// Callbacks in the types of a version that has PreCloudInitIso; further calls follow.
macro_rules! callbacks {
    ($version:ident { $($further:tt)* }) => {
        #[async_trait]
        impl $version::callbacks_server::Callbacks for Callbacks {
            async fn on_define_domain(
                &self,
                request: Request<$version::OnDefineDomainParams>,
            ) -> Result<Response<$version::OnDefineDomainResult>, Status> {
                let $version::OnDefineDomainParams { domain_xml, vmi } = request.into_inner();
                let domain_xml = self.on_define_domain(stringify!($version), domain_xml, vmi).await?;
                Ok(Response::new($version::OnDefineDomainResult { domain_xml }))
            }

            async fn pre_cloud_init_iso(
                &self,
                request: Request<$version::PreCloudInitIsoParams>,
            ) -> Result<Response<$version::PreCloudInitIsoResult>, Status> {
                let $version::PreCloudInitIsoParams { cloud_init_no_cloud_source, vmi, cloud_init_data } =
                    request.into_inner();
                let brought = CloudInit { no_cloud: cloud_init_no_cloud_source, data: cloud_init_data };
                let merged = self.pre_cloud_init_iso(stringify!($version), vmi, brought).await?;
                Ok(Response::new($version::PreCloudInitIsoResult {
                    cloud_init_no_cloud_source: merged.no_cloud,
                    cloud_init_data: merged.data,
                }))
            }

            $($further)*
        }
    };
}

callbacks!(v1alpha2 {});

callbacks!(v1alpha3 {
    async fn shutdown(
        &self,
        _: Request<v1alpha3::ShutdownParams>,
    ) -> Result<Response<v1alpha3::ShutdownResult>, Status> {
        farewell().await;
        // Calls under way are answered before the transport ends, this one too.
        self.stop.ask("Shutdown");
        Ok(Response::new(v1alpha3::ShutdownResult {}))
    }
});
