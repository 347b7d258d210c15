//! Our own sidecar as an older KubeVirt meets it: what stands between offers one version of the hooks and passes every call on in it.

use std::fs;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use tempfile::TempDir;
use tokio::net::UnixListener as AsyncListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, async_trait};
use virt_tailor::kubevirt::launcher::{Client, CloudInit};
use virt_tailor::kubevirt::proto::info::{HookPoint, InfoParams, InfoResult, info_server};
use virt_tailor::kubevirt::proto::{v1alpha1, v1alpha2};

use crate::play::{NAMES, Played, play};
use crate::rig::Sidecar;

/// What stands between.
#[derive(Debug, Clone)]
struct Relay(Client);

impl Relay {
    /// Serves in a folder until the test ends.
    fn before(sidecar: &Sidecar, version: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("hook-sidecar-0")).unwrap();
        let listener = UnixListener::bind(folder.path().join("hook-sidecar-0/relay.sock")).unwrap();
        listener.set_nonblocking(true).unwrap();
        let relay = Self(Client {
            socket: sidecar.socket(),
            name: String::new(),
            versions: Vec::new(),
            version: version.to_owned(),
            hook_points: Vec::new(),
        });
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                Server::builder()
                    .add_service(info_server::InfoServer::new(relay.clone()))
                    .add_service(v1alpha1::callbacks_server::CallbacksServer::new(relay.clone()))
                    .add_service(v1alpha2::callbacks_server::CallbacksServer::new(relay))
                    .serve_with_incoming(UnixListenerStream::new(AsyncListener::from_std(listener).unwrap()))
                    .await
                    .unwrap();
            });
        });
        folder
    }

    async fn define(&self, version: &str, domain: &[u8], vmi: &[u8]) -> Result<Vec<u8>, Status> {
        assert_eq!(self.0.version, version, "the client speaks a version that was not offered");
        self.0.define(domain, vmi).await.map_err(Status::internal)
    }
}

#[async_trait]
impl info_server::Info for Relay {
    async fn info(&self, _: Request<InfoParams>) -> Result<Response<InfoResult>, Status> {
        let points = ["OnDefineDomain", "PreCloudInitIso", "Shutdown"];
        Ok(Response::new(InfoResult {
            name: "relay".to_owned(),
            hook_points: points.map(|name| HookPoint { name: name.to_owned(), priority: 0 }).to_vec(),
            versions: vec![self.0.version.clone()],
        }))
    }
}

#[async_trait]
impl v1alpha1::callbacks_server::Callbacks for Relay {
    async fn on_define_domain(
        &self,
        request: Request<v1alpha1::OnDefineDomainParams>,
    ) -> Result<Response<v1alpha1::OnDefineDomainResult>, Status> {
        let params = request.into_inner();
        let domain_xml = self.define("v1alpha1", &params.domain_xml, &params.vmi).await?;
        Ok(Response::new(v1alpha1::OnDefineDomainResult { domain_xml }))
    }
}

#[async_trait]
impl v1alpha2::callbacks_server::Callbacks for Relay {
    async fn on_define_domain(
        &self,
        request: Request<v1alpha2::OnDefineDomainParams>,
    ) -> Result<Response<v1alpha2::OnDefineDomainResult>, Status> {
        let params = request.into_inner();
        let domain_xml = self.define("v1alpha2", &params.domain_xml, &params.vmi).await?;
        Ok(Response::new(v1alpha2::OnDefineDomainResult { domain_xml }))
    }

    async fn pre_cloud_init_iso(
        &self,
        request: Request<v1alpha2::PreCloudInitIsoParams>,
    ) -> Result<Response<v1alpha2::PreCloudInitIsoResult>, Status> {
        let params = request.into_inner();
        let brought = CloudInit {
            no_cloud_source: params.cloud_init_no_cloud_source.into(),
            data: params.cloud_init_data.into(),
        };
        let answer = self.0.pre_cloud_init_iso(brought, &params.vmi).await.map_err(Status::internal)?;
        Ok(Response::new(v1alpha2::PreCloudInitIsoResult {
            cloud_init_no_cloud_source: answer.no_cloud_source,
            cloud_init_data: answer.data,
        }))
    }
}

/// What an older KubeVirt makes of a sample.
fn older(name: &str, version: &str, arguments: &[&str]) -> Played {
    let sidecar = Sidecar::start(arguments);
    let relay = Relay::before(&sidecar, version);
    let played = play(name, &["--socket", relay.path().to_str().unwrap()]);
    // Such a KubeVirt has no Shutdown: it still serves.
    assert!(UnixStream::connect(sidecar.socket()).unwrap().shutdown(Shutdown::Both).is_ok());
    played
}

/// The calls, without how they came about.
fn calls(played: &Played) -> Vec<&str> {
    let about = ["Info: ", "PreCloudInitIso: ", "Shutdown: "];
    played.out.lines().filter(|line| !about.iter().any(|about| line.starts_with(about))).collect()
}

#[test]
fn older_versions_of_the_hooks_fit_every_sample_alike() {
    for name in NAMES {
        let newest = play(name, &["--profile", "gpu-workstation"]);
        assert_eq!(newest.code, Some(0), "{newest:?}");
        for version in ["v1alpha1", "v1alpha2"] {
            let played = older(name, version, &["--profile", "gpu-workstation", "--cloud-init", "--agent", "off"]);
            let is_told = played.out.contains("the sidecar is not told that the VM has ended");
            // Version 2 does ask for cloud-init, and crashes without.
            let crashes = version == "v1alpha2" && name != "dpdk-worker";
            if crashes {
                assert_eq!(played.code, Some(65), "{name} {version}: {played:?}");
                assert!(played.err.contains("virt-launcher would crash"), "{name} {version}: {played:?}");
                continue;
            }
            assert_eq!((played.code, played.err.as_str()), (Some(0), ""), "{name} {version}: {played:?}");
            assert!(is_told && played.out.contains(&format!("{version} is used")), "{name} {version}: {played:?}");
            assert_eq!(calls(&played), calls(&newest), "{name} {version}");
        }
    }
}

#[test]
fn cloud_init_is_merged_in_version_2_and_not_asked_for_in_version_1() {
    let guest = ["--cloud-init", "--set", "guest.memlock=unlimited"];
    let played = older("dpdk-worker", "v1alpha2", &guest);
    assert!(played.out.contains("PreCloudInitIso: the user data is changed\n"), "{played:?}");
    let played = older("dpdk-worker", "v1alpha1", &guest);
    assert!(played.out.contains("PreCloudInitIso: v1alpha1 has none, the sidecar is not asked\n"), "{played:?}");
}
