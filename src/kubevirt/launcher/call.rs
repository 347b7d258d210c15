//! The calls: each over a connection of its own, in the version that was agreed on.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;
use tonic::{Response, Status};

use super::collect::authority;
use super::{Client, dial, grpc_error};
use crate::kubevirt::proto::{v1alpha1, v1alpha2, v1alpha3};

/// How long a call may take.
const CALL: Duration = Duration::from_secs(60);
/// Go's limit for what is received.
const RECEIVED: usize = 4 << 20;

/// What PreCloudInitIso brings and takes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudInit {
    /// The older form.
    pub no_cloud_source: Vec<u8>,
    /// The form that counts.
    pub data: Vec<u8>,
}

/// A client of one version with KubeVirt's limits.
macro_rules! client {
    ($self:ident, $version:ident) => {
        $version::callbacks_client::CallbacksClient::with_origin(
            dial(&$self.socket).await.map_err(|error| format!("failed to dial hook socket: {error}"))?,
            authority(),
        )
        .max_decoding_message_size(RECEIVED)
        .max_encoding_message_size(usize::MAX)
    };
}

impl Client {
    /// OnDefineDomain; an error is in the words that KubeVirt passes on.
    pub async fn define(&self, domain: &[u8], vmi: &[u8]) -> Result<Vec<u8>, String> {
        let (domain_xml, vmi) = (domain.to_vec().into(), vmi.to_vec().into());
        Ok(match self.version.as_str() {
            "v1alpha1" => {
                let params = v1alpha1::OnDefineDomainParams { domain_xml, vmi };
                answered(client!(self, v1alpha1).on_define_domain(params)).await?.domain_xml
            }
            "v1alpha2" => {
                let params = v1alpha2::OnDefineDomainParams { domain_xml, vmi };
                answered(client!(self, v1alpha2).on_define_domain(params)).await?.domain_xml
            }
            _ => {
                let params = v1alpha3::OnDefineDomainParams { domain_xml, vmi };
                answered(client!(self, v1alpha3).on_define_domain(params)).await?.domain_xml
            }
        })
    }

    /// PreCloudInitIso; there is none in v1alpha1.
    pub async fn pre_cloud_init_iso(&self, brought: CloudInit, vmi: &[u8]) -> Result<CloudInit, String> {
        if self.version == "v1alpha1" {
            return Ok(brought);
        }
        let (cloud_init_no_cloud_source, cloud_init_data) = (brought.no_cloud_source.into(), brought.data.into());
        let vmi = vmi.to_vec().into();
        Ok(match self.version.as_str() {
            "v1alpha2" => {
                let params = v1alpha2::PreCloudInitIsoParams { cloud_init_no_cloud_source, vmi, cloud_init_data };
                let answer = answered(client!(self, v1alpha2).pre_cloud_init_iso(params)).await?;
                CloudInit { no_cloud_source: answer.cloud_init_no_cloud_source, data: answer.cloud_init_data }
            }
            _ => {
                let params = v1alpha3::PreCloudInitIsoParams { cloud_init_no_cloud_source, vmi, cloud_init_data };
                let answer = answered(client!(self, v1alpha3).pre_cloud_init_iso(params)).await?;
                CloudInit { no_cloud_source: answer.cloud_init_no_cloud_source, data: answer.cloud_init_data }
            }
        })
    }

    /// Shutdown.
    pub async fn shutdown(&self) -> Result<(), String> {
        answered(client!(self, v1alpha3).shutdown(v1alpha3::ShutdownParams {})).await.map(|_| ())
    }
}

async fn answered<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, String> {
    match timeout(CALL, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        // tonic has other words for this than Go.
        Ok(Err(status)) if status.message().contains("decoded message length too large") => {
            let found: String =
                status.message().chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
            Err(format!(
                "rpc error: code = ResourceExhausted desc = grpc: received message larger than max ({found} vs. {RECEIVED})"
            ))
        }
        Ok(Err(status)) => Err(grpc_error(&status)),
        Err(_) => Err("rpc error: code = DeadlineExceeded desc = context deadline exceeded".to_owned()),
    }
}
