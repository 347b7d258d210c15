//! A profile around a VM: from the names a VM gives to the steps its pod gets.

use super::Compiler;
use crate::base::{did_you_mean, shown};
use crate::config::Memlock;
use crate::config::node::{Cpus, Profile, ProfileStep};
use crate::host::CpuSet;
use crate::prep::journal::Request;
use crate::prep::owner::Owner;
use crate::prep::step::Step;
use crate::prep::steps::{AllowOvercommit, IsolateCpus, MoveIrqs, StopService};

/// What is known of a VM's pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodPlace {
    /// The control group of the container that QEMU runs in, below `/sys/fs/cgroup`.
    pub cgroup: Option<String>,
    /// The CPUs that kubelet gave that container for itself; `None` if it shares them.
    pub cpus: Option<CpuSet>,
}

/// What profiles come to.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfilePlan {
    /// What is done to the node.
    pub request: Request,
    /// What the VM's QEMU may lock, the most that one of them says. It is held as a level, not a step: others set it again.
    pub memlock: Option<Memlock>,
}

impl Compiler<'_> {
    /// The profiles that a VM of a namespace names, as one request.
    ///
    /// # Errors
    ///
    /// All reasons, a line each: no such profile for that namespace, a unit that is never stopped, no CPUs of its own.
    pub fn profiles(
        &self,
        names: &[String],
        namespace: &str,
        pod: &PodPlace,
        owner: &Owner,
    ) -> Result<ProfilePlan, Vec<String>> {
        let purpose = names.join(",");
        let (devices, unit, domain) = (Vec::new(), Vec::new(), Vec::new());
        let mut request = Request { owner: owner.clone(), purpose, devices, unit, domain, steps: Vec::new() };
        let (mut memlock, mut reasons) = (None, Vec::new());
        for name in names {
            let Some(profile) = self.config.profile(name, namespace) else {
                reasons.push(self.unknown(name, namespace));
                continue;
            };
            for step in &profile.steps {
                match self.steps_of(step, pod) {
                    Ok(steps) => request.steps.extend(steps),
                    Err(why) => reasons.push(format!("profile {}: {why}", profile.name)),
                }
                if let ProfileStep::Memlock(wanted) = step {
                    memlock = Some(memlock.map_or(*wanted, |other| greater(other, *wanted)));
                }
            }
        }
        super::once_each(&mut request.steps);
        if let Err(why) = self.within_limits(&request) {
            reasons.push(why);
        }
        if reasons.is_empty() { Ok(ProfilePlan { request, memlock }) } else { Err(reasons) }
    }

    /// One that is not there and one that is not for this namespace look the same from outside.
    fn unknown(&self, name: &str, namespace: &str) -> String {
        let theirs = |profile: &&Profile| profile.namespaces.matches(namespace);
        let known = self.config.profiles.iter().filter(theirs).map(|profile| profile.name.as_str());
        let (name, near) = (shown(name), did_you_mean(name, known));
        format!("this node has no profile {name:?} for VMs of namespace {}{near}", shown(namespace))
    }

    fn steps_of(&self, step: &ProfileStep, pod: &PodPlace) -> Result<Vec<Step>, String> {
        Ok(match step {
            ProfileStep::Service(service) => {
                let planned = StopService::planned(self.root, service, &self.config.limits);
                vec![Step::StopService(planned.map_err(|trouble| trouble.message)?)]
            }
            ProfileStep::Hugepages(pages) => {
                let (kib, count) = (pages.size.as_kib(), u64::from(pages.overcommit));
                vec![Step::AllowOvercommit(AllowOvercommit { kib, count })]
            }
            ProfileStep::Memlock(_) => Vec::new(),
            ProfileStep::Cpus(isolate) => {
                let cpus = cpus(&isolate.isolate, pod)?;
                let Some(cgroup) = pod.cgroup.clone() else {
                    return Err(
                        "the control group of the VM's container is not found: CPUs cannot be kept for it".to_owned()
                    );
                };
                let (cgroup, workqueues) = (Some(cgroup), isolate.workqueues.is_some());
                let mut steps = vec![Step::IsolateCpus(IsolateCpus { cpus: cpus.clone(), cgroup, workqueues })];
                if isolate.irqs.is_some() {
                    steps.push(Step::MoveIrqs(MoveIrqs { away_from: cpus }));
                }
                steps
            }
            ProfileStep::Irqs(irqs) => vec![Step::MoveIrqs(MoveIrqs { away_from: cpus(&irqs.away, pod)? })],
        })
    }
}

/// The CPUs that are meant.
fn cpus(cpus: &Cpus, pod: &PodPlace) -> Result<CpuSet, String> {
    match cpus {
        Cpus::List(list) => list.to_string().parse().map_err(|error: crate::host::CpuSetError| error.to_string()),
        Cpus::Auto => pod.cpus.clone().ok_or_else(|| {
            "the VM's pod has no CPUs for itself: give the VM dedicatedCpuPlacement, on a node whose kubelet has cpuManagerPolicy static"
                .to_owned()
        }),
    }
}

/// The one that allows more.
fn greater(one: Memlock, other: Memlock) -> Memlock {
    match (one, other) {
        (Memlock::Size(one), Memlock::Size(other)) => Memlock::Size(one.max(other)),
        _ => Memlock::Unlimited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::node::NodeConfig;
    use crate::host::Root;
    use crate::prep::guard::Site;
    use crate::prep::journal::Ledger;

    const CONFIG: &str = "apiVersion: virt-tailor.io/v1alpha1
kind: NodeConfig
metadata: {name: n}
spec:
  profiles:
  - name: quiet
    namespaces: [vms]
    steps:
    - cpus: {isolate: auto, irqs: away}
    - memlock: 8Gi
  - name: silent
    namespaces: [vms]
    steps:
    - cpus: {isolate: auto, workqueues: away}
  - name: roomy
    namespaces: [vms]
    steps:
    - hugepages: {size: 2Mi, overcommit: 512}
    - memlock: unlimited
";

    fn plan(names: &[&str], namespace: &str, pod: &PodPlace) -> Result<ProfilePlan, Vec<String>> {
        let tree = crate::host::testing::Tree::new();
        let config = NodeConfig::read("node.yaml", CONFIG).unwrap().for_node("n");
        let root: Root = tree.root();
        let (site, ledger) = (Site::read(&root).unwrap(), Ledger::default());
        let compiler = Compiler { site: &site, root: &root, config: &config, ledger: &ledger };
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        compiler.profiles(&names, namespace, pod, &"pod/1".parse().unwrap())
    }

    #[test]
    fn several_are_one_request_and_the_greater_lock() {
        let pod = PodPlace { cgroup: Some("kubepods/pod1/c".to_owned()), cpus: Some("2-3".parse().unwrap()) };
        let plan = plan(&["quiet", "roomy"], "vms", &pod).unwrap();
        let steps: Vec<String> = plan.request.steps.iter().map(Step::describe).collect();
        assert_eq!(
            steps,
            [
                "keep CPUs 2-3 for control group kubepods/pod1/c",
                "keep interrupts off CPUs 2-3",
                "allow 512 huge pages of 2048 KiB beyond the pool"
            ]
        );
        assert_eq!(plan.memlock, Some(Memlock::Unlimited));
    }

    #[test]
    fn kernel_work_is_moved_if_that_is_asked_for() {
        let pod = PodPlace { cgroup: Some("kubepods/pod1/c".to_owned()), cpus: Some("2-3".parse().unwrap()) };
        for (name, moved) in [("quiet", false), ("silent", true)] {
            let request = plan(&[name], "vms", &pod).unwrap().request;
            assert!(
                matches!(&request.steps[0], Step::IsolateCpus(isolate) if isolate.workqueues == moved),
                "{name}: {request:?}"
            );
        }
    }

    #[test]
    fn what_is_not_for_a_namespace_is_not_there() {
        let reasons = plan(&["quiet"], "other", &PodPlace::default()).unwrap_err();
        assert_eq!(reasons, ["this node has no profile \"quiet\" for VMs of namespace other"]);
        let reasons = plan(&["quite"], "vms", &PodPlace::default()).unwrap_err();
        assert!(reasons[0].contains("did you mean"), "{reasons:?}");
    }

    #[test]
    fn cpus_that_are_shared_are_nobodys_own() {
        let pod = PodPlace { cgroup: Some("kubepods/pod1/c".to_owned()), cpus: None };
        let reasons = plan(&["quiet"], "vms", &pod).unwrap_err();
        assert!(reasons[0].starts_with("profile quiet: the VM's pod has no CPUs for itself"), "{reasons:?}");
    }
}
