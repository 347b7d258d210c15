//! PreCloudInitIso: offered only when asked for, and then the guest section is in the user data.

use serde_json::{Value, json};
use tonic::Code;
use virt_tailor::kubevirt::cloudinit::original_user_data;
use virt_tailor::kubevirt::proto::{v1alpha2, v1alpha3};

use crate::rig::{Sidecar, info, vmi};

const GUEST: (&str, &str) = ("virt-tailor.io/domain", "guest: {denyModules: [iavf]}");

fn data(user_data: &str) -> Vec<u8> {
    json!({"DataSource": "noCloud", "NoCloudMetaData": {"instance-id": "a.b"}, "UserData": user_data, "VolumeName": "c"})
        .to_string()
        .into_bytes()
}

fn source(user_data: &str) -> Vec<u8> {
    json!({"userData": user_data}).to_string().into_bytes()
}

fn user_data(json: &[u8], field: &str) -> String {
    let value: Value = serde_json::from_slice(json).unwrap();
    value[field].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn it_is_offered_when_asked_for_and_merges() {
    let sidecar = Sidecar::start(&["--cloud-init"]);
    let points: Vec<String> =
        info(sidecar.client().await).await.hook_points.into_iter().map(|point| point.name).collect();
    assert_eq!(points, ["OnDefineDomain", "Shutdown", "PreCloudInitIso"]);

    let owner = "#cloud-config\npassword: hunter2\n";
    let vmi = vmi("plain", &[GUEST]);
    let params = v1alpha2::PreCloudInitIsoParams {
        cloud_init_no_cloud_source: source(owner).into(),
        vmi: vmi.clone().into(),
        cloud_init_data: data(owner).into(),
    };
    let mut client = v1alpha2::callbacks_client::CallbacksClient::new(sidecar.client().await);
    let two = client.pre_cloud_init_iso(params).await.unwrap().into_inner();
    let params = v1alpha3::PreCloudInitIsoParams {
        cloud_init_no_cloud_source: source(owner).into(),
        vmi: vmi.into(),
        cloud_init_data: data(owner).into(),
    };
    let mut client = v1alpha3::callbacks_client::CallbacksClient::new(sidecar.client().await);
    let three = client.pre_cloud_init_iso(params).await.unwrap().into_inner();
    assert_eq!(two.cloud_init_data, three.cloud_init_data);
    assert_eq!(two.cloud_init_no_cloud_source, three.cloud_init_no_cloud_source);
    for merged in
        [user_data(&three.cloud_init_data, "UserData"), user_data(&three.cloud_init_no_cloud_source, "userData")]
    {
        assert!(merged.contains("iavf"), "{merged}");
        assert_eq!(original_user_data(merged.as_bytes()).unwrap(), owner.as_bytes());
    }
    let log = sidecar.log();
    assert!(log.contains("PreCloudInitIso") && !log.contains("hunter2"), "{log}");
    for line in ["\"changes\":2", "\"what\":\"cloudInitData\"", "\"what\":\"cloudInitNoCloudSource\""] {
        assert_eq!(log.matches(line).count(), 2, "{line}: {log}");
    }
}

#[tokio::test]
async fn a_guest_section_without_a_place_is_said() {
    let sidecar = Sidecar::start(&["--cloud-init"]);
    let call = async |no_cloud: &str, data: Vec<u8>, vmi: String| {
        let mut client = v1alpha3::callbacks_client::CallbacksClient::new(sidecar.client().await);
        let params = v1alpha3::PreCloudInitIsoParams {
            cloud_init_no_cloud_source: no_cloud.to_owned().into(),
            vmi: vmi.into(),
            cloud_init_data: data.into(),
        };
        client.pre_cloud_init_iso(params).await.unwrap().into_inner()
    };
    const NOTE: &str = "the call brings no cloud-init data to merge them into; they are not applied";
    // Nobody asks for anything; or there is a place.
    call("", Vec::new(), vmi("plain", &[])).await;
    let one = call("null", data("#!/bin/sh\n"), vmi("plain", &[GUEST])).await;
    assert_eq!(one.cloud_init_no_cloud_source, b"null");
    assert!(!sidecar.log().contains(NOTE), "{}", sidecar.log());
    assert_eq!(sidecar.log().matches("\"changes\":1").count(), 1, "{}", sidecar.log());
    for (time, (no_cloud, data)) in [("", ""), ("null", "null"), (" \n", "null ")].into_iter().enumerate() {
        let answer = call(no_cloud, data.into(), vmi("plain", &[GUEST])).await;
        let came = (no_cloud.as_bytes(), data.as_bytes());
        assert_eq!((&answer.cloud_init_no_cloud_source[..], &answer.cloud_init_data[..]), came);
        assert_eq!(sidecar.log().matches(NOTE).count(), time + 1, "{}", sidecar.log());
    }
}

#[tokio::test]
async fn data_that_is_too_long_is_refused_or_kept_if_it_can_be() {
    let asking = || vmi("plain", &[GUEST]);
    let call = async |sidecar: &Sidecar, data: Vec<u8>| {
        let client = v1alpha3::callbacks_client::CallbacksClient::new(sidecar.client().await);
        let params = v1alpha3::PreCloudInitIsoParams {
            cloud_init_no_cloud_source: Vec::new().into(),
            vmi: asking().into(),
            cloud_init_data: data.into(),
        };
        let mut client = client.max_decoding_message_size(32 << 20);
        client.pre_cloud_init_iso(params).await.map(|answer| answer.into_inner().cloud_init_data)
    };
    const LIMIT: usize = (4 << 20) - (1 << 10);
    // What we add makes it too long; it is too long already.
    let grows = data(&format!("#!/bin/sh\n#{}", "x".repeat(LIMIT - 500)));
    let long = data(&format!("#!/bin/sh\n#{}", "x".repeat(LIMIT)));
    assert!(grows.len() <= LIMIT && long.len() > LIMIT);
    let refusing = Sidecar::start(&["--cloud-init"]);
    let keeping = Sidecar::start(&["--cloud-init", "--on-error=keep"]);
    for data in [&grows, &long] {
        let status = call(&refusing, data.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        let line =
            "KubeVirt receives 4193280 at most: make the user data shorter, for instance with #include and a URL";
        assert!(
            status.message().starts_with("virt-tailor: the cloud-init data has ") && status.message().ends_with(line)
        );
    }
    assert_eq!(call(&keeping, grows.clone()).await.unwrap(), grows);
    // KubeVirt could not receive it.
    assert_eq!(call(&keeping, long).await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn what_cannot_be_merged_is_one_line_or_left_alone() {
    let call = async |sidecar: &Sidecar, user_data: &str| {
        let mut client = v1alpha3::callbacks_client::CallbacksClient::new(sidecar.client().await);
        let params = v1alpha3::PreCloudInitIsoParams {
            cloud_init_no_cloud_source: Vec::new().into(),
            vmi: vmi("plain", &[GUEST]).into(),
            cloud_init_data: data(user_data).into(),
        };
        client.pre_cloud_init_iso(params).await.map(|answer| answer.into_inner().cloud_init_data)
    };
    let list = "#cloud-config\nbootcmd: hunter2\n";
    let sidecar = Sidecar::start(&["--cloud-init"]);
    let status = call(&sidecar, list).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(
        status.message().starts_with("virt-tailor: cloud-init: bootcmd in the user data is not a list"),
        "{status}"
    );
    assert!(!sidecar.log().contains("hunter2"));
    let sidecar = Sidecar::start(&["--cloud-init", "--on-error=keep"]);
    assert_eq!(call(&sidecar, list).await.unwrap(), data(list));
    assert!(sidecar.log().contains("left as it came"));
}
