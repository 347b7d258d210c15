//! Sidecars that are none: what listens on a socket and answers wrongly, late or not at all.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixListener as AsyncListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, async_trait};
use virt_tailor::kubevirt::proto::info::{HookPoint, InfoParams, InfoResult, info_server};
use virt_tailor::kubevirt::proto::v1alpha3::{
    OnDefineDomainParams, OnDefineDomainResult, PreCloudInitIsoParams, PreCloudInitIsoResult, ShutdownParams,
    ShutdownResult, callbacks_server,
};

/// What a sidecar does.
#[derive(Debug, Clone)]
pub(crate) struct Fake {
    pub(crate) versions: &'static [&'static str],
    /// The hook points that it wants to be called for.
    pub(crate) points: &'static [&'static str],
    /// What PreCloudInitIso answers: `cloudInitData` and `cloudInitNoCloudSource`.
    pub(crate) cloud_init: Option<(&'static str, &'static str)>,
    pub(crate) info_takes: Duration,
    pub(crate) define_takes: Duration,
    /// What is answered from which call on, counted from 1; before that, what came.
    pub(crate) answer: (usize, Result<Vec<u8>, Status>),
    /// How often it was asked.
    pub(crate) calls: usize,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            versions: &["v1alpha3"],
            points: &["OnDefineDomain", "Shutdown"],
            cloud_init: None,
            info_takes: Duration::ZERO,
            define_takes: Duration::ZERO,
            answer: (usize::MAX, Ok(Vec::new())),
            calls: 0,
        }
    }
}

/// A fake that serves until the test ends.
pub(crate) struct Served {
    folder: TempDir,
}

impl Served {
    /// The folder that virt-launcher would look at.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("hook-sidecar-0/fake.sock")
    }
}

fn place() -> Served {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("hook-sidecar-0")).unwrap();
    Served { folder }
}

impl Fake {
    pub(crate) fn serve(self) -> Served {
        let served = place();
        let listener = UnixListener::bind(served.socket()).unwrap();
        listener.set_nonblocking(true).unwrap();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let fake = Shared(std::sync::Arc::new(tokio::sync::Mutex::new(self)));
                Server::builder()
                    .add_service(info_server::InfoServer::new(fake.clone()))
                    .add_service(
                        callbacks_server::CallbacksServer::new(fake)
                            .max_decoding_message_size(usize::MAX)
                            .max_encoding_message_size(usize::MAX),
                    )
                    .serve_with_incoming(UnixListenerStream::new(AsyncListener::from_std(listener).unwrap()))
                    .await
                    .unwrap();
            });
        });
        served
    }
}

/// Says something that is not HTTP/2 to everybody.
pub(crate) fn foreign() -> Served {
    let served = place();
    let listener = UnixListener::bind(served.socket()).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    served
}

#[derive(Clone)]
struct Shared(std::sync::Arc<tokio::sync::Mutex<Fake>>);

#[async_trait]
impl info_server::Info for Shared {
    async fn info(&self, _: Request<InfoParams>) -> Result<Response<InfoResult>, Status> {
        let fake = self.0.lock().await.clone();
        tokio::time::sleep(fake.info_takes).await;
        let point = |name: &str| HookPoint { name: name.to_owned(), priority: 0 };
        Ok(Response::new(InfoResult {
            name: "fake".to_owned(),
            hook_points: fake.points.iter().copied().map(point).collect(),
            versions: fake.versions.iter().map(|version| (*version).to_owned()).collect(),
        }))
    }
}

#[async_trait]
impl callbacks_server::Callbacks for Shared {
    async fn on_define_domain(
        &self,
        request: Request<OnDefineDomainParams>,
    ) -> Result<Response<OnDefineDomainResult>, Status> {
        let mut fake = self.0.lock().await;
        fake.calls += 1;
        tokio::time::sleep(fake.define_takes).await;
        let (from, answer) = &fake.answer;
        let domain_xml = if fake.calls >= *from { answer.clone()? } else { request.into_inner().domain_xml.into() };
        Ok(Response::new(OnDefineDomainResult { domain_xml }))
    }

    async fn pre_cloud_init_iso(
        &self,
        _: Request<PreCloudInitIsoParams>,
    ) -> Result<Response<PreCloudInitIsoResult>, Status> {
        let Some((data, source)) = self.0.lock().await.cloud_init else {
            return Err(Status::unimplemented("not offered"));
        };
        Ok(Response::new(PreCloudInitIsoResult {
            cloud_init_data: data.into(),
            cloud_init_no_cloud_source: source.into(),
        }))
    }

    async fn shutdown(&self, _: Request<ShutdownParams>) -> Result<Response<ShutdownResult>, Status> {
        Ok(Response::new(ShutdownResult {}))
    }
}
