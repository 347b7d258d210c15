//! Who connects and is no kubelet, and a kubelet that has gone mad.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream as Blocking;
use std::path::Path;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;
use virt_tailor::kubelet::proto::deviceplugin as proto;
use virt_tailor::kubelet::proto::deviceplugin::device_plugin_client::DevicePluginClient;
use virt_tailor::kubelet::proto::deviceplugin::registration_client::RegistrationClient;

use crate::double::{Kind, Kubelet};
use crate::model::{Model, Plugin, RESOURCE, SOON, hurried};

async fn connect(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    let connector = service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await.unwrap()
}

fn allocation(ids: Vec<String>) -> proto::AllocateRequest {
    proto::AllocateRequest { container_requests: vec![proto::ContainerAllocateRequest { devices_ids: ids }] }
}

#[tokio::test]
async fn what_is_too_long_or_unknown_is_refused_and_the_next_call_answered() {
    let root = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(root.path(), Kind::default());
    let model = Model::new(&["a"]);
    let plugin = Plugin::start(root.path(), &model, hurried());
    kubelet.wait(RESOURCE, SOON, |known| known.healthy.len() == 1).await.unwrap();
    let channel = connect(&plugin.socket).await;
    let mut api = DevicePluginClient::new(channel.clone());

    let long = api.allocate(allocation(vec!["a".repeat(1 << 20)])).await.unwrap_err();
    assert_eq!(long.code(), Code::OutOfRange, "{long}");
    let many = api.allocate(allocation(vec!["a".to_owned(); 200_000])).await.unwrap_err();
    assert_eq!(many.code(), Code::OutOfRange, "{many}");
    let foreign = RegistrationClient::new(channel).register(proto::RegisterRequest::default()).await.unwrap_err();
    assert_eq!(foreign.code(), Code::Unimplemented);
    let negative = proto::PreferredAllocationRequest {
        container_requests: vec![proto::ContainerPreferredAllocationRequest {
            allocation_size: -1,
            ..proto::ContainerPreferredAllocationRequest::default()
        }],
    };
    let advice = api.get_preferred_allocation(negative).await.unwrap().into_inner();
    assert!(advice.container_responses[0].device_i_ds.is_empty());
    // The message that shows an id is no longer than others.
    let shown = api.allocate(allocation(vec!["\u{1b}".repeat(10_000)])).await.unwrap_err();
    assert!(shown.code() == Code::InvalidArgument && shown.message().len() < 20_000, "{}", shown.message().len());
    assert!(!shown.message().contains('\u{1b}'));

    api.allocate(allocation(vec!["a".to_owned()])).await.unwrap();
    assert_eq!(kubelet.known(RESOURCE).registrations, 1);
}

#[tokio::test]
async fn garbage_and_crowds_are_hung_up_on() {
    let root = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(root.path(), Kind::default());
    let model = Model::new(&["a"]);
    let plugin = Plugin::start(root.path(), &model, hurried());
    kubelet.wait(RESOURCE, SOON, |known| known.healthy.len() == 1).await.unwrap();

    let socket = plugin.socket.clone();
    let ended = tokio::task::spawn_blocking(move || {
        let mut garbage = Blocking::connect(&socket).unwrap();
        garbage.write_all(&[0xff; 4096]).unwrap();
        let mut rest = Vec::new();
        // An end, or a reset.
        let _ = garbage.read_to_end(&mut rest);

        let crowd: Vec<Blocking> = (0..40).map(|_| Blocking::connect(&socket).unwrap()).collect();
        let ended = crowd.iter().rev().take(20).filter(|stream| {
            let mut stream = *stream;
            matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_))
        });
        ended.count()
    });
    assert_eq!(ended.await.unwrap(), 20);
    // Who was there before stays.
    kubelet.add_pod("1", "vms", "one");
    kubelet.admit("1", "compute", RESOURCE, 1).await.unwrap();
    kubelet.start_container("1", "compute").await.unwrap();
    assert_eq!(kubelet.known(RESOURCE).registrations, 1);
}

#[tokio::test]
async fn a_resource_that_kubelet_refuses_is_tried_again() {
    let root = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(root.path(), Kind::default());
    let model = Model::new(&["a"]);
    let folder = root.path().join("device-plugins");
    let serving = virt_tailor::kubelet::serve_resource_at(&folder, "no-domain", model, hurried(), async {
        tokio::time::sleep(std::time::Duration::from_millis(800)).await;
    });
    serving.await;
    assert_eq!(kubelet.known("no-domain").registrations, 0);
}
