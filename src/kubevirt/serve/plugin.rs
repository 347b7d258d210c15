//! The domain hook of KubeVirt's Plugin API.
//!
//! Its documents come from the libvirtxml bindings: indented with two spaces, `mode` on every `<hostdev>`. To the mutator that is one
//! more way to write a domain.

use std::sync::Arc;

use tonic::transport::server::{Router, Server as Transport};
use tonic::{Request, Response, Status, async_trait};

use crate::kubevirt::hook::{Hook, HookError};
use crate::kubevirt::proto::plugins::domain_hook_service_server::{DomainHookService, DomainHookServiceServer};
use crate::kubevirt::proto::plugins::{MutateDomainRequest, MutateDomainResponse};

use super::callbacks::answer;
use super::{MAX_REQUEST, status::status};

/// What says that the domain is for a migration target, whose answer is thrown away.
const MIGRATION_TARGET: &str = "MigrationTarget";

/// The Plugin API's domain hook.
#[derive(Debug)]
pub(super) struct DomainHooks {
    hook: Arc<Hook>,
}

impl DomainHooks {
    pub(super) fn new(hook: Arc<Hook>) -> Self {
        Self { hook }
    }

    pub(super) fn into_router(self, mut transport: Transport) -> Router {
        transport.add_service(DomainHookServiceServer::new(self).max_decoding_message_size(MAX_REQUEST))
    }
}

#[async_trait]
impl DomainHookService for DomainHooks {
    async fn mutate_domain(
        &self,
        request: Request<MutateDomainRequest>,
    ) -> Result<Response<MutateDomainResponse>, Status> {
        let MutateDomainRequest { domain_type, domain, vmi, sidecar_context } = request.into_inner();
        let is_target = sidecar_context.is_some_and(|context| context.invocation_context == MIGRATION_TARGET);
        if !is_target && domain_type != "libvirt" {
            return Err(status(&HookError::DomainType { found: domain_type }));
        }
        let work = move |hook: &Hook| if is_target { hook.unchanged(domain) } else { hook.define(domain, &vmi) };
        let outcome = answer(&self.hook, "MutateDomain", "plugins.v1alpha1", work).await?;
        Ok(Response::new(MutateDomainResponse { domain: outcome.bytes }))
    }
}
