//! Compiles KubeVirt's and kubelet's contracts and our own link in `proto/` without protoc: `cargo build` needs a Rust toolchain and nothing else.

use std::error::Error;

const FILES: [&str; 10] = [
    "proto/core_v1.proto",
    "proto/deviceplugin_v1beta1.proto",
    "proto/hooks_info.proto",
    "proto/hooks_v1alpha1.proto",
    "proto/hooks_v1alpha2.proto",
    "proto/hooks_v1alpha3.proto",
    "proto/plugins_v1alpha1.proto",
    "proto/pods_v1alpha1.proto",
    "proto/podresources_v1.proto",
    "proto/virt_tailor/link.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    for file in FILES {
        // Nothing prints these for us when descriptors come from protox.
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["proto"])?;
    tonic_prost_build::configure()
        // Clients take any connection: the helpers that open one themselves would need tonic's channel in every build.
        .build_transport(false)
        // What comes is read where it lies, without a copy: it may be large. (Answers are ours, and vectors.)
        .bytes(".kubevirt.hooks.v1alpha1.OnDefineDomainParams")
        .bytes(".kubevirt.hooks.v1alpha2.OnDefineDomainParams")
        .bytes(".kubevirt.hooks.v1alpha2.PreCloudInitIsoParams")
        .bytes(".kubevirt.hooks.v1alpha3.OnDefineDomainParams")
        .bytes(".kubevirt.hooks.v1alpha3.PreCloudInitIsoParams")
        .bytes(".kubevirt.hooks.plugins.v1alpha1.MutateDomainRequest")
        .bytes(".kubevirt.hooks.plugins.v1alpha1.ExecuteNodeHookRequest")
        .compile_fds(descriptors)?;
    Ok(())
}
