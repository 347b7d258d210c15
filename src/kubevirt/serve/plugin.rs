//! The domain hook of KubeVirt's Plugin API.
//!
//! Its documents come from the libvirtxml bindings: indented with two spaces, `mode` on every `<hostdev>`. To the mutator that is one
//! more way to write a domain.

use std::time::Instant;

use tonic::transport::server::Router;
use tonic::{Request, Response, Status, async_trait};

use crate::kubevirt::hook::Hook;
use crate::kubevirt::proto::plugins::domain_hook_service_server::{DomainHookService, DomainHookServiceServer};
use crate::kubevirt::proto::plugins::{MutateDomainRequest, MutateDomainResponse};

use super::callbacks::{Desk, call_of};
use super::{Layers, MAX_REQUEST, Transport};

/// What says that the domain is for a migration target, whose answer is thrown away.
const MIGRATION_TARGET: &str = "MigrationTarget";

/// The Plugin API's domain hook.
#[derive(Debug)]
pub(super) struct DomainHooks {
    desk: Desk,
}

impl DomainHooks {
    pub(super) fn new(desk: Desk) -> Self {
        Self { desk }
    }

    pub(super) fn into_router(self, mut transport: Transport) -> Router<Layers> {
        transport.add_service(DomainHookServiceServer::new(self).max_decoding_message_size(MAX_REQUEST))
    }
}

#[async_trait]
impl DomainHookService for DomainHooks {
    async fn mutate_domain(
        &self,
        request: Request<MutateDomainRequest>,
    ) -> Result<Response<MutateDomainResponse>, Status> {
        let call = call_of(&request);
        let MutateDomainRequest { domain_type, domain, vmi, sidecar_context } = request.into_inner();
        let is_target = sidecar_context.is_some_and(|context| context.invocation_context == MIGRATION_TARGET);
        let (point, version) = ("MutateDomain", "plugins.v1alpha1");
        if domain_type == "libvirt" && !is_target {
            let domain = self.desk.define(point, version, call, (domain, vmi)).await?;
            return Ok(Response::new(MutateDomainResponse { domain }));
        }
        let work = move |hook: &Hook| match is_target {
            true => hook.unchanged(&domain),
            false => hook.other_type(&domain, domain_type),
        };
        let outcome = self.desk.answer(Instant::now(), (point, version), call, work).await?;
        Ok(Response::new(MutateDomainResponse { domain: outcome.bytes }))
    }
}
