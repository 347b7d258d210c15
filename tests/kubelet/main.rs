//! A resource at kubelet, over real sockets: `tests/kubelet-double` stands for kubelet.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]
#![allow(unreachable_pub, missing_docs, dead_code, reason = "the double is a program's too")]

#[path = "../kubelet-double/double/mod.rs"]
mod double;

mod calls;
mod hostile;
mod life;
mod model;
#[path = "../common/plain_node.rs"]
mod plain_node;
mod pods;
mod process;
