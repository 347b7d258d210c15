//! The one call that virt-launcher makes of a sidecar before a domain starts, over the socket it finds in a folder.

use std::io;
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::Endpoint;
use virt_tailor::kubevirt::proto::v1alpha3::{OnDefineDomainParams, callbacks_client::CallbacksClient};

/// Calls OnDefineDomain: the domain that comes back, or the status as virt-launcher words it.
pub async fn define(folder: &Path, vmi: &Path, domain: &Path) -> Result<Vec<u8>, String> {
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let params = OnDefineDomainParams { domain_xml: read(domain)?.into(), vmi: read(vmi)?.into() };
    let socket = socket_in(folder)?;
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    let channel = endpoint.connect_with_connector(connector).await.map_err(|error| error.to_string())?;
    let answer = CallbacksClient::new(channel).on_define_domain(params).await;
    let answer =
        answer.map_err(|status| format!("rpc error: code = {:?} desc = {}", status.code(), status.message()))?;
    Ok(answer.into_inner().domain_xml)
}

fn socket_in(folder: &Path) -> Result<PathBuf, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut sockets =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "sock"));
    sockets.next().ok_or_else(|| format!("no socket in {}", folder.display()))
}
