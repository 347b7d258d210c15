//! What is waited for before Shutdown is answered.

use std::time::Duration;

/// How long the node's agent may take to note durably that this VM is over. KubeVirt itself would wait a minute, with the pod.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waits for the agent, and not longer than [`PATIENCE`].
pub(super) async fn farewell() {
    if tokio::time::timeout(PATIENCE, agent_has_noted()).await.is_err() {
        tracing::warn!(seconds = PATIENCE.as_secs(), "the agent has not confirmed the end; it will find out by itself");
    }
}

/// **The seam for the link to the agent.** Whoever builds it sends "this VM is over" over the pod's link here and returns when the
/// agent has confirmed that it is in its journal. Until then there is no agent to wait for. That is all a caller relies on: it
/// returns at once without a link, and being dropped half way harms nothing, as the agent also watches the pod by itself.
async fn agent_has_noted() {}
