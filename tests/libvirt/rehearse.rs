//! A rehearsal in a real libvirt says the same as one without.

use std::path::Path;
use std::process::{Command, Output};

use crate::embed::Libvirt;
use crate::inputs::data;

fn rehearse(sample: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kubevirt");
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_virt-tailor"))
        .arg("rehearse")
        .arg("--domain")
        .arg(folder.join(format!("{sample}.pass1.xml")))
        .arg("--vmi")
        .arg(folder.join(format!("{sample}.vmi.json")))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
#[ignore = "needs libvirt 11 and QEMU"]
fn with_a_real_libvirt_every_sample_starts_as_with_the_stand_in() {
    let libvirt = Libvirt::embed();
    let uri = libvirt.uri();
    for sample in data("kubevirt", |name| name.ends_with(".pass1.xml")) {
        let name = sample.name.split('.').next().unwrap();
        for profile in ["gpu-workstation", "dpdk-viommu"] {
            let (code, without, _) = rehearse(name, &["--profile", profile]);
            assert_eq!(code, Some(0), "{without}");
            let (code, with, err) = rehearse(name, &["--profile", profile, "--connect", &uri]);
            assert_eq!(code, Some(0), "{with}{err}");
            assert_eq!(with.replace("a real libvirt", "no libvirt"), without, "{name} with {profile}");
        }
    }
}

#[test]
#[ignore = "needs libvirt 11 and QEMU"]
fn a_libvirt_that_is_not_there_is_said_to_be_missing() {
    let (code, _, err) = rehearse("plain", &["--connect", "qemu+unix:///system?socket=/nonexistent/socket"]);
    assert_eq!(code, Some(69), "{err}");
    assert!(err.contains("cannot use libvirt at qemu+unix"), "{err}");
}
