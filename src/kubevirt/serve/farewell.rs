//! What is waited for before Shutdown is answered.

use std::time::Duration;

/// How long the node's agent may take to note durably that this VM is over. KubeVirt itself would wait a minute, with the pod.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waits for the agent, and not longer than [`PATIENCE`].
pub(super) async fn farewell() {
    farewell_to(agent_has_noted()).await;
}

async fn farewell_to(agent: impl Future<Output = ()>) {
    if tokio::time::timeout(PATIENCE, agent).await.is_err() {
        tracing::warn!(seconds = PATIENCE.as_secs(), "the agent has not confirmed the end; it will find out by itself");
    }
}

/// **The seam for the link to the agent.** Whoever builds it sends "this VM is over" over the pod's link here and returns when the
/// agent has confirmed that it is in its journal. Until then there is no agent to wait for. That is all a caller relies on: it
/// returns at once without a link, and being dropped half way harms nothing, as the agent also watches the pod by itself.
async fn agent_has_noted() {}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{Instant, sleep};

    use super::*;

    // Time stands still but for sleeping, so these are exact and take none.
    #[tokio::test(start_paused = true)]
    async fn an_agent_that_never_confirms_is_given_two_seconds() {
        let begin = Instant::now();
        farewell_to(pending()).await;
        let took = begin.elapsed();
        assert!(took >= Duration::from_secs(2) && took < Duration::from_millis(2010), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_confirms_is_waited_for_and_no_longer() {
        for millis in [0, 700] {
            let begin = Instant::now();
            farewell_to(sleep(Duration::from_millis(millis))).await;
            let took = begin.elapsed();
            assert!(took >= Duration::from_millis(millis) && took < Duration::from_millis(millis + 10), "{took:?}");
        }
        // There is no link yet.
        let begin = Instant::now();
        farewell().await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
