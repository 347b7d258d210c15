//! Calls that never come to the hook, and those who make them: our line and a line in the log for each.

use std::time::{Duration, Instant};

use tonic::Code;

use crate::raw::{DEFINE, Sent, call, dial, status};
use crate::rig::{Sidecar, sample, vmi};

/// A protobuf message whose first field claims to be longer than the message.
const UNDECODABLE: &[u8] = &[0x0a, 0x7f, b'h', b'u', b'n', b't', b'e', b'r', b'2'];

#[tokio::test]
async fn what_cannot_be_read_is_one_line_of_ours_and_a_line_in_the_log() {
    let sidecar = Sidecar::start(&[]);
    let unknown = "is not served here: there are kubevirt.hooks.info.Info, kubevirt.hooks.v1alpha1 to v1alpha3 and, with --plugin, kubevirt.hooks.plugins.v1alpha1";
    let broken = "; whoever called is not KubeVirt, or of a version we do not know";
    let cases: [(&str, &str, Sent, Code, String); 7] = [
        (
            "too long",
            DEFINE,
            Sent::part(17 << 20, 0, false),
            Code::ResourceExhausted,
            "the call has 17825792 bytes, and 16777216 at most are read: make the VM's spec or its cloud-init data shorter".to_owned(),
        ),
        (
            "undecodable",
            DEFINE,
            Sent::message(UNDECODABLE),
            Code::InvalidArgument,
            format!("the call cannot be read: failed to decode Protobuf message: OnDefineDomainParams.domain_xml: buffer underflow{broken}"),
        ),
        (
            "half",
            DEFINE,
            Sent::part(1000, 10, true),
            Code::InvalidArgument,
            format!("the call cannot be read: it ends in the middle of a message{broken}"),
        ),
        (
            "two",
            DEFINE,
            Sent::part(10, 1000, true),
            Code::InvalidArgument,
            format!("the call cannot be read: more than one message{broken}"),
        ),
        (
            "half a head",
            DEFINE,
            Sent::bytes(&[0, 0], true),
            Code::InvalidArgument,
            format!("the call cannot be read: it ends in the middle of a message{broken}"),
        ),
        ("a method", "/kubevirt.hooks.v1alpha3.Callbacks/Nonsense", Sent::message(&[]), Code::Unimplemented,
            format!("/kubevirt.hooks.v1alpha3.Callbacks/Nonsense {unknown}")),
        ("a service", "/grpc.health.v1.Health/Check", Sent::message(&[]), Code::Unimplemented,
            format!("/grpc.health.v1.Health/Check {unknown}")),
    ];
    for (what, path, body, code, line) in cases {
        let answer = call(&mut dial(&sidecar.socket()).await, path, body).await.unwrap();
        assert_eq!(status(&answer), (code, format!("virt-tailor: {line}")), "{what}");
        let log = sidecar.log();
        let told = log.lines().filter_map(|told| serde_json::from_str::<serde_json::Value>(told).ok());
        let told = told.filter(|told| told["message"] == "refused unread" && told["reason"] == line.as_str()).count();
        assert!(told >= 1, "{what}: {log}");
    }
    assert!(!sidecar.log().contains("hunter2"));
}

#[tokio::test]
async fn a_message_that_comes_in_drops_is_a_message() {
    // Five bytes of head, one by one at first: nothing may depend on how it is cut.
    let sidecar = Sidecar::start(&[]);
    let answer = call(&mut dial(&sidecar.socket()).await, DEFINE, Sent::bytes(&[0, 0, 0, 0, 0], true)).await.unwrap();
    assert_eq!(status(&answer).1, "virt-tailor: the call brings no domain XML");
}

#[tokio::test]
async fn a_message_that_stops_coming_is_given_up_in_time() {
    let sidecar = Sidecar::start(&[]);
    let begin = Instant::now();
    for body in [Sent::part(1000, 10, false), Sent::bytes(&[0, 0], false), Sent::part(1 << 20, 1 << 19, false)] {
        let socket = sidecar.socket();
        let call = tokio::spawn(async move { call(&mut dial(&socket).await, DEFINE, body).await });
        let answer = tokio::time::timeout(Duration::from_secs(20), call).await.unwrap().unwrap().unwrap();
        let line = "virt-tailor: the call has not come whole within 5 s: start the VM again";
        assert_eq!(status(&answer), (Code::DeadlineExceeded, line.to_owned()));
    }
    assert!(begin.elapsed() >= Duration::from_secs(15), "{:?}", begin.elapsed());
    assert!(sidecar.define(sample("plain.pass1.xml"), vmi("plain", &[])).await.is_ok());
}
