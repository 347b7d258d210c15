//! The agent's manifests: what they mount is what it needs, and what they say it knows.

use std::collections::BTreeSet;

use clap::Parser as _;
use serde_json::Value;
use virt_tailor::cli::Cli;
use virt_tailor::config::node::NodeConfig;

use crate::files::{document, example, text};

fn daemon_set() -> Value {
    document(&example("cluster/daemonset.yaml"))
}

fn container() -> Value {
    daemon_set()["spec"]["template"]["spec"]["containers"][0].clone()
}

/// The NodeConfig that the ConfigMap brings.
pub(crate) fn node_config() -> String {
    let map = document(&example("cluster/node-config.yaml"));
    map["data"]["node.yaml"].as_str().unwrap().to_owned()
}

#[test]
fn the_daemon_set_says_what_the_program_knows() {
    let arguments: Vec<String> = serde_json::from_value(container()["args"].clone()).unwrap();
    let all = std::iter::once("virt-tailor".to_owned()).chain(arguments);
    Cli::try_parse_from(all).unwrap();
}

#[test]
fn the_agent_sees_of_the_node_what_it_must_and_no_more() {
    let pod = &daemon_set()["spec"]["template"]["spec"];
    for (field, wanted) in [("hostPID", true), ("hostNetwork", true), ("automountServiceAccountToken", false)] {
        assert_eq!(pod[field], wanted, "{field}");
    }
    let volumes = pod["volumes"].as_array().unwrap().clone();
    let container = container();
    let mounts = container["volumeMounts"].as_array().unwrap();
    let name = |one: &Value| one["name"].as_str().unwrap().to_owned();
    assert_eq!(
        mounts.iter().map(name).collect::<BTreeSet<_>>(),
        volumes.iter().map(name).collect::<BTreeSet<_>>(),
        "what is mounted is there, and what is there is mounted"
    );
    for mount in mounts {
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
        if let Some(path) = volume["hostPath"]["path"].as_str() {
            assert_eq!(mount["mountPath"], path, "under the same name as on the node");
        }
        let read_only = ["/lib/modules", "/var/log/pods", "/etc/virt-tailor", "/var/lib/kubelet/plugins_registry"]
            .contains(&mount["mountPath"].as_str().unwrap());
        assert_eq!(mount["readOnly"] == true, read_only, "{mount}");
        let pods = mount["mountPath"] == "/var/lib/kubelet/pods";
        assert_eq!(mount["mountPropagation"] == "HostToContainer", pods, "{mount}");
        assert_eq!(mount["subPath"], Value::Null, "a file mounted so is never changed");
    }
}

/// Below kubelet's folder, as the sources name it.
#[test]
fn what_the_agent_asks_of_kubelet_is_mounted() {
    let container = container();
    let mounts: BTreeSet<&str> = container["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["mountPath"].as_str().unwrap())
        .collect();
    let folders = [
        ("src/kubelet/pods.rs", "pods-api/"),
        ("src/kubelet/pods.rs", "pods/"),
        ("src/kubelet/pods.rs", "pod-resources/"),
        ("src/commands/agent/rivals.rs", "plugins_registry"),
        ("src/commands/agent/life.rs", "device-plugins"),
    ];
    for (source, folder) in folders {
        assert!(text(&example("..").join(source)).contains(&format!("\"{folder}")), "{source} names {folder} no more");
        let path = format!("/var/lib/kubelet/{}", folder.trim_end_matches('/'));
        assert!(mounts.contains(path.as_str()), "{path}");
    }
}

/// The image's own user is KubeVirt's 107, who may write none of what the agent writes.
#[test]
fn the_agent_is_root() {
    let context = &container()["securityContext"];
    assert_eq!(*context, serde_json::json!({"privileged": true, "runAsUser": 0, "runAsGroup": 0}));
    let image = text(&example("../images/Containerfile"));
    assert!(image.lines().any(|line| line.starts_with("USER 107")), "then nobody need say it");
}

#[test]
fn there_is_one_on_every_node_and_no_two() {
    let set = daemon_set();
    assert_eq!(set["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"], 0);
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["tolerations"], serde_json::json!([{"operator": "Exists"}]));
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    let namespace = document(&example("cluster/namespace.yaml"));
    assert_eq!(namespace["metadata"]["name"], set["metadata"]["namespace"]);
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "privileged");
    let account = format!("system:serviceaccount:virt-tailor:{}", pod["serviceAccountName"].as_str().unwrap());
    let scc = document(&example("cluster/openshift/scc.yaml"));
    assert_eq!(scc["users"], serde_json::json!([account]));
}

#[test]
fn what_the_pod_tells_the_agent_about_itself_is_used() {
    let container = container();
    let arguments: Vec<String> = serde_json::from_value(container["args"].clone()).unwrap();
    let used = |name: &str| arguments.iter().any(|argument| argument.contains(&format!("$({name})")));
    let env = container["env"].as_array().unwrap();
    assert_eq!(env.len(), arguments.iter().map(|argument| argument.matches("$(").count()).sum::<usize>());
    for variable in env {
        assert!(used(variable["name"].as_str().unwrap()), "{variable}");
    }
}

/// The agent's file says `agent=true`, and of the others true or false (`commands::agent::features`).
#[test]
fn the_feature_rule_asks_for_what_the_agent_writes() {
    let source = text(&example("../src/commands/agent/features.rs"));
    let rule = document(&example("cluster/node-feature-discovery/rule.yaml"));
    let mut asked = 0;
    for rule in rule["spec"]["rules"].as_array().unwrap() {
        for matched in rule["matchFeatures"].as_array().unwrap() {
            assert_eq!(matched["feature"], "local.label");
            for (key, expression) in matched["matchExpressions"].as_object().unwrap() {
                let written = |value: &str| source.contains(&format!("{key}={value}\\n"));
                // As it is formatted, and as the test there has it.
                let varies = written("{iommu}") || written("{}");
                let values = expression["value"].as_array().unwrap();
                assert_eq!(expression["op"], "In");
                for value in values {
                    let value = value.as_str().unwrap();
                    assert!(written(value) || varies && ["true", "false"].contains(&value), "{key}={value}");
                    asked += 1;
                }
            }
        }
    }
    assert!(asked >= 1);
}

#[test]
fn the_probes_ask_where_the_agent_listens() {
    let container = container();
    let arguments: Vec<String> = serde_json::from_value(container["args"].clone()).unwrap();
    let at = arguments.iter().find_map(|one| one.strip_prefix("--metrics=")).unwrap();
    for probe in ["readinessProbe", "livenessProbe"] {
        let get = &container[probe]["httpGet"];
        assert_eq!(format!("{}:{}", get["host"].as_str().unwrap(), get["port"]), at, "{probe}");
    }
}

#[test]
fn what_virtual_machines_may_ask_for_is_what_the_agent_offers() {
    let config = NodeConfig::read("node-config.yaml", &node_config()).unwrap();
    let offered: BTreeSet<String> =
        config.spec.resources.iter().map(|resource| resource.name.as_str().to_owned()).collect();
    let patch = document(&example("cluster/kubevirt.yaml"));
    let devices = &patch["spec"]["configuration"]["permittedHostDevices"];
    let permitted: BTreeSet<String> = ["pciHostDevices", "mediatedDevices"]
        .into_iter()
        .flat_map(|list| devices[list].as_array().unwrap())
        .inspect(|device| assert_eq!(device["externalResourceProvider"], true, "{device}"))
        .map(|device| device["resourceName"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(permitted, offered);
}

/// virt-handler removes mediated devices of types that are not listed as somebody else's (KubeVirt issues #9037 and #9250), so each type
/// is listed, as the node's configuration calls it; and it is told to make and remove none at all.
#[test]
fn mediated_devices_are_the_agent_s_and_stay() {
    let patch = document(&example("cluster/kubevirt.yaml"));
    let kubevirt = &patch["spec"]["configuration"];
    let listed: BTreeSet<(String, String)> = kubevirt["permittedHostDevices"]["mediatedDevices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|device| {
            ["resourceName", "mdevNameSelector"].map(|field| device[field].as_str().unwrap().to_owned()).into()
        })
        .collect();
    let config: Value = serde_saphyr::from_str(&node_config()).unwrap();
    let resources = config["spec"]["resources"].as_array().unwrap();
    let made: BTreeSet<(String, String)> = resources
        .iter()
        .filter(|resource| resource["kind"] == "mdev")
        .map(|resource| {
            [&resource["name"], &resource["mdev"]["type"]].map(|one| one.as_str().unwrap().to_owned()).into()
        })
        .collect();
    assert!(!made.is_empty());
    assert_eq!(listed, made);
    assert_eq!(kubevirt["mediatedDevicesConfiguration"], serde_json::json!({"enabled": false}));
    let without_cluster = document(&example("enable-sidecar/kubevirt.yaml"));
    let devices = &without_cluster["spec"]["configuration"]["permittedHostDevices"]["mediatedDevices"];
    for device in devices.as_array().unwrap() {
        assert_eq!(device["externalResourceProvider"], true, "{device}");
    }
}

#[test]
fn the_kustomization_names_every_file_that_is_applied_together() {
    let kustomization = document(&example("cluster/kustomization.yaml"));
    for resource in kustomization["resources"].as_array().unwrap() {
        let path = example("cluster").join(resource.as_str().unwrap());
        assert!(path.exists(), "{}", path.display());
    }
    let image = container()["image"].as_str().unwrap().to_owned();
    let named = kustomization["images"][0]["name"].as_str().unwrap();
    assert!(image.starts_with(&format!("{named}:")), "{image}");
}

/// A Plugin object alone stops VMs, and a hook of a stop that fails keeps them from stopping.
#[test]
fn node_hooks_never_hold_up_a_stop_and_have_conditions_of_their_own() {
    let plugin = document(&example("cluster/node-hooks/plugin.yaml"));
    assert_eq!(plugin["spec"]["condition"], Value::Null);
    let mut points = Vec::new();
    for hook in plugin["spec"]["nodeHooks"].as_array().unwrap() {
        assert!(hook["condition"].is_string(), "{hook}");
        for point in hook["permittedHooks"].as_array().unwrap() {
            let point = point.as_str().unwrap();
            let stops = point.ends_with("VMStop");
            assert_eq!(hook["failureStrategy"] == "Ignore", stops, "{point}");
            points.push(point.to_owned());
        }
    }
    assert_eq!(points.len(), 7);
    let kustomization = text(&example("cluster/kustomization.yaml"));
    assert!(!kustomization.contains("node-hooks"), "off by default");
}
