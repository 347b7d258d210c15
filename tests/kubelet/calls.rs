//! What kubelet asks for a pod: advice, Allocate, PreStartContainer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use virt_tailor::kubelet::Times;

use crate::double::{Kind, Known, Kubelet};
use crate::model::{End, Model, Plugin, RESOURCE, SOON, hurried};

struct Rig {
    kubelet: Kubelet,
    model: Arc<Model>,
    _plugin: Plugin,
    _root: tempfile::TempDir,
}

impl Rig {
    async fn new(ids: &[&str], kind: Kind, times: Times) -> Self {
        let root = tempfile::tempdir().unwrap();
        let kubelet = Kubelet::start(root.path(), kind);
        let model = Model::new(ids);
        let plugin = Plugin::start(root.path(), &model, times);
        let rig = Self { kubelet, model, _plugin: plugin, _root: root };
        rig.is_up(ids.len()).await;
        rig
    }

    async fn is_up(&self, count: usize) {
        let is = |known: &Known| !known.stopped && known.healthy.len() == count;
        self.kubelet.wait(RESOURCE, SOON, is).await.unwrap();
    }

    async fn pod(&self, uid: &str) {
        self.kubelet.add_pod(uid, "vms", &format!("virt-launcher-{uid}"));
        self.kubelet.admit(uid, "compute", RESOURCE, 1).await.unwrap();
    }

    async fn start(&self, uid: &str) -> Result<(), String> {
        self.kubelet.start_container(uid, "compute").await
    }
}

#[tokio::test]
async fn a_container_gets_what_was_advised_and_is_not_asked_for_twice() {
    let mut rig = Rig::new(&["a", "b", "c", "d"], Kind::default(), hurried()).await;
    // Nonsense among it is left out.
    *rig.model.advice.lock().unwrap() = ["x", "c", "c", "b", "a"].map(str::to_owned).to_vec();
    rig.kubelet.add_pod("1", "vms", "one");
    let given = rig.kubelet.admit("1", "compute", RESOURCE, 2).await.unwrap();
    assert_eq!(given.ids, ["c", "b"]);
    assert_eq!(given.response.envs["PCI_RESOURCE_DEVICES_EXAMPLE_GPU"], "c,b");
    let nodes = given.response.devices.iter().map(|node| (node.host_path.as_str(), node.permissions.as_str()));
    assert!(nodes.eq([("/dev/vfio/vfio", "mrw"), ("/dev/vfio/c", "mrw"), ("/dev/vfio/b", "mrw")]));
    rig.start("1").await.unwrap();

    rig.kubelet.restart().await;
    rig.is_up(4).await;
    assert_eq!(rig.kubelet.admit("1", "compute", RESOURCE, 2).await.unwrap(), given);
    rig.start("1").await.unwrap();
    assert_eq!(rig.model.allocations.load(Ordering::SeqCst), 1);
    assert_eq!(rig.model.began(), 2);
}

#[tokio::test]
async fn an_unknown_id_is_the_only_error_of_allocate() {
    let rig = Rig::new(&["a"], Kind::default(), hurried()).await;
    rig.kubelet.add_pod("1", "vms", "one");
    let error = rig.kubelet.admit_ids("1", "compute", RESOURCE, &["gone\n".to_owned()]).await.unwrap_err();
    assert_eq!(
        error,
        "rpc error: code = InvalidArgument desc = virt-tailor: devices.example/gpu has no device gone\\n: it may have had one \
         before the node or its configuration changed; delete the pod"
    );
    rig.kubelet.admit("1", "compute", RESOURCE, 1).await.unwrap();
}

#[tokio::test]
async fn a_reason_is_one_line_of_ours() {
    let rig = Rig::new(&["a"], Kind::default(), hurried()).await;
    rig.pod("1").await;
    *rig.model.end.lock().unwrap() = End::NotReady("0000:3b:00.0 is held by\nqemu".to_owned());
    assert_eq!(
        rig.start("1").await.unwrap_err(),
        "device plugin PreStartContainer rpc failed with err: rpc error: code = Unavailable desc = virt-tailor: \
         0000:3b:00.0 is held by\\nqemu"
    );
    *rig.model.end.lock().unwrap() = End::Ready;
    rig.start("1").await.unwrap();
}

#[tokio::test]
async fn a_panic_costs_one_answer() {
    let rig = Rig::new(&["a"], Kind::default(), hurried()).await;
    rig.pod("1").await;
    *rig.model.end.lock().unwrap() = End::Panic;
    assert!(rig.start("1").await.unwrap_err().contains("virt-tailor: this is a mistake of virt-tailor"));
    *rig.model.end.lock().unwrap() = End::Ready;
    rig.start("1").await.unwrap();
}

#[tokio::test]
async fn a_preparation_outlives_the_deadline_of_who_asked() {
    let kind = Kind { prestart: Duration::from_millis(300), ..Kind::default() };
    let rig = Rig::new(&["a"], kind, hurried()).await;
    rig.pod("1").await;
    rig.model.open.send_replace(false);
    for _ in 0..2 {
        let error = rig.start("1").await.unwrap_err();
        assert!(error.contains("DeadlineExceeded") || error.contains("Cancelled"), "{error}");
    }
    // The second only joined the first.
    assert_eq!((rig.model.began(), *rig.model.ended.borrow()), (1, 0));
    rig.model.open.send_replace(true);
    rig.model.ended.subscribe().wait_for(|ended| *ended == 1).await.unwrap();
    // And it is asked again, which is for the devices to take lightly.
    while let Err(error) = rig.start("1").await {
        assert!(error.contains("DeadlineExceeded") || error.contains("Cancelled"), "{error}");
    }
    assert!(rig.model.began() >= 2);
}

#[tokio::test]
async fn who_waits_too_long_is_told_before_kubelet_gives_up() {
    let times = Times { patience: Duration::from_millis(500), ..hurried() };
    let rig = Rig::new(&["a"], Kind::default(), times).await;
    rig.pod("1").await;
    rig.model.open.send_replace(false);
    let error = rig.start("1").await.unwrap_err();
    assert!(
        error.ends_with(
            "code = Unavailable desc = virt-tailor: the device is still being made ready after 0.5 s; that goes on, and kubelet asks again"
        ),
        "{error}"
    );
    rig.model.open.send_replace(true);
    rig.start("1").await.unwrap();
}

#[tokio::test]
async fn a_preparation_outlives_kubelet() {
    let mut rig = Rig::new(&["a", "b"], Kind::default(), hurried()).await;
    rig.pod("1").await;
    rig.model.open.send_replace(false);
    let (error, ()) = tokio::join!(rig.start("1"), async {
        while rig.model.began() == 0 {
            tokio::task::yield_now().await;
        }
        rig.kubelet.stop().await;
    });
    assert!(error.unwrap_err().contains("Canceled"));
    rig.kubelet = rig.kubelet.next();
    rig.is_up(2).await;
    let (started, ()) = tokio::join!(rig.start("1"), async {
        tokio::task::yield_now().await;
        assert_eq!(rig.model.began(), 1);
        rig.model.open.send_replace(true);
    });
    started.unwrap();
    rig.model.ended.subscribe().wait_for(|ended| *ended >= 1).await.unwrap();
}

#[tokio::test]
async fn one_that_waits_is_in_nobodys_way() {
    let rig = Rig::new(&["a", "b"], Kind::default(), hurried()).await;
    rig.pod("1").await;
    rig.model.open.send_replace(false);
    let waiting = rig.start("1");
    tokio::pin!(waiting);
    tokio::select! {
        outcome = &mut waiting => panic!("{outcome:?}"),
        () = rig.pod("2") => {}
    }
    rig.model.open.send_replace(true);
    waiting.await.unwrap();
}

#[tokio::test]
async fn two_hundred_pods_share_eight_devices() {
    let ids = ["0", "1", "2", "3", "4", "5", "6", "7"];
    let rig = Arc::new(Rig::new(&ids, Kind::default(), hurried()).await);
    let pods: Vec<_> = (0..200)
        .map(|number| {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move {
                let uid = number.to_string();
                rig.kubelet.add_pod(&uid, "vms", &uid);
                // What the scheduler would do: the node is full for now.
                while rig.kubelet.admit(&uid, "compute", RESOURCE, 1).await.is_err_and(|error| {
                    assert!(error.contains("Available: 0"), "{error}");
                    true
                }) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                rig.start(&uid).await.unwrap();
                rig.start(&uid).await.unwrap();
                rig.kubelet.remove_pod(&uid);
            })
        })
        .collect();
    for pod in pods {
        pod.await.unwrap();
    }
    assert!(rig.kubelet.pods().is_empty());
    assert_eq!(rig.model.allocations.load(Ordering::SeqCst), 200);
    assert_eq!((rig.model.began(), *rig.model.ended.borrow()), (400, 400));
    let known = rig.kubelet.known(RESOURCE);
    assert_eq!((known.registrations, known.healthy.len()), (1, 8));
}
