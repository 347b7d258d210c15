//! The same program under the names that KubeVirt's shim calls.

use std::os::unix::fs::symlink;
use std::process::Command;

use virt_tailor::kubevirt::cloudinit::original_user_data;

use crate::rig::{PROGRAM, outcome, sample, vmi};

fn called(name: &str) -> (tempfile::TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    symlink(PROGRAM, folder.path().join(name)).unwrap();
    let command = Command::new(folder.path().join(name));
    (folder, command)
}

#[test]
fn on_define_domain_writes_the_domain() {
    let (_folder, mut program) = called("onDefineDomain");
    let (domain, vmi) = (sample("dpdk-worker.pass2.xml"), sample("dpdk-worker.vmi.json"));
    let (code, out, err) = outcome(program.args(["--vmi", &vmi, "--domain", &domain]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("<iommu model=\"intel\"") && err.contains("changed "), "{out}{err}");
    // Once more with what came out, and the other way to write options.
    let (_folder, mut program) = called("onDefineDomain");
    let (code, again, err) =
        outcome(program.args([format!("--vmi={vmi}"), format!("--domain={out}"), "--later=x".to_owned()]));
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(again, out);
    assert!(err.contains("note: the option --later is not known and is passed over"), "{err}");
}

/// What a call that is refused says.
fn refused(name: &str, arguments: &[&str]) -> String {
    let (_folder, mut program) = called(name);
    let (code, out, err) = outcome(program.args(arguments));
    assert_eq!((code, out.as_str()), (Some(64), ""), "{err}");
    err
}

#[test]
fn a_refusal_is_one_line_and_no_output() {
    let wrong = vmi("plain", &[("virt-tailor.io/profiles", "there-is-none")]);
    let err = refused("onDefineDomain", &["--vmi", &wrong, "--domain", &sample("plain.pass1.xml")]);
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.contains("no profile is called \"there-is-none\""), "{err}");
    assert_eq!(
        refused("onDefineDomain", &["--vmi", &wrong]),
        "virt-tailor: --domain is missing; usage: onDefineDomain --vmi JSON --domain XML\n"
    );
    assert_eq!(
        refused("preCloudInitIso", &["--vmi", &wrong]),
        "virt-tailor: --cloud-init is missing; usage: preCloudInitIso --vmi JSON --cloud-init JSON\n"
    );
}

#[test]
fn what_only_the_agent_can_do_is_not_left_out_in_silence() {
    let asking = vmi("plain", &[("virt-tailor.io/node-profiles", "isolate")]);
    assert_eq!(
        refused("onDefineDomain", &["--vmi", &asking, "--domain", &sample("plain.pass1.xml")]),
        "virt-tailor: this VM needs the node profile isolate from virt-tailor's agent, which a program of the sidecar shim cannot ask: use the image with virt-tailor sidecar, or take the annotation virt-tailor.io/node-profiles away\n"
    );
    // KubeVirt may grant that by itself.
    let (_folder, mut program) = called("onDefineDomain");
    let asking = vmi("plain", &[("domain.virt-tailor.io/memory.locked", "on")]);
    let (code, out, err) = outcome(program.args(["--vmi", &asking, "--domain", &sample("plain.pass1.xml")]));
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("<locked"), "{out}");
    assert!(err.contains("note: not asked of the node's agent, and needed on a node: leave to lock "), "{err}");
}

#[test]
fn pre_cloud_init_iso_writes_the_data() {
    let (_folder, mut program) = called("preCloudInitIso");
    let asking = vmi("plain", &[("virt-tailor.io/domain", "guest: {denyModules: [iavf]}")]);
    let data = serde_json::json!({"DataSource": "noCloud", "UserData": "#!/bin/sh\necho hello\n"}).to_string();
    let (code, out, err) = outcome(program.args(["--vmi", &asking, "--cloud-init", &data]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let merged: serde_json::Value = serde_json::from_str(&out).unwrap();
    let user_data = merged["UserData"].as_str().unwrap();
    assert!(user_data.contains("iavf"), "{user_data}");
    assert_eq!(original_user_data(user_data.as_bytes()).unwrap(), b"#!/bin/sh\necho hello\n");
}
