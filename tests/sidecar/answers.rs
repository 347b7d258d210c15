//! What calls are answered with, in every version.

use std::time::{Duration, Instant};

use tonic::Code;
use virt_tailor::config::{self, Profiles, resolve};
use virt_tailor::domain::{Domain, LibvirtMode, Request, mutate};
use virt_tailor::kubevirt::VmView;
use virt_tailor::kubevirt::proto::{v1alpha1, v1alpha2};

use crate::rig::{Sidecar, define, info, sample, shutdown, vmi};

const SAMPLES: [&str; 6] = ["dpdk-worker", "gpu-workstation", "ignition", "plain", "sfc-onload", "vgpu-desktop"];

/// What the mutator makes of a domain by itself.
fn fitted(domain: &str, vmi: &str) -> Vec<u8> {
    let view = VmView::parse(vmi).unwrap();
    let asked = config::Request { annotations: view.annotations.clone(), ..Default::default() };
    let profile = resolve(&asked, &Profiles::built_in()).unwrap();
    let facts = view.facts();
    let request = Request {
        profile: &profile,
        vm: Some(&facts),
        host: None,
        libvirt: LibvirtMode::Session,
        lock_confirmed: false,
    };
    mutate(Domain::parse(domain).unwrap(), &request).unwrap().bytes
}

#[tokio::test]
async fn info_says_what_is_served() {
    let sidecar = Sidecar::start(&[]);
    let answer = info(sidecar.client().await).await;
    assert_eq!(answer.name, "virt-tailor");
    assert_eq!(answer.versions, ["v1alpha3", "v1alpha2", "v1alpha1"]);
    let points: Vec<&str> = answer.hook_points.iter().map(|point| point.name.as_str()).collect();
    assert_eq!(points, ["OnDefineDomain", "Shutdown"]);
}

#[tokio::test]
async fn every_version_gives_the_mutators_answer_for_every_pass() {
    // Two devices behind a vIOMMU would wait for the agent.
    let sidecar = Sidecar::start(&["--agent", "off"]);
    for name in SAMPLES {
        let vmi = sample(&format!("{name}.vmi.json"));
        for pass in ["pass1", "pass2", "pass3"] {
            let domain = sample(&format!("{name}.{pass}.xml"));
            let expected = fitted(&domain, &vmi);
            let mut v1 = v1alpha1::callbacks_client::CallbacksClient::new(sidecar.client().await);
            let call = v1alpha1::OnDefineDomainParams { domain_xml: domain.clone().into(), vmi: vmi.clone().into() };
            assert_eq!(v1.on_define_domain(call).await.unwrap().into_inner().domain_xml, expected, "{name} {pass}");
            let mut v2 = v1alpha2::callbacks_client::CallbacksClient::new(sidecar.client().await);
            let call = v1alpha2::OnDefineDomainParams { domain_xml: domain.clone().into(), vmi: vmi.clone().into() };
            assert_eq!(v2.on_define_domain(call).await.unwrap().into_inner().domain_xml, expected, "{name} {pass}");
            let answer = sidecar.define(domain.as_str(), vmi.as_str()).await.unwrap();
            assert_eq!(answer, expected, "{name} {pass}");
            // And once more, as KubeVirt does it.
            let again = sidecar.define(answer, vmi.as_str()).await.unwrap();
            assert_eq!(String::from_utf8(again).unwrap(), String::from_utf8(expected).unwrap(), "{name} {pass}");
        }
    }
}

#[tokio::test]
async fn options_of_the_sidecar_count() {
    let sidecar = Sidecar::start(&["--set", "viommu.model=virtio", "--set=memory.nosharepages=on"]);
    let plain = vmi("plain", &[]);
    let answer = sidecar.define(sample("plain.pass1.xml"), plain).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("<iommu model=\"virtio\"") && answer.contains("<nosharepages"), "{answer}");
}

#[tokio::test]
async fn a_migration_target_is_answered_unchanged_whatever_is_asked() {
    let sidecar = Sidecar::start(&[]);
    for name in SAMPLES {
        let domain = sample(&format!("{name}.target.xml"));
        let wrong = vmi(name, &[("virt-tailor.io/profiles", "there-is-none")]);
        assert_eq!(sidecar.define(domain.as_str(), wrong).await.unwrap(), domain.as_bytes(), "{name}");
        assert_eq!(sidecar.define(domain.as_str(), "").await.unwrap(), domain.as_bytes(), "{name}");
    }
}

#[tokio::test]
async fn what_a_vm_does_not_ask_is_left_to_the_byte() {
    let sidecar = Sidecar::start(&[]);
    let domain = sample("gpu-workstation.pass2.xml");
    assert_eq!(sidecar.define(domain.as_str(), vmi("gpu-workstation", &[])).await.unwrap(), domain.as_bytes());
}

#[tokio::test]
async fn large_documents_have_their_limits() {
    let sidecar = Sidecar::start(&[]);
    let padded = |bytes: usize| {
        let domain = sample("plain.pass1.xml");
        let padding = bytes - domain.len() - "<!---->".len();
        format!("{domain}<!--{}-->", " ".repeat(padding))
    };
    let plain = vmi("plain", &[]);
    const LIMIT: usize = (4 << 20) - (1 << 10);
    // As long as an answer may be.
    let domain = padded(LIMIT);
    assert_eq!(sidecar.define(domain.as_str(), plain.as_str()).await.unwrap(), domain.as_bytes());
    // One byte more is more than KubeVirt receives.
    for bytes in [LIMIT + 1, 4 << 20, (4 << 20) + 1, 15 << 20] {
        let status = sidecar.define(padded(bytes), plain.as_str()).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        let line = format!(
            "virt-tailor: the domain has {bytes} bytes; KubeVirt receives 4193280 at most: take long texts out of the VM's metadata and qemu.args, or give it fewer devices"
        );
        assert_eq!(status.message(), line);
    }
    // What grows beyond the limit is refused as well.
    let growing = vmi("plain", &[("domain.virt-tailor.io/viommu.model", "virtio")]);
    let status = sidecar.define(domain, growing).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    // A VMI of many megabytes is one line, too.
    let status = sidecar.define(sample("plain.pass1.xml"), " ".repeat(15 << 20)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(!status.message().contains('\n'));
    // And after all that it serves.
    assert!(sidecar.define(sample("plain.pass1.xml"), plain).await.is_ok());
}

#[tokio::test]
async fn info_does_not_wait_for_a_document() {
    let sidecar = Sidecar::start(&[]);
    let mut domain = sample("plain.pass1.xml");
    let many = "<x a='b'></x>".repeat(40_000);
    domain.insert_str(domain.find("<devices>").unwrap(), &format!("<metadata><y xmlns='urn:y'>{many}</y></metadata>"));
    let asking = vmi("plain", &[("domain.virt-tailor.io/viommu.model", "virtio")]);
    let other = sidecar.client().await;
    let mut calls = Vec::new();
    // There is memory for three at once; each has a connection of its own, as with KubeVirt.
    for _ in 0..3 {
        let channel = sidecar.client().await;
        calls.push(tokio::spawn(define(channel, domain.clone().into(), asking.clone().into())));
    }
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut infos = 0;
    while !calls.iter().all(tokio::task::JoinHandle::is_finished) {
        let asked = Instant::now();
        info(other.clone()).await;
        slowest = slowest.max(asked.elapsed());
        infos += 1;
    }
    println!("documents took {:?}; the slowest of {infos} Infos meanwhile {slowest:?}", began.elapsed());
    // If each waited for a document, there would be one more than documents. (How long one takes is the machine's affair.)
    assert!(infos > 8, "{infos}");
    for call in calls {
        let answer = call.await.unwrap();
        assert!(answer.is_ok(), "{:?}", answer.err());
    }
}

#[tokio::test]
async fn shutdown_answers_then_ends() {
    let mut sidecar = Sidecar::start(&[]);
    let channel = sidecar.client().await;
    shutdown(channel).await.unwrap();
    assert_eq!(sidecar.ended().code(), Some(0));
    assert!(crate::rig::entries(&sidecar.hooks).is_empty());
}

#[tokio::test]
async fn pre_cloud_init_iso_is_not_served_unasked() {
    let sidecar = Sidecar::start(&[]);
    let mut client = v1alpha2::callbacks_client::CallbacksClient::new(sidecar.client().await);
    let status = client.pre_cloud_init_iso(v1alpha2::PreCloudInitIsoParams::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(
        status.message(),
        "virt-tailor: PreCloudInitIso is not served: start the sidecar with --cloud-init, and only for VMs that have cloud-init"
    );
}
