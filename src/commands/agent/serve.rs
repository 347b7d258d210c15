//! Which resources are served: those of the configuration, and those of which somebody still has something.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::config::node::ResourceName;
use crate::kubelet::serve_resource;

use super::LiveAgent;
use super::life::over;

/// Serves each resource at kubelet as long as it is to be, until the end.
pub(super) async fn resources(agent: &LiveAgent, plugins: &Path, stopped: watch::Receiver<bool>) {
    let mut names = agent.resources();
    let mut running: BTreeMap<String, oneshot::Sender<()>> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    loop {
        let wanted = names.borrow_and_update().clone();
        // Whose sender is dropped ends.
        running.retain(|name, _| wanted.contains(name));
        for name in &wanted {
            if running.contains_key(name) {
                continue;
            }
            let Ok(parsed) = name.parse::<ResourceName>() else { continue };
            let (stop, ended) = oneshot::channel::<()>();
            let (name, plugins) = (name.clone(), plugins.to_owned());
            let devices = Arc::new(agent.devices(parsed));
            running.insert(name.clone(), stop);
            tasks.spawn(async move {
                let stop = async {
                    let _ = ended.await;
                };
                serve_resource(&plugins, &name, devices, stop).await;
            });
        }
        tokio::select! {
            changed = names.changed() => if changed.is_err() { break },
            () = over(stopped.clone()) => break,
            Some(_) = tasks.join_next() => (),
        }
    }
    running.clear();
    while tasks.join_next().await.is_some() {}
}
