//! Errors as a user sees them: one status, one line.

use std::process::Stdio;

use tonic::Code;

use crate::rig::{LONG, Sidecar, command, entries, kill, outcome, sample, vmi, within};

#[tokio::test]
async fn errors_are_one_line() {
    let sidecar = Sidecar::start(&[]);
    let plain = || sample("plain.pass1.xml");
    let asking = |key: &str, value: &str| vmi("plain", &[(key, value)]);
    let table = [
        (String::new(), vmi("plain", &[]), Code::InvalidArgument, "the call brings no domain XML"),
        (plain(), String::new(), Code::InvalidArgument, "the call brings no VirtualMachineInstance"),
        (
            plain().replace("</domain>", ""),
            vmi("plain", &[]),
            Code::InvalidArgument,
            "the domain XML of the call: line 1, column 1: <domain> is never closed",
        ),
        (
            "<network/>".to_owned(),
            vmi("plain", &[]),
            Code::InvalidArgument,
            "the domain XML of the call: the root element is <network>, not a libvirt <domain>",
        ),
        (
            plain(),
            "{\"kind\": \"Pod\"}".to_owned(),
            Code::InvalidArgument,
            "the VirtualMachineInstance of the call: this is a \"Pod\": give a VirtualMachineInstance or a VirtualMachine of kubevirt.io",
        ),
        (
            plain(),
            asking("virt-tailor.io/profiles", "gpu-workstatoin"),
            Code::InvalidArgument,
            "annotation virt-tailor.io/profiles: no profile is called \"gpu-workstatoin\": did you mean \"gpu-workstation\"? There are dpdk-viommu, gpu-workstation, low-latency, vgpu-desktop",
        ),
        (
            plain(),
            asking("domain.virt-tailor.io/viommu.modle", "intel"),
            Code::InvalidArgument,
            "annotation domain.virt-tailor.io/viommu.modle: viommu: unknown field \"modle\", did you mean \"model\"?",
        ),
        (
            plain(),
            asking("virt-tailor.io/domain", "viommu:\n  model: amdd\nfoo: 1\n"),
            Code::InvalidArgument,
            "annotation virt-tailor.io/domain, line 2 column 10: viommu.model: \"amdd\" is not intel, virtio, amd or smmuv3, did you mean \"amd\"?; annotation virt-tailor.io/domain, line 3 column 1: unknown field \"foo\", known here: viommu, hostDevices, memory, firmware, pci, cpu, features, devices, quirks, qemu, guest",
        ),
        (
            plain(),
            asking("virt-tailor.io/domain", "hostDevices:\n- device: gpu7\n  bootOrder: 1\n"),
            Code::FailedPrecondition,
            "hostDevices[gpu7]: no such device in the domain (host devices there are: none)",
        ),
        (
            plain(),
            asking("domain.virt-tailor.io/pci.rootPorts", "99"),
            Code::InvalidArgument,
            "annotation domain.virt-tailor.io/pci.rootPorts: \"99\" is not a whole number from 0 to 64",
        ),
    ];
    for (domain, vmi, code, line) in table {
        let status = sidecar.define(domain, vmi).await.unwrap_err();
        assert_eq!(status.code(), code, "{}", status.message());
        assert_eq!(status.message(), format!("virt-tailor: {line}"));
    }
}

#[tokio::test]
async fn keep_starts_the_vm_as_it_is_and_says_so() {
    let sidecar = Sidecar::start(&["--on-error=keep"]);
    let domain = sample("plain.pass1.xml");
    let wrong = vmi("plain", &[("virt-tailor.io/profiles", "there-is-none")]);
    assert_eq!(sidecar.define(domain.as_str(), wrong).await.unwrap(), domain.as_bytes());
    let log = sidecar.log();
    assert!(log.contains("left as it came, because of --on-error keep"), "{log}");
    assert!(log.contains("no profile is called \\\"there-is-none\\\""), "{log}");
    // There is nothing to keep of nothing, and nothing to send that KubeVirt cannot receive.
    assert_eq!(sidecar.define("", "").await.unwrap_err().code(), Code::InvalidArgument);
    let long = format!("{domain}<!--{}-->", " ".repeat(4 << 20));
    assert_eq!(sidecar.define(long, vmi("plain", &[])).await.unwrap_err().code(), Code::ResourceExhausted);
}

#[test]
fn wrong_options_end_it_before_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[&str], i32, &str); 7] = [
        (&["--profile", "gpu-workstatoin"], 64, "did you mean \"gpu-workstation\"?"),
        (&["--set", "viommu.modle=intel"], 64, "--set viommu.modle"),
        (&["--plugin", "../x"], 2, "a Plugin's name has"),
        (&["--profile-dir", "/nonexistent"], 66, "cannot read /nonexistent"),
        (&["--profile", "/nonexistent.yaml"], 66, "cannot read /nonexistent.yaml"),
        (&["--on-error", "ignore"], 2, "possible values"),
        (&["--cloud-init", "--set", "x"], 64, ""),
    ];
    for (arguments, code, message) in cases {
        let (got, out, err) = outcome(command(folder.path()).args(arguments));
        // clap's own code for usage is turned into ours.
        let code = if code == 2 { 64 } else { code };
        assert_eq!(got, Some(code), "{arguments:?}: {err}");
        assert!(err.contains(message), "{arguments:?}: {err}");
        assert!(out.is_empty());
        assert!(entries(folder.path()).is_empty());
    }
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let (code, _, err) = outcome(&mut command(std::path::Path::new("/nonexistent/hooks")));
    assert_eq!(code, Some(66));
    assert!(err.contains("/nonexistent/hooks is not there: KubeVirt mounts it"), "{err}");
}

#[tokio::test]
async fn a_profile_nobody_named_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("broken.yaml"), "kind: Nonsense\n").unwrap();
    let good = "apiVersion: virt-tailor.io/v1alpha1\nkind: DomainProfile\nmetadata: {name: mine}\nspec: {viommu: {model: virtio}}\n";
    std::fs::write(folder.path().join("mine.yaml"), good).unwrap();
    let sidecar = Sidecar::start(&["--profile-dir", folder.path().to_str().unwrap()]);
    let plain = || sample("plain.pass1.xml");
    let answer = sidecar.define(plain(), vmi("plain", &[("virt-tailor.io/profiles", "mine")])).await.unwrap();
    assert!(String::from_utf8(answer).unwrap().contains("<iommu"));
    let status = sidecar.define(plain(), vmi("plain", &[("virt-tailor.io/profiles", "broken")])).await.unwrap_err();
    assert!(status.message().contains("broken.yaml:1:"), "{status}");
    assert!(sidecar.log().contains("a profile that can be named is wrong"), "{}", sidecar.log());
}

#[test]
fn what_is_no_regular_file_among_profiles_is_refused_and_keeps_nobody_waiting() {
    let hooks = tempfile::tempdir().unwrap();
    let start = |profiles: &std::path::Path| {
        let mut command = command(hooks.path());
        command.arg("--profile-dir").arg(profiles).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    };
    let makes: [fn(&std::path::Path); 4] = [
        |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
        |path| std::fs::create_dir(path).unwrap(),
        |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
    ];
    for make in makes {
        let folder = tempfile::tempdir().unwrap();
        let profile = folder.path().join("mine.yaml");
        make(&profile);
        let mut child = start(folder.path());
        let status = within(LONG, || child.try_wait().unwrap());
        let _ = child.kill();
        let mut err = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut err).unwrap();
        assert_eq!(status.expect("it waits").code(), Some(66), "{err}");
        let begin = format!("virt-tailor: cannot read {}: ", profile.display());
        assert!(err.lines().count() == 1 && err.starts_with(&begin), "{err}");

        // Under another name it is nobody's profile. A profile proper may be behind links, as in the folder of a ConfigMap.
        std::fs::rename(&profile, folder.path().join("mine")).unwrap();
        std::fs::create_dir(folder.path().join("..1")).unwrap();
        let good = "apiVersion: virt-tailor.io/v1alpha1\nkind: DomainProfile\nmetadata: {name: good}\nspec: {}\n";
        std::fs::write(folder.path().join("..1/good.yaml"), good).unwrap();
        std::os::unix::fs::symlink("..1", folder.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/good.yaml", folder.path().join("good.yaml")).unwrap();
        let mut child = start(folder.path());
        let serves = within(LONG, || (!entries(hooks.path()).is_empty()).then_some(()));
        kill("-TERM", child.id());
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(serves.is_some());
    }
}

#[test]
fn help_says_once_what_auto_is() {
    let (code, out, _) = outcome(std::process::Command::new(crate::rig::PROGRAM).args(["sidecar", "--help"]));
    assert_eq!(code, Some(0));
    let said: Vec<&str> = out.lines().filter(|line| line.contains("auto")).map(str::trim).collect();
    let agent = "- auto:     If the VM needs it: for node profiles, for memory that only it lets QEMU lock";
    assert_eq!(said, ["- auto:    Session", "[default: auto]", agent, "[default: auto]"], "{out}");
}
