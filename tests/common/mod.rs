//! What several test programs share.

pub(crate) mod host_tree;
