//! A rehearsal in a real libvirt says the same as one without.

use std::path::Path;
use std::process::{Command, Output};

use virt_tailor::config::Profiles;

use crate::embed::Libvirt;
use crate::inputs::data;

fn rehearse(sample: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    rehearse_domain(&format!("{sample}.pass1.xml"), sample, arguments)
}

fn rehearse_domain(domain: &str, sample: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kubevirt");
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_virt-tailor"))
        .arg("rehearse")
        .arg("--domain")
        .arg(folder.join(domain))
        .arg("--vmi")
        .arg(folder.join(format!("{sample}.vmi.json")))
        .args(arguments)
        // A test build beside others on a busy machine may need longer than virt-handler waits.
        .args(["--sync-limit", "600"])
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
    let (mut started, mut refused) = (0, 0);
    for sample in data("kubevirt", |name| name.ends_with(".pass1.xml")) {
        let name = sample.name.split('.').next().unwrap();
        for profile in Profiles::built_in().names() {
            let (expected, without, _) = rehearse(name, &["--profile", profile]);
            let (code, with, err) = rehearse(name, &["--profile", profile, "--connect", &uri]);
            assert_eq!(code, expected, "{name} with {profile}: {with}{err}");
            assert_eq!(with.replace("a real libvirt", "no libvirt"), without, "{name} with {profile}");
            started += usize::from(code == Some(0));
            refused += usize::from(code == Some(65));
        }
        // A migration target is defined nowhere.
        let target = format!("{name}.target.xml");
        let (code, with, err) = rehearse_domain(&target, name, &["--profile", "gpu-workstation", "--connect", &uri]);
        assert_eq!(code, Some(0), "{name}: {with}{err}");
        assert!(with.contains("the only pass: nothing changes"), "{name}: {with}");
    }
    // low-latency needs a CPU model that three samples do not have.
    assert_eq!((started, refused), (21, 3));
}

#[test]
#[ignore = "needs libvirt 11 and QEMU"]
fn a_libvirt_that_is_not_there_is_said_to_be_missing() {
    let (code, _, err) = rehearse("plain", &["--connect", "qemu+unix:///system?socket=/nonexistent/socket"]);
    assert_eq!(code, Some(69), "{err}");
    assert!(err.contains("cannot use libvirt at qemu+unix"), "{err}");
}
