//! A node of a cluster: the agent, a kubelet, and the pods of VMs.
//!
//! kubelet is `kubelet-double`, which speaks kubelet's own protocols over its own sockets; a VM's pod is a cgroup, a folder below
//! kubelet's, and a libvirt in it ([`crate::launcher`]).

use std::cell::RefCell;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::binary::kubelet_double;
use crate::bind::NODE;
use crate::launcher::pod_cgroup;
use crate::vm::{Job, Output, Vm};

/// How long a node may take for what it does by itself: confirmations of a pod's end lie ten seconds apart.
const PATIENCE: Duration = Duration::from_secs(150);

/// The agent's own pod.
const OWN: (&str, &str, &str) = ("11111111-0000-4000-8000-000000000001", "virt-tailor", "virt-tailor-agent-box");

/// The agent and kubelet of a machine.
#[derive(Debug)]
pub(crate) struct Node<'vm> {
    pub(crate) vm: &'vm Vm,
    agent: RefCell<Option<Job<'vm>>>,
    options: String,
    _kubelet: Job<'vm>,
}

/// What a container was given.
#[derive(Debug, Clone)]
pub(crate) struct Given(pub(crate) Value);

impl Given {
    /// The ids that kubelet chose.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.0["ids"].as_array().expect("ids").iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    /// One of the variables.
    #[track_caller]
    pub(crate) fn env(&self, name: &str) -> String {
        self.0["envs"][name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.0)).to_owned()
    }

    /// The device nodes, as the host has them.
    pub(crate) fn nodes(&self) -> Vec<String> {
        self.0["nodes"]
            .as_array()
            .expect("nodes")
            .iter()
            .map(|node| node["host"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// The sidecar of a pod.
#[derive(Debug)]
pub(crate) struct Sidecar<'vm> {
    vm: &'vm Vm,
    folder: String,
    _job: Job<'vm>,
}

impl Sidecar<'_> {
    /// OnDefineDomain: the domain that comes back, or why none does.
    #[track_caller]
    pub(crate) fn define(&self, vmi: &Value, domain: &str) -> Result<String, String> {
        self.vm.put("vmi.json", vmi.to_string().as_bytes());
        self.vm.put("kubevirt.xml", domain.as_bytes());
        let output = self.vm.run(&format!("kubelet-double define {} /vt/vmi.json /vt/kubevirt.xml", self.folder));
        if output.code == 0 { Ok(output.stdout) } else { Err(output.stdout) }
    }

    /// PreCloudInitIso: the user data that comes back.
    #[track_caller]
    pub(crate) fn cloud_init(&self, vmi: &Value, user_data: &str) -> String {
        let data =
            json!({ "DataSource": "noCloud", "NoCloudMetaData": { "instance-id": "a.b" }, "UserData": user_data });
        self.vm.put("vmi.json", vmi.to_string().as_bytes());
        self.vm.put("cloud-init.json", data.to_string().as_bytes());
        let said =
            self.vm.run(&format!("kubelet-double cloud-init {} /vt/vmi.json /vt/cloud-init.json", self.folder)).ok();
        let answer: Value = serde_json::from_str(&said).expect("JSON");
        answer["UserData"].as_str().expect("user data").to_owned()
    }
}

impl<'vm> Node<'vm> {
    /// Starts kubelet and the agent with a NodeConfig; `options` are more of the agent's.
    #[track_caller]
    pub(crate) fn start(vm: &'vm Vm, config: &str, options: &str) -> Self {
        vm.put("node.yaml", config.as_bytes());
        vm.put("kubelet-double", &std::fs::read(kubelet_double()).unwrap());
        vm.run("install /vt/kubelet-double /usr/local/bin/").ok();
        let kubelet = vm.spawn("mkdir -p /var/log/pods; exec kubelet-double /var/lib/kubelet serve");
        let node = Self { vm, agent: RefCell::new(None), options: options.to_owned(), _kubelet: kubelet };
        node.until("kubelet answers", || node.try_kubelet("pods").is_ok().then_some(()));
        node.pod(OWN.0, OWN.1, OWN.2);
        node.start_agent();
        node
    }

    /// The same on a node that was booted again, with what it had on its disks ([`Self::disks`]).
    #[track_caller]
    pub(crate) fn start_again(vm: &'vm Vm, config: &str, options: &str, disks: &[u8]) -> Self {
        vm.put("disks.tar", disks);
        vm.run("tar -xf /vt/disks.tar -C /").ok();
        Self::start(vm, config, options)
    }

    /// What agent and kubelet have on their disks.
    pub(crate) fn disks(&self) -> Vec<u8> {
        self.vm.run("tar -cf /vt/disks.tar -C / var/lib/virt-tailor var/lib/kubelet var/log/pods").ok();
        std::fs::read(self.vm.share().join("disks.tar")).unwrap()
    }

    /// Starts the agent.
    pub(crate) fn start_agent(&self) {
        let agent = format!("exec {}", self.agent_command());
        *self.agent.borrow_mut() = Some(self.vm.spawn(&agent));
    }

    /// The same, and a process is hidden from it.
    pub(crate) fn start_agent_blind_to(&self, process: u32) {
        let agent = self.agent_command();
        let agent = format!("exec unshare -m sh -c 'mount -t tmpfs none /proc/{process} && exec {agent}'");
        *self.agent.borrow_mut() = Some(self.vm.spawn(&agent));
    }

    /// The same, and it dies as by `kill -9` at the place of this number, counted from 1, of what it does to the node.
    pub(crate) fn start_agent_that_dies_at(&self, place: u32) {
        let agent = format!("VIRT_TAILOR_FAULT={place} exec {}", self.agent_command());
        *self.agent.borrow_mut() = Some(self.vm.spawn(&agent));
    }

    /// Waits until the agent has died by itself.
    #[track_caller]
    pub(crate) fn agent_has_died(&self) {
        let agent = self.agent.borrow_mut().take().expect("an agent");
        assert_eq!(agent.wait(150).code, 137, "it was to die");
    }

    fn agent_command(&self) -> String {
        format!("virt-tailor agent {NODE} --own-pod {}/{} {}", OWN.1, OWN.2, self.options)
    }

    /// `kill -9` or another signal, and waits for its end.
    #[track_caller]
    pub(crate) fn end_agent(&self, signal: &str) -> Output {
        let agent = self.agent.borrow_mut().take().expect("an agent");
        self.vm.run(&format!("kill -{signal} {}", agent.pid())).ok();
        agent.wait(60)
    }

    /// What the agent has logged since it was started.
    pub(crate) fn log(&self) -> String {
        self.agent.borrow().as_ref().map(|agent| agent.so_far().stderr).unwrap_or_default()
    }

    /// One command of `kubelet-double`; an error is kubelet's or the plugin's.
    pub(crate) fn try_kubelet(&self, command: &str) -> Result<Value, String> {
        let output = self.vm.run(&format!("kubelet-double /var/lib/kubelet {command}"));
        let answer: Value = serde_json::from_str(&output.stdout).map_err(|_| format!("{output:?}"))?;
        match answer.get("error") {
            Some(error) => Err(error.as_str().unwrap_or_default().to_owned()),
            None => Ok(answer),
        }
    }

    /// The same, which must not fail.
    #[track_caller]
    pub(crate) fn kubelet(&self, command: &str) -> Value {
        self.try_kubelet(command).unwrap_or_else(|why| panic!("{command}: {why}\nthe agent:\n{}", self.log()))
    }

    /// A pod is there: for kubelet, its log folder, its volumes.
    #[track_caller]
    pub(crate) fn pod(&self, uid: &str, namespace: &str, name: &str) {
        self.kubelet(&format!("pod {uid} {namespace} {name}"));
        self.vm.run(&format!("mkdir -p /var/log/pods/{namespace}_{name}_{uid} /var/lib/kubelet/pods/{uid}")).ok();
    }

    /// A pod has gone, with what was left of it.
    #[track_caller]
    pub(crate) fn remove(&self, uid: &str) {
        self.kubelet(&format!("remove {uid}"));
        self.vm
            .run(&format!(
                "rm -rf /var/log/pods/*_{uid} /var/lib/kubelet/pods/{uid}
                 cgroup=/sys/fs/cgroup/kubepods/besteffort/pod{uid}
                 if [ -d $cgroup ]; then
                   for i in 1 2 3 4 5 6 7 8 9; do cat $cgroup/cgroup.procs $cgroup/*/cgroup.procs | xargs -r kill -9; sleep 0.2; done
                   find $cgroup -depth -type d -exec rmdir {{}} +
                 fi"
            ))
            .ok();
    }

    /// Waits until a resource has so many healthy devices.
    #[track_caller]
    pub(crate) fn offered(&self, resource: &str, count: usize) -> Value {
        self.until(&format!("{count} of {resource}"), || {
            let known = self.try_kubelet(&format!("devices {resource}")).ok()?;
            (known["healthy"].as_array()?.len() == count && known["stopped"] == json!(false)).then_some(known)
        })
    }

    /// Admission of a pod's container `compute`.
    #[track_caller]
    pub(crate) fn allocate(&self, uid: &str, resource: &str, count: usize) -> Given {
        Given(self.kubelet(&format!("allocate {uid} compute {resource} {count}")))
    }

    /// PreStartContainer, tried again as kubelet does until it succeeds.
    #[track_caller]
    pub(crate) fn prestart(&self, uid: &str) {
        self.until(&format!("the container of {uid} starts"), || {
            self.try_kubelet(&format!("prestart {uid} compute")).ok()
        });
    }

    /// A sidecar in a pod, as KubeVirt starts it: uid 107, its socket in the pod's volume.
    #[track_caller]
    pub(crate) fn sidecar(&self, uid: &str, options: &str) -> Sidecar<'vm> {
        let folder =
            format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/hook-sidecar-sockets/hook-sidecar-0");
        let cgroup = pod_cgroup(uid).replace("/launcher", "/sidecar");
        // As in a pod, whose volume is mounted there: the node's own path is longer than the address of a socket may be.
        let job = self.vm.spawn(&format!(
            "set -e; mkdir -p {folder} {cgroup} /var/run/kubevirt-hooks; ln -s {folder} /run/{uid}; chown 107:107 {folder}
             echo $$ >{cgroup}/cgroup.procs
             exec unshare --mount sh -ec 'mount --bind {folder} /var/run/kubevirt-hooks
               exec setpriv --reuid 107 --regid 107 --clear-groups env -i CONTAINER_NAME=hook-sidecar-0 \
                 /usr/local/bin/virt-tailor sidecar {options}'"
        ));
        let is_socket = |name: &String| name.ends_with(".sock");
        self.until("the sidecar serves", || self.vm.names(&folder).iter().any(is_socket).then_some(()));
        let folder = format!("/run/{uid}");
        Sidecar { vm: self.vm, folder, _job: job }
    }

    /// What `node status --json` says.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.vm.run("virt-tailor node status --json").ok()).expect("JSON")
    }

    /// A page of the agent's, which listens at 9100: its status and its text.
    #[track_caller]
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        let answer = self
            .vm
            .run(&format!(
                "exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/9100 && printf \"GET {path} HTTP/1.0\\r\\n\\r\\n\" >&3 && cat <&3'"
            ))
            .ok();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("{answer}")), text.trim_end().to_owned())
    }

    /// Waits for something to be so.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, found: impl Fn() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = found() {
                return found;
            }
            assert!(begin.elapsed() < PATIENCE, "it did not come to this: {what}; the agent:\n{}", self.log());
            thread::sleep(Duration::from_millis(500));
        }
    }
}
