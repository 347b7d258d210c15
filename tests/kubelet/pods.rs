//! What kubelet knows of pods.

use std::fs;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, async_trait};
use virt_tailor::kubelet::proto::podresources as resources;
use virt_tailor::kubelet::proto::podresources::pod_resources_lister_server::{
    PodResourcesLister, PodResourcesListerServer,
};
use virt_tailor::kubelet::{PodDevices, PodName, PodResources, Pods};

use crate::double::{Kind, Known, Kubelet};
use crate::model::{Model, Plugin, RESOURCE, SOON, hurried};

#[tokio::test]
async fn pods_are_listed_with_their_devices_and_found_by_uid() {
    let root = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(root.path(), Kind::default());
    let model = Model::new(&["a", "b"]);
    let _plugin = Plugin::start(root.path(), &model, hurried());
    kubelet.wait(RESOURCE, SOON, |known: &Known| known.healthy.len() == 2).await.unwrap();
    kubelet.add_pod("1-2-3", "vms", "one");
    kubelet.add_pod("4-5-6", "default", "without");
    kubelet.admit("1-2-3", "compute", RESOURCE, 2).await.unwrap();

    let pods = PodResources::of(root.path()).list().await.unwrap();
    let name = |namespace: &str, name: &str| (namespace.to_owned(), name.to_owned());
    let (vms, without) = (name("vms", "one"), name("default", "without"));
    let devices = vec![(RESOURCE.to_owned(), vec!["a".to_owned(), "b".to_owned()])];
    assert_eq!(
        pods,
        [
            PodDevices { namespace: vms.0, name: vms.1, devices },
            PodDevices { namespace: without.0, name: without.1, devices: Vec::new() },
        ]
    );

    let names = Pods::find(root.path()).unwrap();
    let one = PodName { namespace: "vms".to_owned(), name: "one".to_owned() };
    assert_eq!(names.name_of("1-2-3").await.unwrap(), Some(one));
    assert_eq!(names.name_of("7-8-9").await.unwrap(), None);
    kubelet.remove_pod("1-2-3");
    assert_eq!(PodResources::of(root.path()).list().await.unwrap().len(), 1);
    assert_eq!(names.name_of("1-2-3").await.unwrap(), None);
}

/// A kubelet whose answer is as long as is wanted.
struct Long(usize);

#[async_trait]
impl PodResourcesLister for Long {
    async fn list(
        &self,
        _: Request<resources::ListPodResourcesRequest>,
    ) -> Result<Response<resources::ListPodResourcesResponse>, Status> {
        let pod = resources::PodResources { name: "x".repeat(1 << 10), ..resources::PodResources::default() };
        Ok(Response::new(resources::ListPodResourcesResponse { pod_resources: vec![pod; self.0] }))
    }
}

#[tokio::test]
async fn an_answer_has_an_end() {
    for (kib, fits) in [(15 << 10, true), (17 << 10, false)] {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("pod-resources")).unwrap();
        let listener = UnixListener::bind(root.path().join("pod-resources/kubelet.sock")).unwrap();
        let service = PodResourcesListerServer::new(Long(kib)).max_encoding_message_size(usize::MAX);
        let serving = Server::builder().add_service(service).serve_with_incoming(UnixListenerStream::new(listener));
        let task = tokio::spawn(serving);
        let listed = PodResources::of(root.path()).within(SOON).list().await;
        match listed {
            Ok(pods) => assert!(fits && pods.len() == kib),
            Err(error) => {
                assert!(!fits, "{error}");
                let error = error.to_string();
                assert!(error.starts_with("kubelet refuses List at ") && error.contains("too large"), "{error}");
            }
        }
        task.abort();
    }
}

#[tokio::test]
async fn a_kubelet_that_is_not_there_or_says_nothing_is_told_apart() {
    let root = tempfile::tempdir().unwrap();
    assert!(Pods::find(root.path()).is_none());
    let client = PodResources::of(root.path()).within(Duration::from_millis(300));
    let error = client.list().await.unwrap_err().to_string();
    assert!(error.starts_with("kubelet cannot be reached at ") && error.contains("No such file"), "{error}");

    fs::create_dir(root.path().join("pod-resources")).unwrap();
    let deaf = UnixListener::bind(root.path().join("pod-resources/kubelet.sock")).unwrap();
    let error = client.list().await.unwrap_err().to_string();
    assert!(error.contains("kubelet has not answered List at ") && error.ends_with("within 0.3 s"), "{error}");

    let talking = tokio::spawn(async move {
        loop {
            let (stream, _) = deaf.accept().await.unwrap();
            stream.writable().await.unwrap();
            let _ = stream.try_write(b"SSH-2.0-OpenSSH_9.9\r\n and much else that is no frame");
        }
    });
    let error = client.within(SOON).list().await.unwrap_err().to_string();
    let expected = ["what listens at ", "the connection to kubelet at "];
    assert!(error.lines().count() == 1 && expected.iter().any(|begin| error.starts_with(begin)), "{error}");
    talking.abort();
}
