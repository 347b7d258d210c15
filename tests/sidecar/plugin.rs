//! The Plugin API's domain hook.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Stdio};

use tonic::{Code, Status};
use virt_tailor::kubevirt::proto::plugins::domain_hook_service_client::DomainHookServiceClient;
use virt_tailor::kubevirt::proto::plugins::{MutateDomainRequest, SidecarContext};

use crate::rig::{LONG, command, connect, entries, info, kill, outcome, sample, vmi, within};

/// Folders as in a pod, and a sidecar in them.
struct Pod {
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Pod {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("hooks")).unwrap();
        fs::create_dir_all(folder.path().join("plugins/tailor")).unwrap();
        let mut pod = Self { folder, child: None };
        let log = fs::File::create(pod.log()).unwrap();
        pod.child = Some(pod.command(arguments).stderr(log).spawn().unwrap());
        within(LONG, || pod.socket().exists().then_some(())).unwrap();
        pod
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = command(&self.folder.path().join("hooks"));
        command.args(["--plugin", "tailor", "--plugin-dir"]).arg(self.folder.path().join("plugins")).args(arguments);
        command
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("log")
    }

    fn plugin(&self) -> std::path::PathBuf {
        self.folder.path().join("plugins/tailor")
    }

    fn socket(&self) -> std::path::PathBuf {
        self.plugin().join("virt-tailor.sock")
    }

    fn end(mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        kill("-TERM", child.id());
        let code = child.wait().unwrap().code();
        assert!(entries(&self.plugin()).is_empty());
        code
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn mutate(socket: &Path, domain: &str, vmi: &str, kind: &str, context: &str) -> Result<String, Status> {
    let mut client = DomainHookServiceClient::new(connect(socket).await.unwrap());
    let request = MutateDomainRequest {
        domain_type: kind.to_owned(),
        domain: domain.to_owned().into(),
        vmi: vmi.to_owned().into(),
        sidecar_context: Some(SidecarContext { invocation_context: context.to_owned() }),
    };
    let answer = client.mutate_domain(request).await?;
    Ok(String::from_utf8(answer.into_inner().domain).unwrap())
}

/// A domain as the libvirtxml bindings write it: two spaces, `mode` on host devices, another order of attributes.
fn as_libvirtxml(domain: &str) -> String {
    let domain = domain.replace('\t', "  ");
    domain.replace("<hostdev type=\"pci\" managed=\"no\">", "<hostdev mode=\"subsystem\" type=\"pci\" managed=\"no\">")
}

#[tokio::test]
async fn a_domain_of_libvirtxml_is_fitted_in_its_own_style() {
    let pod = Pod::start(&[]);
    let domain = as_libvirtxml(&sample("gpu-workstation.pass1.xml"));
    assert!(domain.contains("mode=\"subsystem\""));
    let vmi = sample("gpu-workstation.vmi.json");
    let answer = mutate(&pod.socket(), &domain, &vmi, "libvirt", "Boot").await.unwrap();
    assert_ne!(answer, domain);
    assert!(!answer.contains('\t'), "{answer}");
    assert_eq!(mutate(&pod.socket(), &answer, &vmi, "libvirt", "Boot").await.unwrap(), answer);
    // The hooks are served as well.
    let hooks = pod.folder.path().join("hooks");
    let socket = entries(&hooks).pop().unwrap();
    assert_eq!(info(connect(&hooks.join(socket)).await.unwrap()).await.versions.len(), 3);
    assert_eq!(pod.end(), Some(0));
}

#[tokio::test]
async fn a_migration_target_comes_back_as_it_came() {
    let pod = Pod::start(&[]);
    let wrong = vmi("plain", &[("virt-tailor.io/profiles", "there-is-none")]);
    for domain in [sample("plain.target.xml"), sample("plain.pass2.xml"), "not even XML".to_owned()] {
        let answer = mutate(&pod.socket(), &domain, &wrong, "libvirt", "MigrationTarget").await.unwrap();
        assert_eq!(answer, domain);
    }
    let status = mutate(&pod.socket(), "<domain/>", &wrong, "libvirt", "Boot").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = mutate(&pod.socket(), "<domain/>", &wrong, "xen", "Boot").await.unwrap_err();
    assert_eq!(status.message(), "virt-tailor: the call brings a domain of type \"xen\": only libvirt's are known");
}

#[tokio::test]
async fn a_domain_of_another_type_is_kept_if_asked() {
    let pod = Pod::start(&["--on-error=keep"]);
    let answer = mutate(&pod.socket(), "<domain/>", &vmi("plain", &[]), "xen", "Boot").await.unwrap();
    assert_eq!(answer, "<domain/>");
    let log = fs::read_to_string(pod.log()).unwrap();
    assert!(log.contains("left as it came, because of --on-error keep"), "{log}");
    assert!(log.contains("the call brings a domain of type \\\"xen\\\": only libvirt's are known"), "{log}");
}

#[tokio::test]
async fn its_name_is_fixed_so_one_of_the_past_is_replaced_and_a_living_one_is_not() {
    let pod = Pod::start(&[]);
    let (code, _, err) = outcome(&mut pod.command(&[]));
    assert_eq!(code, Some(66), "{err}");
    assert!(err.contains("virt-tailor.sock is served already, by another process"), "{err}");
    let plugin = pod.plugin();
    // The private folder goes after the socket has come.
    within(LONG, || (entries(&plugin) == ["virt-tailor.sock"]).then_some(())).unwrap();
    within(LONG, || (entries(&pod.folder.path().join("hooks")).len() == 1).then_some(())).unwrap();
    pod.end();

    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("tailor")).unwrap();
    let socket = folder.path().join("tailor/virt-tailor.sock");
    drop(UnixListener::bind(&socket).unwrap());
    // Without the folder of hook sockets the plugin is all there is. (On a machine that has it, this is a second socket.)
    let mut child = std::process::Command::new(crate::rig::PROGRAM);
    child.args(["sidecar", "--plugin", "tailor", "--plugin-dir"]).arg(folder.path());
    let mut child = child.stderr(Stdio::null()).spawn().unwrap();
    let answers = within(LONG, || std::os::unix::net::UnixStream::connect(&socket).ok());
    assert!(answers.is_some());
    kill("-TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
