//! KubeVirt's node hooks on a live node: one more who asks for what a pod's sidecar asks for, and one more who says that a VM ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::agent::{DeviceId, PodErrands, Status, cgroups_of_pods};
use crate::base::shown;
use crate::cli::agent as cli;
use crate::host::Root;
use crate::kubelet::Pods;
use crate::kubevirt::node::{NodeHooks, NodeVm, NotReady, Point, serve_node_hooks};
use crate::link::names::{NameError, from_logs};
use crate::link::{Errands as _, MAX_PROFILES, Pod, Reply, Request};
use crate::prep::guard::LiveGuard;
use crate::prep::hand::Workshop;
use crate::prep::journal::HoldingPhase;

use super::LiveAgent;
use super::life::over;

/// How often is looked whether there is a folder for the socket.
const PACE: Duration = Duration::from_secs(5);
/// How long kubelet may take to say what a pod is called; the folders of logs say it, too.
const NAMED_WITHIN: Duration = Duration::from_millis(300);
/// How long kubelet may take to say which devices a pod has.
const SEEN_WITHIN: Duration = Duration::from_millis(400);
/// How often is looked meanwhile.
const SEEN_EVERY: Duration = Duration::from_millis(100);

/// Serves them until the end, if they are wanted.
pub(super) async fn serve(args: &cli::Agent, agent: &LiveAgent, root: &Root, stopped: watch::Receiver<bool>) {
    let cli::PluginSocket::At(path) = &args.plugin_socket else { return };
    let (agent, errands) = (agent.clone(), agent.errands());
    let hooks = Hooks { agent, errands, root: root.clone(), kubelet_root: args.kubelet_root.clone() };
    serve_node_hooks(path, Arc::new(hooks), PACE, over(stopped)).await;
}

struct Hooks {
    agent: LiveAgent,
    errands: PodErrands<Workshop, LiveGuard>,
    root: Root,
    kubelet_root: PathBuf,
}

impl NodeHooks for Hooks {
    fn owns(&self, resource: &str) -> bool {
        self.agent.resources().borrow().contains(resource)
    }

    async fn before_start(&self, vm: &NodeVm) -> Result<(), NotReady> {
        let pod = match self.pod_of(vm).await {
            Ok(pod) => pod,
            // Its containers run, so kubelet was told that its devices are ready: what is not known is no reason to say otherwise.
            Err(reason) if vm.profiles.is_empty() => {
                tracing::warn!(vm = %label(vm), reason, "a VM starts, and which devices it has cannot be told");
                return Ok(());
            }
            Err(reason) => return Err(NotReady::NotYet(reason)),
        };
        if !vm.profiles.is_empty() {
            self.profiles(&pod, vm).await?;
        }
        self.devices(&pod, vm).await
    }

    async fn ending(&self, vm: Option<&NodeVm>, point: Point) {
        // Who has what is on the disk already, and goes back when nobody uses it: so there is nothing to write down, only to look.
        tracing::info!(%point, vm = vm.map(label), "a VM ends");
        self.agent.want_look();
    }
}

impl Hooks {
    /// The VM's pod on this node: the VMI names a UID, and kubelet has to know it in the VMI's namespace.
    async fn pod_of(&self, vm: &NodeVm) -> Result<Pod, String> {
        let mut found = Vec::new();
        let mut why = "the VMI names no pod on this node yet".to_owned();
        for uid in &vm.pods {
            match self.name_of(uid).await {
                Ok(pod) if pod.namespace == vm.namespace => found.push(pod),
                Ok(pod) => why = format!("pod {uid} is one of namespace {}, not of the VM's", pod.namespace),
                Err(error) => why = format!("pod {}: {error}", shown(uid)),
            }
        }
        if found.len() > 1 {
            // One that is being cleaned up has nothing left to run in.
            let root = self.root.clone();
            let alive = spawn_blocking(move || cgroups_of_pods(&root)).await.ok().flatten().unwrap_or_default();
            found.retain(|pod| alive.contains_key(&pod.uid));
            why = format!("{} pods of this VM run on this node", found.len());
        }
        match <[Pod; 1]>::try_from(found) {
            Ok([pod]) => Ok(pod),
            Err(_) => Err(why),
        }
    }

    async fn name_of(&self, uid: &str) -> Result<Pod, NameError> {
        if let Some(pods) = Pods::find(&self.kubelet_root)
            && let Ok(Some(name)) = pods.within(NAMED_WITHIN).name_of(uid).await
        {
            return Ok(Pod { uid: uid.to_owned(), namespace: name.namespace, name: name.name });
        }
        let (logs, uid) = (self.root.path("var/log/pods"), uid.to_owned());
        spawn_blocking(move || from_logs(&logs, &uid)).await.unwrap_or(Err(NameError::Absent))
    }

    /// Asks for the node profiles of a VM, as its sidecar does over the link.
    async fn profiles(&self, pod: &Pod, vm: &NodeVm) -> Result<(), NotReady> {
        let node_profiles = well_formed(&vm.profiles).map_err(NotReady::Refused)?;
        match self.errands.ask(pod, Request::Prepare { node_profiles, memlock: None }).await {
            Ok(Reply::Ready { .. } | Reply::Released) => Ok(()),
            Ok(Reply::Working { step, of, what }) => Err(NotReady::Working { step, of, what }),
            Err(refusal) => Err(NotReady::Refused(refusal.reason)),
        }
    }

    /// Sees that the devices of a pod are ready. They were when its container started.
    async fn devices(&self, pod: &Pod, vm: &NodeVm) -> Result<(), NotReady> {
        let wanted = vm.resources.iter().filter(|resource| self.owns(resource)).count();
        if wanted == 0 {
            return Ok(());
        }
        let name = format!("{}/{}", pod.namespace, pod.name);
        let until = Instant::now() + SEEN_WITHIN;
        loop {
            let (agent, whose) = (self.agent.clone(), name.clone());
            let look = move || {
                let status = agent.status();
                let holdings = agent.engine().ledger().holdings;
                let made = |id: &DeviceId| {
                    let holding = id.owner().and_then(|owner| holdings.get(&owner));
                    holding.is_some_and(|holding| holding.phase == HoldingPhase::Ready)
                };
                ready(&status, &whose, made)
            };
            let seen = spawn_blocking(look).await.unwrap_or(Ok(0)).map_err(NotReady::NotYet)?;
            if seen >= wanted {
                return Ok(());
            }
            if Instant::now() >= until {
                tracing::warn!(vm = %label(vm), wanted, seen, "a VM starts, and kubelet has not said which devices it has");
                return Ok(());
            }
            // kubelet has not been asked since it gave them away.
            self.agent.want_look();
            sleep(SEEN_EVERY).await;
        }
    }
}

/// How many devices of a pod (`namespace/name`) there are, all ready; or what one of them is waiting for.
fn ready(status: &Status, pod: &str, made: impl Fn(&DeviceId) -> bool) -> Result<usize, String> {
    let mut count = 0;
    for (id, device) in status.devices.iter().filter(|(_, device)| device.pod.as_deref() == Some(pod)) {
        let task = id.owner().and_then(|owner| status.tasks.get(owner.as_str()));
        if let Some(step) = task {
            return Err(format!("{} is still being prepared, {step}", device.value));
        }
        if !made(id) {
            return Err(match status.refused.get(id) {
                Some(refused) => refused.reason.clone(),
                None => format!("{} of {} is not ready", device.value, device.resource),
            });
        }
        count += 1;
    }
    Ok(count)
}

/// Names of profiles as they may be: whether there are such is for the agent to say.
fn well_formed(names: &[String]) -> Result<Vec<String>, String> {
    if names.len() > MAX_PROFILES {
        return Err(format!("the VM names more than {MAX_PROFILES} node profiles: name fewer"));
    }
    let is_right = |name: &&String| {
        let right = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_');
        (1..=63).contains(&name.len()) && name.bytes().all(right)
    };
    match names.iter().find(|name| !is_right(name)) {
        Some(name) => {
            let short: String = name.chars().take(63).collect();
            Err(format!("{:?} is no name of a node profile", shown(&short)))
        }
        None => Ok(names.to_vec()),
    }
}

/// A VM as logs name it.
fn label(vm: &NodeVm) -> String {
    let name: String = format!("{}/{}", vm.namespace, vm.name).chars().take(256).collect();
    shown(&name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::DeviceStatus;

    const ID: &str = "0000:01:00.0-00000001";

    fn status(pod: Option<&str>) -> Status {
        let device = DeviceStatus {
            resource: "example.com/gpu".to_owned(),
            value: "0000:01:00.0".to_owned(),
            group: Some(1),
            unhealthy: None,
            promised: None,
            held: true,
            pod: pod.map(str::to_owned),
        };
        let mut status = Status::default();
        status.devices.insert(ID.parse().unwrap(), device);
        status
    }

    #[test]
    fn what_a_pods_devices_wait_for() {
        assert_eq!(ready(&status(Some("vms/a")), "vms/a", |_| true), Ok(1));
        assert_eq!(ready(&status(Some("vms/a")), "vms/b", |_| false), Ok(0), "another's");
        assert_eq!(ready(&status(None), "vms/a", |_| false), Ok(0), "nobody has said whose");
        let line = ready(&status(Some("vms/a")), "vms/a", |_| false).unwrap_err();
        assert_eq!(line, "0000:01:00.0 of example.com/gpu is not ready");
        let mut working = status(Some("vms/a"));
        working.tasks.insert(format!("device/{ID}"), "step 2 of 5: bind".to_owned());
        let line = ready(&working, "vms/a", |_| true).unwrap_err();
        assert_eq!(line, "0000:01:00.0 is still being prepared, step 2 of 5: bind");
    }

    #[test]
    fn names_of_profiles() {
        let names = |names: &[&str]| well_formed(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(names(&["quiet", "a.b-c"]), Ok(vec!["quiet".to_owned(), "a.b-c".to_owned()]));
        for name in ["../etc", "a/b", "a b", "a\nb", &"x".repeat(64)] {
            assert!(names(&[name]).unwrap_err().ends_with("is no name of a node profile"), "{name}");
        }
        assert!(names(&["a"; MAX_PROFILES + 1]).is_err());
    }
}
