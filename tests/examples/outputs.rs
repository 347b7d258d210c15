//! `after.xml` is what the program makes of `before.xml`, by hand and as the sidecar of `vm.yaml`.
//!
//! `UPDATE_GOLDEN=1 cargo test --test examples` rewrites it; look at the difference before you keep it.

use std::fs;
use std::process::Command;

use crate::files::{SCENARIOS, arguments, document, example, hooks, text};
use crate::rig::{PROGRAM, Sidecar, outcome};

#[test]
fn every_after_is_made_from_its_before() {
    for (name, _) in SCENARIOS {
        let folder = example(name);
        // As its README says.
        let mutate = |domain: &str| {
            let mut command = Command::new(PROGRAM);
            command.args(["mutate", "--domain", domain, "--vmi", "vm.yaml", "--profile", "profile.yaml"]);
            let (code, out, err) = outcome(command.current_dir(&folder));
            assert_eq!(code, Some(0), "{name}: {err}");
            out
        };
        let made = mutate("before.xml");
        let after = folder.join("after.xml");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&after, &made).unwrap();
        }
        let known = fs::read_to_string(&after).unwrap_or_default();
        assert!(known == made, "{name}/after.xml differs; if this is meant: UPDATE_GOLDEN=1 cargo test");
        assert!(made != text(&folder.join("before.xml")), "{name}: nothing changes");
        assert_eq!(mutate("after.xml"), made, "{name}: twice is not once");
    }
}

/// What KubeVirt's code makes of a host device, in the sample that has one and is otherwise like `plain`.
fn host_device(alias: &str) -> String {
    let sample = crate::rig::sample("sfc-onload.pass1.xml");
    let (begin, end) = (sample.find("\t\t<hostdev").unwrap(), sample.find("</hostdev>\n").unwrap());
    sample[begin..end + "</hostdev>\n".len()].replace("ua-hostdevice-sfc0", alias)
}

/// The domain of a scenario as KubeVirt's code made it. That of `pci-passthrough` is put together of two that it made: a VM without host
/// devices, and the host device of another one, which stands before the controllers in every sample.
fn kubevirts(name: &str, sample: &str) -> String {
    let made = crate::rig::sample(&format!("{sample}.pass1.xml"));
    if name != "pci-passthrough" {
        return made;
    }
    let at = made.find("\t\t<controller").unwrap();
    let made = format!("{}{}{}", &made[..at], host_device("ua-hostdevice-t4"), &made[at..]);
    made.replace("<name>default_plain<", "<name>default_inference<")
}

/// The VM's own host devices, where the sample has none.
fn add_devices(name: &str, vm: &serde_json::Value, spec: &mut serde_json::Value) {
    if name == "pci-passthrough" {
        let devices = "/spec/template/spec/domain/devices/hostDevices";
        spec["domain"]["devices"]["hostDevices"] = vm.pointer(devices).unwrap().clone();
    }
}

/// `before.xml` was made by KubeVirt's code from a VM in `tests/data`; the one shown must be the same VM.
#[test]
fn every_before_is_kubevirts_and_its_vm_too() {
    for (name, sample) in SCENARIOS {
        let data = |end: &str| {
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/kubevirt/{sample}.{end}"))
        };
        assert_eq!(text(&example(name).join("before.xml")), kubevirts(name, sample), "{name}");
        let shown = document(&example(name).join("vm.yaml"));
        let given = document(&data("yaml"));
        let given = if given["kind"] == "VirtualMachine" { &given["spec"]["template"]["spec"] } else { &given["spec"] };
        let mut given = given.clone();
        add_devices(name, &shown, &mut given);
        assert_eq!(shown["spec"]["template"]["spec"], given, "{name}");
    }
}

#[tokio::test]
async fn the_sidecar_of_each_manifest_gives_the_same() {
    for (name, sample) in SCENARIOS {
        let folder = example(name);
        let vm = document(&folder.join("vm.yaml"));
        let [hook] = <[_; 1]>::try_from(hooks(&vm)).unwrap();
        // What KubeVirt mounts.
        let mounted = tempfile::tempdir().unwrap();
        let key = hook["configMap"]["key"].as_str().unwrap();
        fs::copy(folder.join("profile.yaml"), mounted.path().join(key)).unwrap();
        let mut given = vec!["--profile-dir".to_owned(), mounted.path().to_str().unwrap().to_owned()];
        given.extend(arguments(&hook).into_iter().skip(1));
        let given: Vec<&str> = given.iter().map(String::as_str).collect();

        let mut vmi: serde_json::Value =
            serde_json::from_str(&crate::rig::sample(&format!("{sample}.vmi.json"))).unwrap();
        vmi["metadata"]["annotations"] = vm["spec"]["template"]["metadata"]["annotations"].clone();
        add_devices(name, &vm, &mut vmi["spec"]);
        let sidecar = Sidecar::start(&given);
        let domain = text(&folder.join("before.xml"));
        let fitted = sidecar.define(domain, vmi.to_string()).await.unwrap();
        assert_eq!(String::from_utf8(fitted).unwrap(), text(&folder.join("after.xml")), "{name}");
    }
}
