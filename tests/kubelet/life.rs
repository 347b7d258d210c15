//! Registration, lists, and everything that may be restarted or removed.

use std::fs;
use std::time::Duration;

use tokio::net::UnixListener;
use virt_tailor::kubelet::{Offer, Times};

use crate::double::{Age, Kind, Known, Kubelet};
use crate::model::{Model, Plugin, RESOURCE, SOON, hurried, offer};

fn is_up(known: &Known) -> bool {
    !known.stopped && known.healthy.len() == 2
}

#[tokio::test]
async fn a_resource_is_registered_listed_and_followed() {
    let root = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(root.path(), Kind::default());
    let model = Model::new(&["a", "b"]);
    let plugin = Plugin::start(root.path(), &model, hurried());
    kubelet.wait(RESOURCE, SOON, is_up).await.unwrap();

    let far = Offer { numa: Some(1), ..offer("b") };
    let ill = Offer { healthy: false, ..offer("c") };
    model.offers.send_replace(vec![far, ill]);
    let known = kubelet.wait(RESOURCE, SOON, |known| known.unhealthy.contains("c")).await.unwrap();
    assert!(known.healthy.iter().eq(["b"]) && known.unhealthy.iter().eq(["c"]), "{known:?}");
    assert_eq!(known.numa.clone().into_iter().collect::<Vec<_>>(), [("b".into(), vec![1]), ("c".into(), vec![])]);

    model.offers.send_replace(Vec::new());
    let known = kubelet.wait(RESOURCE, SOON, |known| known.numa.is_empty()).await.unwrap();
    assert_eq!((known.registrations, known.stopped), (1, false));

    plugin.stop().await;
    kubelet.wait(RESOURCE, SOON, |known| known.stopped).await.unwrap();
    assert_eq!(sockets(root.path()), ["kubelet.sock"]);
}

#[tokio::test]
async fn a_list_of_256_is_one_message() {
    let root = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(root.path(), Kind::default());
    let model = Model::new(&[]);
    let _plugin = Plugin::start(root.path(), &model, hurried());
    kubelet.wait(RESOURCE, SOON, |known| known.lists == 1).await.unwrap();
    model.offers.send_replace((0..256).map(|n| offer(&format!("{n:063}"))).collect());
    let known = kubelet.wait(RESOURCE, SOON, |known| !known.healthy.is_empty()).await.unwrap();
    assert_eq!((known.healthy.len(), known.lists), (256, 2));
}

#[tokio::test]
async fn a_plugin_may_be_there_before_kubelet_and_its_folder() {
    let root = tempfile::tempdir().unwrap();
    let model = Model::new(&["a", "b"]);
    let _plugin = Plugin::start(root.path(), &model, hurried());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let kubelet = Kubelet::start(root.path(), Kind::default());
    kubelet.wait(RESOURCE, SOON, is_up).await.unwrap();
}

#[tokio::test]
async fn every_new_kubelet_learns_of_it_at_once() {
    let root = tempfile::tempdir().unwrap();
    let mut kubelet = Kubelet::start(root.path(), Kind::default());
    let model = Model::new(&["a", "b"]);
    // Nothing but what the system tells of the folder can be so quick.
    let times = Times { quiet: Duration::from_secs(600), ..hurried() };
    let _plugin = Plugin::start(root.path(), &model, times);
    for _ in 0..5 {
        kubelet.wait(RESOURCE, SOON, is_up).await.unwrap();
        kubelet.restart().await;
    }
    let known = kubelet.wait(RESOURCE, SOON, is_up).await.unwrap();
    assert_eq!(known.registrations, 1);
}

#[tokio::test]
async fn a_kubelet_that_is_away_for_long_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(root.path(), Kind::default());
    let model = Model::new(&["a", "b"]);
    let _plugin = Plugin::start(root.path(), &model, hurried());
    kubelet.wait(RESOURCE, SOON, is_up).await.unwrap();
    kubelet.stop().await;
    // Its socket's file is still there, and nobody listens.
    tokio::time::sleep(Duration::from_secs(1)).await;
    fs::remove_file(root.path().join("device-plugins/kubelet.sock")).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    kubelet.next().wait(RESOURCE, SOON, is_up).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_made_anew_is_found() {
    let root = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(root.path(), Kind::default());
    let model = Model::new(&["a", "b"]);
    let _plugin = Plugin::start(root.path(), &model, hurried());
    kubelet.wait(RESOURCE, SOON, is_up).await.unwrap();
    kubelet.stop().await;
    fs::remove_dir_all(root.path().join("device-plugins")).unwrap();
    kubelet.next().wait(RESOURCE, SOON, is_up).await.unwrap();
}

#[tokio::test]
async fn a_socket_that_was_deleted_is_made_again_for_the_same_kubelet() {
    let root = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(root.path(), Kind::default());
    let model = Model::new(&["a", "b"]);
    let plugin = Plugin::start(root.path(), &model, hurried());
    kubelet.wait(RESOURCE, SOON, is_up).await.unwrap();
    fs::remove_file(&plugin.socket).unwrap();
    kubelet.wait(RESOURCE, SOON, |known| is_up(known) && known.registrations == 2).await.unwrap();
    assert_eq!(sockets(root.path()).len(), 2);
    plugin.stop().await;
    assert_eq!(sockets(root.path()), ["kubelet.sock"]);
}

#[tokio::test]
async fn a_list_that_nobody_reads_any_more_means_a_new_registration() {
    let root = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(root.path(), Kind::default());
    let model = Model::new(&["a", "b"]);
    let _plugin = Plugin::start(root.path(), &model, hurried());
    for times in 1..4 {
        kubelet.wait(RESOURCE, SOON, |known| is_up(known) && known.registrations == times).await.unwrap();
        kubelet.hang_up(RESOURCE);
    }
    kubelet.wait(RESOURCE, SOON, |known| is_up(known) && known.registrations == 4).await.unwrap();
}

/// kubelet notices the end of a killed plugin only after the next one has registered, and hangs up on that.
#[tokio::test]
async fn a_kubelet_that_drops_the_new_stream_for_the_old_one_is_told_again() {
    let root = tempfile::tempdir().unwrap();
    let kind = Kind { age: Age::ByName, notice: Duration::from_secs(2), ..Kind::default() };
    let kubelet = Kubelet::start(root.path(), kind);
    let model = Model::new(&["a", "b"]);
    let first = Plugin::start(root.path(), &model, hurried());
    kubelet.wait(RESOURCE, SOON, is_up).await.unwrap();
    first.kill().await;
    let _second = Plugin::start(root.path(), &model, hurried());
    kubelet.wait(RESOURCE, SOON, |known| known.registrations == 2).await.unwrap();
    kubelet.wait(RESOURCE, SOON, |known| known.stopped).await.unwrap();
    kubelet.wait(RESOURCE, SOON, |known| is_up(known) && known.registrations > 2).await.unwrap();
}

/// This kubelet would stop the new endpoint and leave its stream open, and nobody could see that from outside.
#[tokio::test]
async fn a_kubelet_gets_time_to_notice_the_end_of_a_killed_plugin() {
    let root = tempfile::tempdir().unwrap();
    let kind = Kind { age: Age::ByPath, notice: Duration::from_millis(200), ..Kind::default() };
    let kubelet = Kubelet::start(root.path(), kind);
    let model = Model::new(&["a", "b"]);
    let times = Times { settle: Duration::from_secs(2), ..hurried() };
    let first = Plugin::start(root.path(), &model, times.clone());
    kubelet.wait(RESOURCE, SOON, is_up).await.unwrap();
    first.kill().await;
    let second = Plugin::start(root.path(), &model, times.clone());
    kubelet.wait(RESOURCE, SOON, |known| is_up(known) && known.registrations == 2).await.unwrap();
    // The same for one that ends in order.
    second.stop().await;
    let _third = Plugin::start(root.path(), &model, times);
    kubelet.wait(RESOURCE, SOON, |known| is_up(known) && known.registrations == 3).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(is_up(&kubelet.known(RESOURCE)));
}

#[tokio::test]
async fn a_kubelet_that_never_answers_is_asked_again_and_its_successor_at_once() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("device-plugins");
    fs::create_dir(&folder).unwrap();
    let deaf = UnixListener::bind(folder.join("kubelet.sock")).unwrap();
    let model = Model::new(&["a", "b"]);
    let times = Times { register: Duration::from_millis(200), ..hurried() };
    let plugin = Plugin::start(root.path(), &model, times);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(deaf.accept().await.unwrap());
    }
    plugin.stop().await;

    // Now with all patience: only the new socket tells that the first attempt is in vain.
    let _plugin = Plugin::start(root.path(), &model, Times { register: Duration::from_secs(600), ..hurried() });
    held.push(deaf.accept().await.unwrap());
    let kubelet = Kubelet::start(root.path(), Kind::default());
    kubelet.wait(RESOURCE, SOON, is_up).await.unwrap();
}

fn sockets(root: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("device-plugins")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".sock"));
    names.sort();
    names
}
