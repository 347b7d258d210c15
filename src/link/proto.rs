//! The link's contract, generated from `proto/virt_tailor/link.proto`.

#![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated code")]
#![allow(clippy::all, reason = "generated code")]

include!(concat!(env!("OUT_DIR"), "/virt_tailor.link.v1.rs"));
