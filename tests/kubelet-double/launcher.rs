//! The calls that virt-launcher makes of a sidecar before a domain starts, over the socket it finds in a folder.

use std::io;
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use virt_tailor::kubevirt::proto::v1alpha3::{
    OnDefineDomainParams, PreCloudInitIsoParams, callbacks_client::CallbacksClient,
};

/// Calls OnDefineDomain: the domain that comes back, or the status as virt-launcher words it.
pub async fn define(folder: &Path, vmi: &Path, domain: &Path) -> Result<Vec<u8>, String> {
    let params = OnDefineDomainParams { domain_xml: read(domain)?.into(), vmi: read(vmi)?.into() };
    let answer = client(folder).await?.on_define_domain(params).await;
    Ok(answer.map_err(worded)?.into_inner().domain_xml)
}

/// Calls PreCloudInitIso with KubeVirt's `CloudInitData`: the one that comes back, or the status.
pub async fn cloud_init(folder: &Path, vmi: &Path, data: &Path) -> Result<Vec<u8>, String> {
    let params = PreCloudInitIsoParams {
        cloud_init_no_cloud_source: b"null".to_vec().into(),
        vmi: read(vmi)?.into(),
        cloud_init_data: read(data)?.into(),
    };
    let answer = client(folder).await?.pre_cloud_init_iso(params).await;
    Ok(answer.map_err(worded)?.into_inner().cloud_init_data)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

async fn client(folder: &Path) -> Result<CallbacksClient<Channel>, String> {
    let socket = socket_in(folder)?;
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    let channel = endpoint.connect_with_connector(connector).await.map_err(|error| error.to_string())?;
    Ok(CallbacksClient::new(channel))
}

fn worded(status: tonic::Status) -> String {
    format!("rpc error: code = {:?} desc = {}", status.code(), status.message())
}

fn socket_in(folder: &Path) -> Result<PathBuf, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut sockets =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "sock"));
    sockets.next().ok_or_else(|| format!("no socket in {}", folder.display()))
}
