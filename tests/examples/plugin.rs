//! The plugin route: three objects that must agree, and a warning that nobody can miss.

use serde_json::{Value, json};

use crate::cel::{applied, holds};
use crate::files::{document, documents, example, text};
use crate::kinds::assert_known;
use crate::manifests::sidecar;

#[test]
fn policy_plugin_and_vm_agree() {
    let plugin = document(&example("plugin-route/plugin.yaml"));
    let name = plugin["metadata"]["name"].as_str().unwrap();
    let [hook] = <&[Value; 1]>::try_from(plugin["spec"]["domainHooks"].as_array().unwrap().as_slice()).unwrap();
    assert_eq!(hook["sidecar"]["socketPath"], format!("/var/run/kubevirt-plugin/{name}/virt-tailor.sock"));
    assert!(plugin["spec"]["condition"].is_null(), "KubeVirt checks and runs it with different vocabularies");

    let [policy, binding] = <[Value; 2]>::try_from(documents(&example("plugin-route/policy.yaml"))).unwrap();
    assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
    let [mutation] = <&[Value; 1]>::try_from(policy["spec"]["mutations"].as_array().unwrap().as_slice()).unwrap();
    let applied = applied(mutation["applyConfiguration"]["expression"].as_str().unwrap()).unwrap();
    let [container] =
        <&[Value; 1]>::try_from(applied["spec"]["initContainers"].as_array().unwrap().as_slice()).unwrap();
    let arguments: Vec<String> = serde_json::from_value(container["args"].clone()).unwrap();
    assert_eq!(sidecar(&arguments).plugin.unwrap().as_str(), name);
    let [mount] = <&[Value; 1]>::try_from(container["volumeMounts"].as_array().unwrap().as_slice()).unwrap();
    assert_eq!(mount["mountPath"], format!("/var/run/kubevirt-plugin/{name}"));
    assert_eq!(mount["subPath"], name);
    // What the policy applies is part of a pod, and all of it is known there.
    let mut pod = applied.clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"] = json!({});
    pod["spec"]["containers"] = json!([]);
    assert_known("the pod", &pod);
    assert_eq!(container["restartPolicy"], "Always", "or the VM would wait for its end");
    // The container comes once.
    let [once] = <&[Value; 1]>::try_from(policy["spec"]["matchConditions"].as_array().unwrap().as_slice()).unwrap();
    let once = once["expression"].as_str().unwrap();
    let other = json!({ "spec": { "initContainers": [{ "name": "other" }] } });
    for (object, expected) in [(&json!({ "spec": {} }), true), (&other, true), (&applied, false)] {
        assert_eq!(holds(once, &[("object", object)]), Ok(expected), "{object}");
    }

    let vm = document(&example("plugin-route/vm.yaml"));
    let metadata = &vm["spec"]["template"]["metadata"];
    assert!(metadata["annotations"]["hooks.kubevirt.io/hookSidecars"].is_null(), "never both ways");
    let selected = policy["spec"]["matchConstraints"]["objectSelector"]["matchLabels"].as_object().unwrap();
    for (label, value) in selected.iter().filter(|(label, _)| *label != "kubevirt.io") {
        assert_eq!(metadata["labels"][label], *value);
        // With the names of Go's fields, as KubeVirt's evaluator for domains has them.
        let condition = hook["condition"].as_str().unwrap();
        let labelled = |labels: &Value| holds(condition, &[("vmi", &json!({ "Labels": labels }))]);
        assert_eq!(labelled(&json!({ label: value })), Ok(true));
        assert_eq!(labelled(&json!({})), Ok(false));
    }
    assert_eq!(selected["kubevirt.io"], "virt-launcher");
    // Such a VM would not start.
    let devices = &vm["spec"]["template"]["spec"]["domain"]["devices"];
    assert!(devices["gpus"].is_null() && devices["hostDevices"].is_null());
}

#[test]
fn the_warning_comes_first() {
    let readme = text(&example("plugin-route/README.md"));
    let warning = readme.lines().find(|line| !line.is_empty() && !line.starts_with('#')).unwrap();
    assert!(warning.starts_with("> **Do not apply this"), "{warning}");
    assert!(text(&example("plugin-route/plugin.yaml")).starts_with("# Read README.md first"));
}
