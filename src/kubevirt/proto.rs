//! KubeVirt's contracts, generated from `proto/` (the origin of each is noted there).

#![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated code")]
#![allow(clippy::all, reason = "generated code")]

/// `kubevirt.hooks.info`: what a sidecar wants to be called for.
pub mod info {
    include!(concat!(env!("OUT_DIR"), "/kubevirt.hooks.info.rs"));
}

/// `kubevirt.hooks.v1alpha1`: OnDefineDomain.
pub mod v1alpha1 {
    include!(concat!(env!("OUT_DIR"), "/kubevirt.hooks.v1alpha1.rs"));
}

/// `kubevirt.hooks.v1alpha2`: and PreCloudInitIso.
pub mod v1alpha2 {
    include!(concat!(env!("OUT_DIR"), "/kubevirt.hooks.v1alpha2.rs"));
}

/// `kubevirt.hooks.v1alpha3`: and Shutdown.
pub mod v1alpha3 {
    include!(concat!(env!("OUT_DIR"), "/kubevirt.hooks.v1alpha3.rs"));
}

/// `kubevirt.hooks.plugins.v1alpha1`: the domain and node hooks of the Plugin API.
pub mod plugins {
    include!(concat!(env!("OUT_DIR"), "/kubevirt.hooks.plugins.v1alpha1.rs"));
}
