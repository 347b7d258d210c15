//! What is no call, or no VMI.

use prost::Message as _;
use prost::bytes::BufMut as _;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use virt_tailor::kubevirt::node::{MAX_VMI, Point};
use virt_tailor::kubevirt::proto::plugins::ExecuteNodeHookRequest;

use crate::rig::{Rig, connect, ours, vmi};

/// Bytes as they are.
#[derive(Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, _: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        Ok(Some(()))
    }
}

/// Sends bytes as a call.
pub(crate) async fn raw(channel: Channel, message: Vec<u8>) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let path = PathAndQuery::from_static("/kubevirt.hooks.plugins.v1alpha1.NodeHookService/ExecuteNodeHook");
    client.unary(Request::new(message), path, Raw).await.map(|_| ())
}

/// Makes a call whose message never comes.
pub(crate) async fn bodiless(channel: Channel) {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/kubevirt.hooks.plugins.v1alpha1.NodeHookService/ExecuteNodeHook");
    let _ = client.client_streaming(Request::new(tokio_stream::pending::<Vec<u8>>()), path, Raw).await;
}

/// A call as bytes.
pub(crate) fn message(point: &str, vmi: &[u8]) -> Vec<u8> {
    ExecuteNodeHookRequest { hook_point: point.to_owned(), vmi: vmi.to_vec().into(), node_context: None }
        .encode_to_vec()
}

#[tokio::test]
async fn a_stop_is_never_refused() {
    let rig = Rig::new().await;
    let deep = format!("{{\"metadata\": {}", "[".repeat(1 << 20));
    let many = format!(
        "{{\"metadata\": {{}}, \"spec\": {{\"domain\": {{\"devices\": {{\"gpus\": [{}{{}}]}}}}}}}}",
        "{},".repeat(1 << 20)
    );
    let long = vec![b' '; MAX_VMI + 1];
    for garbage in
        [&b""[..], b"\xff\xfe", b"null", b"{\"metadata\": {\"name\": 7}}", deep.as_bytes(), many.as_bytes(), &long]
    {
        for point in Point::ALL {
            let answer = rig.call(point.name(), garbage).await;
            let told = rig.model.told();
            match point {
                Point::PreVmStop | Point::PostVmStop => {
                    answer.unwrap();
                    assert_eq!(told, [format!("{point} somebody")]);
                }
                Point::PreVmStart => {
                    let status = answer.unwrap_err();
                    assert_eq!(status.code(), Code::InvalidArgument);
                    assert!(status.message().starts_with("virt-tailor: the VMI "), "{status}");
                    assert_eq!(told.len(), 0);
                }
                _ => answer.unwrap(),
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_message() {
    let rig = Rig::new().await;
    let cases = [
        ("PreVMStop", Ok(())),
        ("PostVMStop", Ok(())),
        ("PreVMStart", Err(Code::InvalidArgument)),
        ("Other", Err(Code::InvalidArgument)),
    ];
    for (point, expected) in cases {
        let mut torn = message(point, b"");
        // A field of more bytes than there are.
        torn.extend([0x12, 0xff, 0xff, 0x03]);
        let answer = raw(connect(&rig.socket).await.unwrap(), torn).await;
        assert_eq!(answer.map_err(|status| status.code()), expected, "{point}");
    }
    assert_eq!(rig.model.told(), ["PreVMStop somebody", "PostVMStop somebody"]);
    for junk in [vec![0xff; 9], vec![0x0a, 0xff], vec![0x0a]] {
        let status = raw(connect(&rig.socket).await.unwrap(), junk).await.unwrap_err();
        assert_eq!(status.message(), "virt-tailor: the call is no ExecuteNodeHookRequest");
    }
    rig.call("PreVMStart", ours()).await.unwrap();
}

#[tokio::test]
async fn what_is_too_large() {
    let rig = Rig::new().await;
    let mut large = vmi("example.com/gpu", "");
    large["spec"]["volumes"] = "x".repeat(MAX_VMI - 2048).into();
    rig.call("PreVMStart", large.to_string()).await.unwrap();
    assert_eq!(rig.model.told().len(), 1);
    for size in [MAX_VMI + (1 << 20), 30 << 20] {
        let huge = vec![b'x'; size];
        let status = rig.call("PreVMStart", huge.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::OutOfRange, "{status}");
        rig.call("PreVMStop", huge).await.unwrap();
        assert_eq!(rig.model.told(), ["PreVMStop somebody"]);
    }
}
