//! Telling kubelet that a resource is served (`Registration`).

use std::path::Path;
use std::time::Duration;

use super::dial::call;
use super::error::KubeletError;
use super::proto::deviceplugin::registration_client::RegistrationClient;
use super::proto::deviceplugin::{DevicePluginOptions, RegisterRequest};

/// kubelet's socket in the device plugin folder.
pub(super) const KUBELET: &str = "kubelet.sock";

/// The version of the protocol.
const VERSION: &str = "v1beta1";

/// What we want to be asked.
pub(super) fn options() -> DevicePluginOptions {
    DevicePluginOptions { pre_start_required: true, get_preferred_allocation_available: true }
}

/// Registers a resource that is served at a socket of the same folder. kubelet calls there before it answers.
pub(super) async fn register(
    folder: &Path,
    endpoint: &str,
    resource: &str,
    within: Duration,
) -> Result<(), KubeletError> {
    let request = RegisterRequest {
        version: VERSION.to_owned(),
        endpoint: endpoint.to_owned(),
        resource_name: resource.to_owned(),
        options: Some(options()),
    };
    call(&folder.join(KUBELET), "Register", within, |connection, origin| async move {
        RegistrationClient::with_origin(connection, origin).register(request).await
    })
    .await
    .map(|_| ())
}
