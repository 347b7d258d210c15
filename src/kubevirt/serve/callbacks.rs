//! Callbacks in its three versions. They differ in which calls they have, not in what a call means.

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinError;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status, async_trait};

use crate::kubevirt::hook::{Brought, CloudInit, Hook, HookError, Reply};
use crate::kubevirt::proto::info::info_server::InfoServer;
use crate::kubevirt::proto::{v1alpha1, v1alpha2, v1alpha3};
use crate::link::desk::{Confirmed, Desk as Agent, Policy};

use super::call::Call;
use super::farewell::farewell;
use super::info::Info;
use super::stop::Stop;
use super::{Layers, MAX_REQUEST, Transport, log, status::status};

/// From this size on messages are worked on one at a time: a document takes several times its length.
const LARGE: usize = 256 << 10;

/// Where calls are answered.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    hook: Arc<Hook>,
    agent: Agent,
    /// For large messages.
    alone: Arc<Semaphore>,
}

/// The one handler behind all versions.
#[derive(Debug, Clone)]
pub(super) struct Callbacks {
    desk: Desk,
    stop: Stop,
}

impl Callbacks {
    pub(super) fn new(desk: Desk, stop: Stop) -> Self {
        Self { desk, stop }
    }

    /// Everything that virt-launcher calls on the hook socket.
    pub(super) fn into_router(self, mut transport: Transport) -> Router<Layers> {
        let info = Info { cloud_init: self.desk.hook.serves_cloud_init() };
        let link = self.desk.agent.service();
        let v1 = v1alpha1::callbacks_server::CallbacksServer::new(self.clone());
        let v2 = v1alpha2::callbacks_server::CallbacksServer::new(self.clone());
        let v3 = v1alpha3::callbacks_server::CallbacksServer::new(self);
        transport
            .add_service(InfoServer::new(info))
            .add_optional_service(link)
            .add_service(v3.max_decoding_message_size(MAX_REQUEST))
            .add_service(v2.max_decoding_message_size(MAX_REQUEST))
            .add_service(v1.max_decoding_message_size(MAX_REQUEST))
    }

    async fn on_define_domain(
        &self,
        version: &'static str,
        call: Option<Arc<Call>>,
        domain: Bytes,
        vmi: Bytes,
    ) -> Result<Vec<u8>, Status> {
        self.desk.define("OnDefineDomain", version, call, (domain, vmi)).await
    }

    async fn pre_cloud_init_iso(
        &self,
        version: &'static str,
        call: Option<Arc<Call>>,
        vmi: Bytes,
        (no_cloud, data): (Bytes, Bytes),
    ) -> Result<CloudInit, Status> {
        let work = move |hook: &Hook| hook.cloud_init(&vmi, Brought { no_cloud: &no_cloud, data: &data });
        self.desk.answer(Instant::now(), ("PreCloudInitIso", version), call, work).await
    }
}

impl Desk {
    pub(super) fn new(hook: Arc<Hook>, agent: Agent) -> Self {
        Self { hook, agent, alone: Arc::new(Semaphore::new(1)) }
    }

    /// Answers a call that brings a domain: with the agent, if the VM needs it and nothing was answered yet.
    pub(super) async fn define(
        &self,
        point: &'static str,
        version: &'static str,
        call: Option<Arc<Call>>,
        (domain, vmi): (Bytes, Bytes),
    ) -> Result<Vec<u8>, Status> {
        let came = Instant::now();
        let confirmed = match self.agent.settled() {
            Some(confirmed) => Ok(Some(confirmed)),
            None => self.confirm(call.clone(), &domain, &vmi).await,
        };
        let agent = self.agent.clone();
        let work = move |hook: &Hook| match confirmed {
            Ok(confirmed) => {
                let reply = hook.define(&domain, &vmi, confirmed.is_some_and(|confirmed| confirmed.lock));
                if let (Ok(_), None, Some(confirmed)) = (&reply.answer, &reply.kept, confirmed) {
                    agent.settle(confirmed);
                }
                reply
            }
            Err(error) => {
                let reply = hook.refuse(&domain, &vmi, error);
                // To KubeVirt that is a good answer too, and after one nobody waits.
                if reply.kept.is_some() {
                    agent.settle(Confirmed::default());
                }
                reply
            }
        };
        Ok(self.answer(came, (point, version), call, work).await?.bytes)
    }

    /// Waits for the agent if the VM needs it. Nothing is confirmed where no agent could change the answer.
    async fn confirm(
        &self,
        call: Option<Arc<Call>>,
        domain: &Bytes,
        vmi: &Bytes,
    ) -> Result<Option<Confirmed>, HookError> {
        let (domain, vmi) = (domain.clone(), vmi.clone());
        let required = self.agent.policy() == Policy::Required;
        let errand = self.work(call, move |hook| hook.errand(&domain, &vmi, required)).await;
        let Ok(Some(errand)) = errand else { return Ok(None) };
        if self.agent.policy() == Policy::Off && !errand.is_empty() && !errand.is_optional() {
            tracing::warn!(note = %errand, "not asked of the node's agent (--agent off), and needed on a node");
        }
        let confirmed = self.agent.confirm(&errand).await;
        confirmed.map(Some).map_err(|why| HookError::Agent { line: why.to_string(), passes: why.passes() })
    }

    /// Has a call, which came then, answered on another thread, so that Info and Shutdown need not wait for it, and logs it there.
    pub(super) async fn answer<T: log::Answer + Send + 'static>(
        &self,
        came: Instant,
        (point, version): (&'static str, &'static str),
        call: Option<Arc<Call>>,
        work: impl FnOnce(&Hook) -> Reply<T> + Send + 'static,
    ) -> Result<T, Status> {
        let answered = self.work(call, move |hook| {
            let reply = work(hook);
            log::reply(point, version, &reply, came.elapsed());
            reply.answer
        });
        match answered.await {
            Ok(answer) => answer.map_err(|error| status(&error)),
            // The hook itself catches panics, so this is one in the logging.
            Err(error) => Err(status(&HookError::Bug(error.to_string()))),
        }
    }

    /// Works on another thread. Large messages are worked on one at a time.
    async fn work<T: Send + 'static>(
        &self,
        call: Option<Arc<Call>>,
        work: impl FnOnce(&Hook) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let hook = Arc::clone(&self.hook);
        let is_large = call.as_ref().is_some_and(|call| call.bytes() > LARGE);
        let alone = if is_large { Arc::clone(&self.alone).acquire_owned().await.ok() } else { None };
        let work = tokio::task::spawn_blocking(move || {
            let done = work(&hook);
            // A caller that has gone does not end the work, so the work keeps what the call takes.
            drop((alone, call));
            done
        });
        work.await
    }
}

/// The call that a request belongs to.
pub(super) fn call_of<T>(request: &Request<T>) -> Option<Arc<Call>> {
    request.extensions().get::<Arc<Call>>().cloned()
}

#[async_trait]
impl v1alpha1::callbacks_server::Callbacks for Callbacks {
    async fn on_define_domain(
        &self,
        request: Request<v1alpha1::OnDefineDomainParams>,
    ) -> Result<Response<v1alpha1::OnDefineDomainResult>, Status> {
        let call = call_of(&request);
        let v1alpha1::OnDefineDomainParams { domain_xml, vmi } = request.into_inner();
        let domain_xml = self.on_define_domain("v1alpha1", call, domain_xml, vmi).await?;
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
                let call = call_of(&request);
                let $version::OnDefineDomainParams { domain_xml, vmi } = request.into_inner();
                let domain_xml = self.on_define_domain(stringify!($version), call, domain_xml, vmi).await?;
                Ok(Response::new($version::OnDefineDomainResult { domain_xml }))
            }

            async fn pre_cloud_init_iso(
                &self,
                request: Request<$version::PreCloudInitIsoParams>,
            ) -> Result<Response<$version::PreCloudInitIsoResult>, Status> {
                let call = call_of(&request);
                let $version::PreCloudInitIsoParams { cloud_init_no_cloud_source, vmi, cloud_init_data } =
                    request.into_inner();
                let brought = (cloud_init_no_cloud_source, cloud_init_data);
                let merged = self.pre_cloud_init_iso(stringify!($version), call, vmi, brought).await?;
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
        farewell(&self.desk.agent).await;
        // Calls under way are answered before the transport ends, this one too.
        self.stop.ask("Shutdown");
        Ok(Response::new(v1alpha3::ShutdownResult {}))
    }
});
