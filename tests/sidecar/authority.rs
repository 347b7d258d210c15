//! The `:authority` of a call. KubeVirt sends `localhost` since 1.1; before, it sent the path of the socket, which is no authority,
//! and h2 refuses it. That cannot be helped here, and it is why KubeVirt before 1.1 is not supported.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::rig::{LONG, Sidecar, within};

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;

/// Calls Info as a raw HTTP/2 client, and gives the first frame about its stream: type and payload.
fn info_with(sidecar: &Sidecar, authority: &str) -> (u8, Vec<u8>) {
    let mut stream = UnixStream::connect(sidecar.socket()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut block = Vec::new();
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/kubevirt.hooks.info.Info/Info"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    for (name, value) in headers {
        // A literal without indexing; each is shorter than a length of several bytes begins.
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).unwrap();
    stream.write_all(&frame(HEADERS, 4, 1, &block)).unwrap();
    // An empty message, and the end.
    stream.write_all(&frame(0, 1, 1, &[0; 5])).unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).unwrap();
        if head[8] == 1 && matches!(head[3], HEADERS | RST_STREAM) {
            return (head[3], payload);
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream];
    out.extend(payload);
    out
}

#[test]
fn localhost_is_answered() {
    let sidecar = Sidecar::start(&[]);
    assert_eq!(info_with(&sidecar, "localhost").0, HEADERS);
}

#[test]
fn the_path_of_a_socket_is_refused_and_the_log_can_say_so() {
    let sidecar = Sidecar::start(&["--verbose"]);
    let path = "/var/run/kubevirt-hooks/virt-tailor-x.sock";
    const PROTOCOL_ERROR: [u8; 4] = [0, 0, 0, 1];
    assert_eq!(info_with(&sidecar, path), (RST_STREAM, PROTOCOL_ERROR.to_vec()));
    let said = within(Duration::from_secs(5), || sidecar.log().contains("malformed authority").then_some(()));
    assert!(said.is_some(), "{}", sidecar.log());
}
