//! Who may open the link: root, and nobody else.
//!
//! The kernel says who is at the other end (SO_PEERCRED, `man 7 unix`), in the terms of our own user namespace. The agent is root of the
//! node. Where the pod has a user namespace of its own (`hostUsers: false`) that is nobody it knows, and shows as the overflow uid; in
//! the namespace of the node the overflow uid is an ordinary user's, "nobody", and means nothing.

use std::fs;

use tokio::net::UnixStream;
use tonic::codegen::http::Request;
use tonic::{Code, Status};

use super::line::Line;
use super::status::of_line;
use crate::link::desk::SERVICE;

/// A user namespace that is the node's own maps every user to itself (`man 7 user_namespaces`).
const EVERYBODY: [&str; 3] = ["0", "0", "4294967295"];

/// The overflow uid where the kernel does not say (Documentation/admin-guide/sysctl/fs.rst).
const OVERFLOW: u32 = 65534;

/// Whether a connection may be an agent's.
pub(super) fn may_link(stream: &UnixStream) -> bool {
    let Ok(peer) = stream.peer_cred() else { return false };
    let read = |path: &str| fs::read_to_string(path).ok();
    is_root(peer.uid(), || read("/proc/self/uid_map"), || read("/proc/sys/kernel/overflowuid"))
}

fn is_root(uid: u32, uid_map: impl Fn() -> Option<String>, overflow: impl Fn() -> Option<String>) -> bool {
    if uid == 0 {
        return true;
    }
    let overflow = overflow().and_then(|text| text.trim().parse().ok()).unwrap_or(OVERFLOW);
    let is_nodes_own = || uid_map().is_none_or(|map| map.split_whitespace().eq(EVERYBODY));
    uid == overflow && !is_nodes_own()
}

/// Whether a call is the link's; an error if it is and may not be.
pub(super) fn is_link<T>(request: &Request<T>, line: &Line) -> Result<bool, Status> {
    if !request.uri().path().starts_with(SERVICE) {
        return Ok(false);
    }
    if line.may_link() {
        line.becomes_link();
        return Ok(true);
    }
    Err(of_line(Code::PermissionDenied, &"the link is for the node's agent, which runs as root"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_of_the_node_is_root_or_nobody_in_a_namespace() {
        let node = "         0          0 4294967295\n";
        let pod = "         0    1000000      65536\n";
        let table = [
            (0, node, true),
            (107, node, false),
            (65534, node, false),
            (0, pod, true),
            (107, pod, false),
            (65534, pod, true),
        ];
        for (uid, map, expected) in table {
            let is_root = is_root(uid, || Some(map.to_owned()), || Some("65534\n".to_owned()));
            assert_eq!(is_root, expected, "{uid} {map}");
        }
        // Who cannot be sure lets nobody in.
        assert!(!is_root(65534, || None, || None));
        assert!(is_root(65534, || Some(pod.to_owned()), || None));
    }
}
