//! What is waited for before Shutdown is answered.

use std::time::Duration;

use crate::link::desk::Desk;

/// How long the node's agent may take to note durably that this VM is over. KubeVirt itself would wait a minute, with the pod.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells the agent that the VM is over and waits until it has noted that, not longer than [`PATIENCE`]; not at all without an agent.
pub(super) async fn farewell(agent: &Desk) {
    farewell_to(agent.over()).await;
}

async fn farewell_to(agent: impl Future<Output = ()>) {
    if tokio::time::timeout(PATIENCE, agent).await.is_err() {
        tracing::warn!(seconds = PATIENCE.as_secs(), "the agent has not confirmed the end; it will find out by itself");
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::link::desk::Policy;

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
        // Nobody ever came.
        let begin = Instant::now();
        farewell(&Desk::new(Policy::Auto)).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
}
