//! kubelet's contracts, generated from `proto/` (the origin of each is noted there).

#![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated code")]
#![allow(clippy::all, reason = "generated code")]

/// `v1beta1`: device plugins and their registration.
pub mod deviceplugin {
    include!(concat!(env!("OUT_DIR"), "/v1beta1.rs"));
}

/// `v1`: which pod has which device.
pub mod podresources {
    include!(concat!(env!("OUT_DIR"), "/v1.rs"));
}

/// `v1alpha1`: the pods of this node.
pub mod pods {
    include!(concat!(env!("OUT_DIR"), "/v1alpha1.rs"));
}

/// `k8s.io.api.core.v1`: who a pod is.
pub mod core {
    include!(concat!(env!("OUT_DIR"), "/k8s.io.api.core.v1.rs"));
}
