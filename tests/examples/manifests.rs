//! Manifests: objects of Kubernetes whose parts know each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use serde_json::Value;
use virt_tailor::cli::{Cli, Command};
use virt_tailor::config::node::NodeConfig;
use virt_tailor::config::{AutoOff, ProfileArgument, ProfileText, Profiles, Request, Resolved, resolve};
use virt_tailor::kubevirt::VmView;

use crate::files::{all, arguments, document, example, hooks, objects, text};

/// Where the sidecar looks for profiles unless it is told otherwise.
const PROFILE_DIR: &str = "/etc/virt-tailor/profiles.d/";

fn words<'a>(list: &'a Value, field: &str) -> BTreeSet<&'a str> {
    list.as_array().into_iter().flatten().filter_map(|item| item[field].as_str()).collect()
}

#[test]
fn every_document_is_an_object_with_a_name() {
    let objects = objects();
    assert!(objects.len() >= 13, "only {} documents", objects.len());
    for (path, object) in objects {
        for field in [&object["apiVersion"], &object["kind"], &object["metadata"]["name"]] {
            assert!(field.as_str().is_some_and(|text| !text.is_empty()), "{}: {object:#}", path.display());
        }
        let name = object["metadata"]["name"].as_str().unwrap();
        let is_label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name.chars().all(is_label) && name.len() <= 63, "{}: {name}", path.display());
        // Of other kinds the schemas know the fields.
        if ["Kustomization", "SecurityContextConstraints", "ServiceAccount"].contains(&object["kind"].as_str().unwrap())
        {
            continue;
        }
        let known = ["apiVersion", "kind", "metadata", "spec", "data"];
        for field in object.as_object().unwrap().keys() {
            assert!(known.contains(&field.as_str()), "{}: {field}", path.display());
        }
    }
}

/// A sidecar as KubeVirt reads it: unknown keys are passed over there, so that a mistake would not be seen.
#[test]
fn hook_annotations_are_what_kubevirt_and_the_program_know() {
    for path in vms() {
        for hook in hooks(&document(&path)) {
            let known = ["image", "imagePullPolicy", "command", "args", "configMap", "pvc"];
            for key in hook.as_object().unwrap().keys() {
                assert!(known.contains(&key.as_str()), "{}: {key}", path.display());
            }
            assert!(hook["image"].as_str().is_some_and(|image| image.contains("/virt-tailor:")));
            let mount = hook["configMap"].as_object().unwrap();
            assert_eq!(mount.keys().collect::<Vec<_>>(), ["hookPath", "key", "name"]);
            let key = mount["key"].as_str().unwrap();
            assert_eq!(mount["hookPath"].as_str().unwrap(), format!("{PROFILE_DIR}{key}"));
            assert!(sidecar(&arguments(&hook)).plugin.is_none());
        }
    }
}

/// The arguments of a container, read as the program reads them.
pub(crate) fn sidecar(arguments: &[String]) -> virt_tailor::cli::Sidecar {
    let all = std::iter::once("virt-tailor").chain(arguments.iter().map(String::as_str));
    match Cli::try_parse_from(all).unwrap().command {
        Command::Sidecar(sidecar) => sidecar,
        other => panic!("{other:?}"),
    }
}

/// Every VM: each scenario's, and those for nodes with the agent.
fn vms() -> Vec<PathBuf> {
    let mut paths = all("/vm.yaml");
    paths.extend(all("/vm-agent.yaml"));
    paths
}

/// What stands in a ConfigMap of that name: in its own manifest, or made from the profile beside the VM.
fn config_map(vm: &Path, name: &str, key: &str) -> ProfileText {
    let manifest = vm.with_file_name("configmap.yaml");
    if !manifest.exists() {
        let profile = vm.file_name().unwrap().to_str().unwrap().replace("vm", "profile");
        return ProfileText { label: key.to_owned(), text: text(&vm.with_file_name(profile)) };
    }
    let object = document(&manifest);
    assert_eq!(object["metadata"]["name"], name);
    ProfileText { label: key.to_owned(), text: object["data"][key].as_str().unwrap().to_owned() }
}

/// What a VM asks for, with the profiles that its manifest brings.
fn asked(path: &Path) -> Resolved {
    let view = VmView::parse(&text(path)).unwrap();
    let mut profiles = Profiles::built_in();
    let mut request = Request { annotations: view.annotations, ..Request::default() };
    for hook in hooks(&document(path)) {
        let (name, key) = (hook["configMap"]["name"].as_str().unwrap(), hook["configMap"]["key"].as_str().unwrap());
        let profile = config_map(path, name, key);
        profiles.insert(key.strip_suffix(".yaml").unwrap(), profile);
        let sidecar = sidecar(&arguments(&hook));
        request.profiles.extend(sidecar.profiles.into_iter().map(ProfileArgument::Name));
        request.sets.extend(sidecar.sets);
    }
    resolve(&request, &profiles).unwrap_or_else(|problems| panic!("{}: {problems}", path.display()))
}

#[test]
fn what_every_vm_asks_for_is_right() {
    let paths = vms();
    assert_eq!(paths.len(), 8);
    for path in paths {
        let profile = asked(&path);
        assert!(profile.spec != Default::default(), "{}: nothing is asked", path.display());
        // Device names are those of the VM.
        let view = VmView::parse(&text(&path)).unwrap();
        for device in &profile.spec.host_devices {
            let name = device.device.to_string();
            assert!(view.host_devices.iter().any(|known| known.name == name), "{}: {name}", path.display());
        }
        // The guest section goes through cloud-init, which is served only when asked for.
        let vm = document(&path);
        let has_guest = profile.spec.guest != Default::default();
        let volumes = &vm["spec"]["template"]["spec"]["volumes"];
        let is_cloud_init = |volume: &Value| volume.as_object().unwrap().keys().any(|key| key.starts_with("cloudInit"));
        let has_cloud_init = volumes.as_array().unwrap().iter().any(is_cloud_init);
        for hook in hooks(&vm) {
            assert_eq!(sidecar(&arguments(&hook)).cloud_init, has_guest, "{}", path.display());
            assert!(!has_guest || has_cloud_init, "{}", path.display());
        }
    }
}

#[test]
fn every_vm_is_whole() {
    let permitted = document(&example("enable-sidecar/kubevirt.yaml"));
    let permitted = &permitted["spec"]["configuration"]["permittedHostDevices"];
    let mut resources = words(&permitted["pciHostDevices"], "resourceName");
    resources.extend(words(&permitted["mediatedDevices"], "resourceName"));
    for path in vms() {
        let vm = document(&path);
        let spec = &vm["spec"]["template"]["spec"];
        let devices = &spec["domain"]["devices"];
        assert_eq!(words(&devices["disks"], "name"), words(&spec["volumes"], "name"), "{}", path.display());
        assert_eq!(words(&devices["interfaces"], "name"), words(&spec["networks"], "name"), "{}", path.display());
        for list in [&devices["gpus"], &devices["hostDevices"]] {
            assert!(words(list, "deviceName").is_subset(&resources), "{}: {list}", path.display());
        }
        // ConfigMaps are looked for in the VM's namespace.
        let manifest = path.with_file_name("configmap.yaml");
        if manifest.exists() {
            assert_eq!(document(&manifest)["metadata"]["namespace"], vm["metadata"]["namespace"]);
        }
    }
}

/// With the agent a VM may request what the node's configuration offers and nothing else: companions are not offered.
#[test]
fn a_vm_for_the_agent_requests_what_its_node_offers() {
    let folder = example("gpu-workstation");
    let requested = |file: &str| -> BTreeSet<String> {
        let vm = document(&folder.join(file));
        let devices = &vm["spec"]["template"]["spec"]["domain"]["devices"];
        let lists = [&devices["gpus"], &devices["hostDevices"]];
        lists.iter().flat_map(|list| words(list, "deviceName")).map(str::to_owned).collect()
    };
    let config = NodeConfig::read("node-config.yaml", &text(&folder.join("node-config.yaml"))).unwrap();
    let offered: BTreeSet<String> = config.spec.resources.iter().map(|one| one.name.as_str().to_owned()).collect();
    assert_eq!(requested("vm-agent.yaml"), offered);
    assert!(!requested("vm.yaml").is_subset(&offered), "then the other could go");
    let profile = asked(&folder.join("vm-agent.yaml"));
    let gpu = profile.spec.host_devices.iter().find(|device| device.device.to_string() == "gpu0").unwrap();
    assert_eq!(gpu.companions, Some(AutoOff::Auto));
    assert!(gpu.functions.is_empty(), "nobody requests one");
}

#[test]
fn the_patch_turns_on_what_the_scenarios_need() {
    let patch = document(&example("enable-sidecar/kubevirt.yaml"));
    let gates = &patch["spec"]["configuration"]["developerConfiguration"]["featureGates"];
    assert_eq!(*gates, serde_json::json!(["Sidecar", "HostDevices"]));
    let devices = &patch["spec"]["configuration"]["permittedHostDevices"]["pciHostDevices"];
    for device in devices.as_array().unwrap() {
        let ids = device["pciVendorSelector"].as_str().unwrap();
        let hex = |part: &str| part.len() == 4 && part.chars().all(|c| c.is_ascii_hexdigit());
        assert!(ids.split_once(':').is_some_and(|(vendor, device)| hex(vendor) && hex(device)), "{ids}");
    }
}

/// READMEs name the ConfigMap, the namespace and the VM as the manifests do.
#[test]
fn readmes_name_what_is_there() {
    for (name, _) in crate::files::SCENARIOS {
        let readme = text(&example(name).join("README.md"));
        let vm = document(&example(name).join("vm.yaml"));
        let [hook] = <[_; 1]>::try_from(hooks(&vm)).unwrap();
        let (map, key) = (hook["configMap"]["name"].as_str().unwrap(), hook["configMap"]["key"].as_str().unwrap());
        let namespace = vm["metadata"]["namespace"].as_str().unwrap();
        let create = format!("kubectl --namespace {namespace} create configmap {map} --from-file={key}=profile.yaml\n");
        let start = format!("virtctl --namespace {namespace} start {}\n", vm["metadata"]["name"].as_str().unwrap());
        assert!(readme.contains(&create) && readme.contains(&start), "{name}/README.md:\n{create}{start}");
        // What the host loses today, and the command that applies the NodeConfig.
        for part in ["**Before", "**After:**", "--from-file=node.yaml=node-config.yaml"] {
            assert!(readme.contains(part), "{name}/README.md: no {part}");
        }
        let agent = document(&example("cluster/node-config.yaml"));
        let (map, namespace) = (&agent["metadata"]["name"], &agent["metadata"]["namespace"]);
        let apply = format!(
            "kubectl --namespace {} create configmap {} --from-file=node.yaml=",
            namespace.as_str().unwrap(),
            map.as_str().unwrap()
        );
        assert!(readme.contains(&apply), "{name}/README.md: {apply}");
        // The command that tries it names a node and a resource of it.
        let plan = readme.lines().find_map(|line| line.strip_prefix("$ virt-tailor node plan ")).expect("a plan");
        let after = |option: &str| plan.split(' ').skip_while(|word| *word != option).nth(1).expect(option);
        let config =
            NodeConfig::read(name, &text(&example(name).join(after("--config")))).unwrap_or_else(|why| panic!("{why}"));
        let here = config.for_node(after("--node-name"));
        assert!(here.resource(after("--resource")).is_some(), "{name}/README.md: {plan}");
    }
}

/// Where a heading is linked to, as forges have it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept: String = kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == ' ').collect();
    kept.replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    let others = ["../README.md", "../docs/kubevirt.md", "../images/README.md"].map(example);
    let mut anchors = 0;
    for path in all("README.md").into_iter().chain(others) {
        let page = text(&path);
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            if !place.is_empty() {
                let target = text(&target);
                let mut headings = target.lines().filter(|line| line.starts_with('#')).map(anchor);
                assert!(headings.any(|heading| heading == place), "{}: {link}", path.display());
                anchors += 1;
            }
        }
    }
    assert!(anchors >= 5, "only {anchors}");
}
