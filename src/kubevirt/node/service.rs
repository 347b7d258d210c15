//! The service that virt-handler calls.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tonic::{Code, Request, Response, Status, async_trait};

use super::{NodeHooks, NodeVm, NotReady, Point};
use crate::base::shown;
use crate::kubevirt::proto::plugins::node_hook_service_server::NodeHookService;
use crate::kubevirt::proto::plugins::{ExecuteNodeHookRequest, ExecuteNodeHookResponse};

/// How long an answer may take once the call has been read.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(1800);

/// What our lines begin with: they are shown in a VMI's condition, among those of others.
const NAME: &str = "virt-tailor: ";

/// The handler.
#[derive(Debug)]
pub(super) struct Service<N>(pub(super) Arc<N>);

impl<N: NodeHooks> Service<N> {
    fn concerns(&self, vm: &NodeVm) -> bool {
        !vm.profiles.is_empty() || vm.resources.iter().any(|resource| self.0.owns(resource))
    }

    async fn before_start(&self, vm: NodeVm) -> Result<(), Status> {
        let hooks = Arc::clone(&self.0);
        // In a task of its own: a panic ends that one alone.
        let asked = tokio::spawn(async move { timeout(ANSWER_WITHIN, hooks.before_start(&vm)).await });
        match asked.await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(why @ NotReady::Refused(_)))) => Err(status(Code::FailedPrecondition, &why)),
            Ok(Ok(Err(why))) => Err(status(Code::Unavailable, &why)),
            Ok(Err(_)) => Err(status(Code::Unavailable, &"the node is still being looked at; that goes on, ask again")),
            Err(_) => {
                Err(status(Code::Unavailable, &"a mistake of virt-tailor, please report it with the agent's log"))
            }
        }
    }

    async fn ending(&self, vm: Option<NodeVm>, point: Point) {
        let hooks = Arc::clone(&self.0);
        let told = tokio::spawn(async move { timeout(ANSWER_WITHIN, hooks.ending(vm.as_ref(), point)).await });
        if !matches!(told.await, Ok(Ok(()))) {
            tracing::warn!(%point, "that a VM ends was not taken in; it will be seen");
        }
    }
}

#[async_trait]
impl<N: NodeHooks> NodeHookService for Service<N> {
    async fn execute_node_hook(
        &self,
        request: Request<ExecuteNodeHookRequest>,
    ) -> Result<Response<ExecuteNodeHookResponse>, Status> {
        let ExecuteNodeHookRequest { hook_point, vmi, node_context } = request.into_inner();
        let done = Ok(Response::new(ExecuteNodeHookResponse {}));
        let Some(point) = Point::named(&hook_point) else {
            let name: String = hook_point.chars().take(64).collect();
            tracing::info!(point = %shown(&name), "a hook point that is not known here; there is nothing to do");
            return done;
        };
        if !point.is_stop() && point != Point::PreVmStart {
            // What a VM that starts or comes needs is asked for before, or by its link; there is nothing to wait for.
            tracing::debug!(%point, "noted");
            return done;
        }
        let vm = NodeVm::read(&vmi, &node_context.unwrap_or_default().node_name);
        // It may be large, and who waits needs it no more.
        drop(vmi);
        if vm.as_ref().is_ok_and(|vm| !self.concerns(vm)) {
            return done;
        }
        match vm {
            Ok(vm) if point.is_stop() => self.ending(Some(vm), point).await,
            Err(error) if point.is_stop() => {
                tracing::warn!(%point, reason = %error, "a VM ends, and it cannot be told which");
                self.ending(None, point).await;
            }
            // Asked too late there is nothing to prepare.
            Ok(vm) if vm.runs => {}
            Ok(vm) => self.before_start(vm).await?,
            Err(error) => return Err(status(Code::InvalidArgument, &error)),
        }
        done
    }
}

/// A status in our words, on one line.
pub(super) fn status(code: Code, what: &dyn Display) -> Status {
    Status::new(code, format!("{NAME}{}", shown(&what.to_string())))
}
