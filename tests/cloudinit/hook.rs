//! KubeVirt's two documents, as Go writes them.

use virt_tailor::config::Guest;
use virt_tailor::kubevirt::cloudinit::{
    CloudInitError, Merged, merge_user_data, original_user_data, pre_cloud_init_iso,
};

use crate::golden::guest;

const NO_CLOUD: &str = r##"{"DataSource":"noCloud","NoCloudMetaData":{"instance-type":"u1.small","instance-id":"5a9fc181-957e-5c32-9e5a-2de5e9673531","local-hostname":"worker"},"ConfigDriveMetaData":null,"UserData":"#cloud-config\npassword: hunter2\nruncmd:\n- echo \u003cb\u003e\n","NetworkData":"version: 2\n","DevicesData":null,"VolumeName":"cloudinitdisk"}"##;
const CONFIG_DRIVE: &str = r##"{"DataSource":"configDrive","NoCloudMetaData":null,"ConfigDriveMetaData":{"instance-id":"worker.default","instance_id":"worker.default","hostname":"worker","uuid":"5a9f","public_keys":{"0":"ssh-ed25519 AAAA"}},"UserData":"#!/bin/sh\ntrue\n","NetworkData":"","DevicesData":[{"type":"hostdev","bus":"pci","address":"0000:05:00.0","numaNode":1,"alignedCPUs":[0,1],"tags":["gpu"]}],"VolumeName":"config","ofTomorrow":1.0e2}"##;
const SOURCE: &str = r##"{"userData":"#cloud-config\npassword: hunter2\nruncmd:\n- echo \u003cb\u003e\n","networkData":"version: 2\n"}"##;

fn wanted() -> Guest {
    guest("guest: {kernelArgs: [iommu=pt], modules: {vfio-pci: ''}}")
}

/// The user data in a document, and the document without it.
fn taken(json: &[u8], field: &str) -> (String, serde_json::Value) {
    let mut value: serde_json::Value = serde_json::from_slice(json).unwrap();
    let taken = value.as_object_mut().unwrap().remove(field).unwrap();
    (taken.as_str().unwrap().to_owned(), value)
}

#[test]
fn both_data_sources_get_the_guest_section_and_lose_nothing() {
    for data in [NO_CLOUD, CONFIG_DRIVE] {
        let (source, merged) = pre_cloud_init_iso(SOURCE.as_bytes(), data.as_bytes(), &wanted()).unwrap();
        for (before, after, field) in [(data, &merged, "UserData"), (SOURCE, &source, "userData")] {
            let (original, rest) = taken(before.as_bytes(), field);
            let (user_data, rest_after) = taken(after, field);
            assert_eq!(rest, rest_after);
            assert_eq!(Merged::Changed(user_data.clone()), merge_user_data(original.as_bytes(), &wanted()).unwrap());
            assert_eq!(original_user_data(user_data.as_bytes()).unwrap(), original.as_bytes());
            // Every byte outside the field is KubeVirt's.
            let start = before.find(&format!("\"{field}\":")).unwrap();
            let end = before.find(",\"NetworkData").or(before.find(",\"networkData")).unwrap();
            let after = str::from_utf8(after).unwrap();
            assert!(after.starts_with(&before[..start]) && after.ends_with(&before[end..]), "{after}");
        }
        let again = pre_cloud_init_iso(&source, &merged, &wanted()).unwrap();
        assert_eq!(again, (source, merged));
    }
}

#[test]
fn what_is_not_there_stays_away() {
    let (source, data) = pre_cloud_init_iso(b"", b"null", &wanted()).unwrap();
    assert_eq!((source.as_slice(), data.as_slice()), (b"".as_slice(), b"null".as_slice()));
    let unasked = ["{\"UserData\":\"hello\"}", " {} ", "not json", "null", ""];
    for text in unasked {
        let (source, data) = pre_cloud_init_iso(text.as_bytes(), text.as_bytes(), &Guest::default()).unwrap();
        assert_eq!((source.as_slice(), data.as_slice()), (text.as_bytes(), text.as_bytes()));
    }
}

#[test]
fn network_data_alone_gets_user_data() {
    let data =
        r#"{"DataSource":"noCloud","NoCloudMetaData":{"instance-id":"x"},"UserData":"","NetworkData":"version: 2\n"}"#;
    let source = r#"{"networkData":"version: 2\n"}"#;
    let (source, data) = pre_cloud_init_iso(source.as_bytes(), data.as_bytes(), &wanted()).unwrap();
    let (merged, _) = taken(&data, "UserData");
    assert!(merged.contains("virt-tailor.cfg"));
    assert_eq!(taken(&source, "userData").0, merged);
}

#[test]
fn encoded_user_data_stays_encoded() {
    let source = r#"{"userDataBase64":"IyEvYmluL3NoCnRydWUK"}"#;
    let (source, _) = pre_cloud_init_iso(source.as_bytes(), b"", &wanted()).unwrap();
    let (merged, rest) = taken(&source, "userDataBase64");
    assert_eq!(rest, serde_json::json!({}));
    assert!(merged.starts_with("Q29udGVudC1UeXBlOiBtdWx0aXBhcnQv"), "Content-Type: multipart/");
}

#[test]
fn errors_tell_the_place_and_no_secret() {
    let cases = [
        ("{\"UserData\":\"hunter2", "cloudInitData: not valid JSON at line 1 column 20"),
        ("{\"UserData\":[\"hunter2\"]}", "cloudInitData: UserData is not a string"),
        ("{\"UserData\":\"hunter2\",\"UserData\":\"\"}", "cloudInitData: UserData stands there twice"),
        ("[\"hunter2\"]", "cloudInitData: not valid JSON"),
        ("{\"UserData\":\"hunter2\"}", "the user data begins with none of cloud-init's headers"),
    ];
    for (json, message) in cases {
        let error = pre_cloud_init_iso(b"", json.as_bytes(), &wanted()).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
        assert!(!error.contains("hunter2") && error.lines().count() == 1, "{error}");
    }
    // Compressed user data has lost bytes on its way here: that is worth a word even if nothing is asked.
    let json = "{\"UserData\":\"\\u001f\\ufffd\\b\\u0000\"}".as_bytes();
    assert_eq!(pre_cloud_init_iso(b"", json, &Guest::default()), Err(CloudInitError::Compressed));
    assert_eq!(
        pre_cloud_init_iso(b"{\"userDataBase64\":\"H4sIAAAA\"}", b"", &wanted()),
        Err(CloudInitError::Compressed)
    );
}
