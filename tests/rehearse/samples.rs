//! Every sample with every built-in profile.

use std::fs;
use std::process::Command;

use virt_tailor::config::Profiles;

use crate::play::{NAMES, Played, command, play, play_domain, run, sample};

/// Profiles that need a CPU model which these samples do not have.
fn is_refused(name: &str, profile: &str) -> bool {
    profile == "low-latency" && ["ignition", "plain", "vgpu-desktop"].contains(&name)
}

#[test]
fn every_sample_starts_with_every_profile_or_is_refused_in_the_first_call() {
    for name in NAMES {
        for profile in Profiles::built_in().names() {
            let played = play(name, &["--profile", profile]);
            let what = format!("{name} with {profile}: {played:?}");
            if is_refused(name, profile) {
                assert_eq!(played.code, Some(65), "{what}");
                assert!(!played.out.contains("OnDefineDomain, pass"), "{what}");
                assert!(played.err.contains("server error. command SyncVMI failed: \"rpc error: code = "), "{what}");
            } else {
                assert_eq!(played.code, Some(0), "{what}");
                assert_eq!(played.err, "", "{what}");
                assert!(played.out.contains("OnDefineDomain, pass 2: "), "{what}");
                assert!(played.out.ends_with("Shutdown: answered, and the sidecar has ended\n"), "{what}");
            }
        }
    }
}

#[test]
fn a_migration_target_is_asked_once_and_left_alone() {
    for name in NAMES {
        for profile in Profiles::built_in().names() {
            let played = play_domain(&format!("{name}.target.xml"), name, &["--profile", profile]);
            let what = format!("{name} with {profile}: {played:?}");
            assert_eq!((played.code, played.err.as_str()), (Some(0), ""), "{what}");
            assert!(played.out.contains("OnDefineDomain, the only pass: nothing changes"), "{what}");
            assert!(played.out.contains("throws the answer away"), "{what}");
        }
    }
}

/// Rehearses a domain that is no sample, as the VM `plain`.
fn play_text(domain: &str, arguments: &[&str]) -> Played {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), domain).unwrap();
    play_domain(file.path().to_str().unwrap(), "plain", arguments)
}

#[test]
fn a_domain_of_nothing_is_no_domain() {
    for nothing in ["", "\n", "<domain", "<domain/><domain/>"] {
        let played = play_text(nothing, &[]);
        assert_eq!((played.code, played.out.as_str()), (Some(65), ""), "{nothing:?}: {played:?}");
    }
    // A domain without anything in it is one, of a machine for which KubeVirt asks once.
    let played = play_text("<domain/>", &["--set", "features.hideKvm=on"]);
    assert_eq!(played.code, Some(0), "{played:?}");
    assert!(played.out.contains("OnDefineDomain, the only pass: "), "{played:?}");
}

/// KubeVirt sends as much as there is, and receives 4 MiB.
#[test]
fn a_domain_as_large_as_a_message_goes_through_or_is_refused_in_one_line() {
    let domain = fs::read_to_string(sample("plain.pass1.xml")).unwrap();
    // What is text to libvirt counts as much as what is not.
    let sized = |bytes: usize| {
        let line = "<!-- as large as a message can be -->\n";
        let filling = line.repeat((bytes - domain.len()) / line.len());
        domain.replacen("<devices>", &format!("{filling}<devices>"), 1)
    };
    // A debug build on a busy machine may need longer than virt-handler waits.
    let patient = ["--profile", "vgpu-desktop", "--sync-limit", "600"];
    let played = play_text(&sized((4 << 20) - (16 << 10)), &patient);
    assert_eq!(played.code, Some(0), "{}", played.err);
    assert!(played.out.contains("OnDefineDomain, pass 2: "), "{}", played.out);
    let played = play_text(&sized(4 << 20), &patient);
    assert_eq!((played.code, played.out.lines().count()), (Some(65), 2), "{}", played.err);
    let line = "KubeVirt receives 4193280 at most: take long texts out of the VM's metadata and qemu.args, or give it fewer devices\"\n";
    assert!(played.err.contains("desc = virt-tailor: the domain has 419"), "{}", played.err);
    assert!(played.err.contains(line), "{}", played.err);
}

#[test]
fn every_release_is_played_with_its_number_of_passes() {
    for (release, passes) in [
        ("1.1", 2),
        ("1.2", 2),
        ("1.6", 2),
        ("1.6.5", 3),
        ("v1.7.3", 2),
        ("1.7.4", 3),
        ("1.8", 3),
        ("1.9", 3),
        ("v1.9.0", 3),
        ("main", 3),
    ] {
        let played = play("gpu-workstation", &["--profile", "vgpu-desktop", "--release", release]);
        assert_eq!((played.code, played.err.as_str()), (Some(0), ""), "{release}: {played:?}");
        assert_eq!(played.out.matches("OnDefineDomain, pass").count(), passes, "{release}: {played:?}");
        let version = if release == "1.1" { "v1alpha2 is used" } else { "v1alpha3 is used" };
        assert!(played.out.contains(version), "{release}: {played:?}");
    }
    // Nothing is left of 3 spare ports where 3 placeholders were: only the main branch asks again.
    assert!(!play("plain", &[]).out.contains("pass 3"));
    assert!(play("plain", &["--release", "main"]).out.contains("pass 3: nothing changes"));
    for unknown in ["1.0", "1.10", "2.1", "1.", "1.9.x", "vmain"] {
        assert_eq!(play("plain", &["--release", unknown]).code, Some(64), "{unknown}");
    }
}

#[test]
fn a_vm_in_yaml_is_sent_as_the_vmi_that_it_becomes() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_virt-tailor"));
    command.arg("rehearse").arg("--domain").arg(sample("gpu-workstation.pass1.xml"));
    command.arg("--vmi").arg(sample("gpu-workstation.yaml")).args(["--profile", "gpu-workstation"]);
    let played = run(&mut command);
    assert_eq!((played.code, played.err.as_str()), (Some(0), ""), "{played:?}");
    assert_eq!(played.out, play("gpu-workstation", &["--profile", "gpu-workstation"]).out);
}

#[test]
fn what_is_wrong_with_the_request_keeps_the_sidecar_from_starting() {
    let played = play("plain", &["--profile", "no-such-profile"]);
    assert_eq!((played.code, played.out.as_str()), (Some(64), ""), "{played:?}");
    assert!(played.err.contains("stay in phase Scheduling") && played.err.contains("no-such-profile"), "{played:?}");
    assert_eq!(play("plain", &["--set", "viommu.model=cisco"]).code, Some(64));
}

#[test]
fn cloud_init_is_merged_or_crashes_virt_launcher() {
    let played = play("dpdk-worker", &["--cloud-init", "--set", "guest.memlock=unlimited"]);
    assert_eq!((played.code, played.err.as_str()), (Some(0), ""), "{played:?}");
    assert!(played.out.contains("PreCloudInitIso: the user data is changed"), "{played:?}");
    let played = play("gpu-workstation", &["--cloud-init"]);
    assert_eq!(played.code, Some(65), "{played:?}");
    assert!(played.err.contains("virt-launcher would crash"), "{played:?}");
    // A volume with network data alone is one: KubeVirt hands it over, with empty user data.
    let vmi = fs::read_to_string(sample("dpdk-worker.vmi.json")).unwrap();
    let mut vmi: serde_json::Value = serde_json::from_str(&vmi).unwrap();
    vmi["spec"]["volumes"] = serde_json::json!([{"name": "c", "cloudInitNoCloud": {"networkData": "version: 2"}}]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vmi.json");
    fs::write(&file, vmi.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_virt-tailor"));
    command.args(["rehearse", "--cloud-init", "--set", "guest.memlock=unlimited", "--domain"]);
    let played = run(command.arg(sample("dpdk-worker.pass1.xml")).arg("--vmi").arg(file));
    assert_eq!((played.code, played.err.as_str()), (Some(0), ""), "{played:?}");
    assert!(played.out.contains("PreCloudInitIso: the user data is changed"), "{played:?}");
}

#[test]
fn a_deep_folder_for_temporary_files_is_no_hindrance() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a".repeat(90));
    fs::create_dir(&deep).unwrap();
    let played = run(command("plain.pass1.xml", "plain").env("TMPDIR", deep));
    assert_eq!((played.code, played.err.as_str()), (Some(0), ""), "{played:?}");
}

#[test]
fn an_address_that_is_taken_is_refused_before_libvirt_could() {
    let pin = ["--set", "hostDevices.gpu0.address=0000:00:1f.2"];
    let played = play("gpu-workstation", &pin);
    assert_eq!(played.code, Some(65), "{played:?}");
    assert!(!played.out.contains("OnDefineDomain, pass 2"), "{played:?}");
}

#[test]
fn a_vm_that_starts_in_spite_of_an_error_says_so() {
    let played = play("plain", &["--profile", "low-latency", "--on-error", "keep"]);
    assert_eq!(played.code, Some(0), "{played:?}");
    assert!(played.out.contains("pass 1: nothing changes"), "{played:?}");
    assert!(played.err.contains("warning: the sidecar logs: left as it came"), "{played:?}");
}
