//! The plugin route from end to end: a process started as the example's policy starts it, called as virt-launcher calls it.
//!
//! What a domain hook answers to single requests stands in `tests/sidecar/plugin.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

#[path = "examples/cel.rs"]
mod cel;
#[allow(dead_code, reason = "the examples' own tests need more of it")]
#[path = "examples/files.rs"]
mod files;
#[allow(dead_code, reason = "the sidecar's own tests need more of it")]
#[path = "sidecar/rig.rs"]
mod rig;

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use virt_tailor::kubevirt::launcher::{Release, Vmi};
use virt_tailor::kubevirt::proto::info::{InfoParams, info_client::InfoClient};
use virt_tailor::kubevirt::proto::plugins::domain_hook_service_client::DomainHookServiceClient;
use virt_tailor::kubevirt::proto::plugins::{MutateDomainRequest, SidecarContext};
use virt_tailor::kubevirt::reduce::reduce_for;

use files::{document, documents, example, text};
use rig::{LONG, PROGRAM, connect, entries, kill, sample, within};

/// Where KubeVirt has the folders of plugins.
const PLUGINS: &str = "/var/run/kubevirt-plugin";
/// Every context that KubeVirt knows besides the migration target's, one that it may know later, and none.
const CONTEXTS: [Option<&str>; 4] = [Some("Boot"), Some("MigrationSource"), Some("Later"), None];

/// The container that the policy brings into a pod, and the folder that it shares with virt-launcher.
struct Pod {
    plugins: TempDir,
    child: Child,
}

impl Pod {
    fn start() -> Self {
        let plugins = tempfile::tempdir().unwrap();
        let policy = documents(&example("plugin-route/policy.yaml")).remove(0);
        let applied = policy["spec"]["mutations"][0]["applyConfiguration"]["expression"].as_str().unwrap();
        let container = cel::applied(applied).unwrap()["spec"]["initContainers"][0].clone();
        let folder = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
        fs::create_dir(plugins.path().join(folder.strip_prefix(PLUGINS).unwrap().trim_start_matches('/'))).unwrap();
        let arguments: Vec<String> = serde_json::from_value(container["args"].clone()).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--plugin-dir").arg(plugins.path()).args(["--host-root", "/nonexistent"]);
        let child = command.env_clear().stderr(Stdio::null()).spawn().unwrap();
        Self { plugins, child }
    }

    /// Where virt-launcher looks: what the Plugin says.
    fn socket(&self) -> PathBuf {
        let plugin = document(&example("plugin-route/plugin.yaml"));
        let path = plugin["spec"]["domainHooks"][0]["sidecar"]["socketPath"].as_str().unwrap();
        let path = self.plugins.path().join(path.strip_prefix(PLUGINS).unwrap().trim_start_matches('/'));
        // It wants a socket there, and no link to one.
        let is_there = || fs::symlink_metadata(&path).ok().filter(|found| found.file_type().is_socket());
        within(LONG, is_there).unwrap_or_else(|| panic!("no socket {}", path.display()));
        path
    }

    async fn mutate(&self, request: MutateDomainRequest) -> Result<String, Status> {
        mutate(self.socket(), request).await
    }
}

/// One call; a connection for each, as KubeVirt has it.
async fn mutate(socket: PathBuf, request: MutateDomainRequest) -> Result<String, Status> {
    let mut client = DomainHookServiceClient::new(connect(&socket).await.unwrap());
    Ok(String::from_utf8(client.mutate_domain(request).await?.into_inner().domain).unwrap())
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A call as virt-launcher makes it, for the VM of the example.
fn request(domain: impl Into<Vec<u8>>, context: Option<&str>) -> MutateDomainRequest {
    let sidecar_context = context.map(|context| SidecarContext { invocation_context: context.to_owned() });
    MutateDomainRequest {
        domain_type: "libvirt".to_owned(),
        domain: domain.into().into(),
        vmi: vmi().into(),
        sidecar_context,
    }
}

fn vmi() -> Vec<u8> {
    Vmi::parse(&text(&example("plugin-route/vm.yaml"))).unwrap().json()
}

/// A domain as the libvirtxml bindings write it. There are no host devices in it: KubeVirt 1.9 cannot translate those.
fn as_libvirtxml(domain: &str) -> String {
    domain.replace('\t', "  ")
}

/// The domain with what its VM asks for: `memory.nosharepages` and `cpu.cache`.
fn assert_fitted(answer: &str, what: &str) {
    for once in ["<nosharepages", "<cache mode=\"passthrough\""] {
        assert_eq!(answer.matches(once).count(), 1, "{what}: {once}\n{answer}");
    }
}

/// The sample's CPU is none whose cache can be passed through; the VM of the example has another.
fn domain() -> String {
    let domain = as_libvirtxml(&sample("plain.pass1.xml"));
    assert!(domain.contains("<cpu mode=\"host-model\">"));
    domain.replace("<cpu mode=\"host-model\">", "<cpu mode=\"host-passthrough\">")
}

#[tokio::test]
async fn every_context_but_a_migration_targets_is_fitted() {
    let pod = Pod::start();
    for context in CONTEXTS {
        let answer = pod.mutate(request(domain(), context)).await.unwrap();
        assert_fitted(&answer, context.unwrap_or("none"));
    }
    assert_eq!(pod.mutate(request(domain(), Some("MigrationTarget"))).await.unwrap(), domain());
}

/// Between passes KubeVirt's structs stand here as well.
#[tokio::test]
async fn three_passes_with_kubevirts_losses_fit_it_once() {
    let pod = Pod::start();
    for release in ["1.9", "main"] {
        let structs = release.parse::<Release>().unwrap().structs();
        let mut domain = domain();
        for pass in 1..=3 {
            let answer = pod.mutate(request(domain.as_str(), Some("Boot"))).await.unwrap();
            assert_fitted(&answer, &format!("{release}, pass {pass}"));
            domain = as_libvirtxml(&reduce_for(answer.as_bytes(), structs).unwrap());
        }
    }
}

#[tokio::test]
async fn domains_of_another_type_are_refused_in_one_line() {
    let pod = Pod::start();
    for kind in ["", "xen", "Libvirt", "libvirt "] {
        for context in CONTEXTS {
            let request = MutateDomainRequest { domain_type: kind.to_owned(), ..request(domain(), context) };
            let status = pod.mutate(request).await.unwrap_err();
            let line = format!("virt-tailor: the call brings a domain of type {kind:?}: only libvirt's are known");
            assert_eq!((status.code(), status.message()), (Code::InvalidArgument, line.as_str()), "{context:?}");
        }
    }
}

#[tokio::test]
async fn what_comes_broken_or_too_large_is_refused_in_one_line() {
    let pod = Pod::start();
    let wrong_vmi = MutateDomainRequest { vmi: b"{".to_vec().into(), ..request(domain(), Some("Boot")) };
    let no_vmi = MutateDomainRequest { vmi: Vec::new().into(), ..request(domain(), Some("Boot")) };
    let large = domain().replacen("<devices>", &format!("<!--{}--><devices>", " ".repeat(4_190_000)), 1);
    for (request, words) in [
        (request("", Some("Boot")), "the call brings no domain XML"),
        (request("<domain>", Some("Boot")), "<domain> is never closed"),
        (request("<network/>", None), "the root element is <network>"),
        (wrong_vmi, "the VirtualMachineInstance of the call"),
        (no_vmi, "the call brings no VirtualMachineInstance"),
        (request(large, Some("Boot")), "KubeVirt receives 4193280 at most"),
    ] {
        let status = pod.mutate(request).await.unwrap_err();
        assert!(status.message().starts_with("virt-tailor: "), "{status}");
        assert!(status.message().contains(words) && !status.message().contains('\n'), "{status}");
    }
    // More than is read at all; the next call is answered as ever.
    let status = pod.mutate(request(vec![b' '; 17 << 20], Some("Boot"))).await.unwrap_err();
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status}");
    assert_fitted(&pod.mutate(request(domain(), Some("Boot"))).await.unwrap(), "after all");
}

#[tokio::test]
async fn the_socket_is_the_plugins_alone_and_goes_at_the_end() {
    let mut pod = Pod::start();
    let socket = pod.socket();
    let folder = socket.parent().unwrap();
    within(LONG, || (entries(folder) == ["virt-tailor.sock"]).then_some(())).unwrap();
    // virt-launcher may look for hooks only where they are.
    let status = InfoClient::new(connect(&socket).await.unwrap()).info(InfoParams {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let mut calls: JoinSet<_> = (0..16).map(|_| mutate(socket.clone(), request(domain(), Some("Boot")))).collect();
    while let Some(answer) = calls.join_next().await {
        assert_fitted(&answer.unwrap().unwrap(), "one of many");
    }
    kill("-TERM", pod.child.id());
    assert_eq!(pod.child.wait().unwrap().code(), Some(0));
    assert_eq!(entries(folder), [""; 0]);
}
