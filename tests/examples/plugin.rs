//! The plugin route: three objects that must agree, and a warning that nobody can miss.

use serde_json::Value;

use crate::files::{document, documents, example, text};
use crate::manifests::sidecar;

/// What stands between two texts.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    text.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).map(|(found, _)| found).unwrap()
}

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
    let expression = mutation["applyConfiguration"]["expression"].as_str().unwrap();
    let arguments: Vec<String> = serde_json::from_str(&format!("[{}]", between(expression, "args: [", "]"))).unwrap();
    assert_eq!(sidecar(&arguments).plugin.unwrap().as_str(), name);
    assert_eq!(between(expression, "mountPath: \"", "\""), format!("/var/run/kubevirt-plugin/{name}"));
    assert_eq!(between(expression, "subPath: \"", "\""), name);
    for (open, close) in [('{', '}'), ('[', ']'), ('(', ')')] {
        assert_eq!(expression.matches(open).count(), expression.matches(close).count());
    }

    let vm = document(&example("plugin-route/vm.yaml"));
    let metadata = &vm["spec"]["template"]["metadata"];
    assert!(metadata["annotations"]["hooks.kubevirt.io/hookSidecars"].is_null(), "never both ways");
    let selected = policy["spec"]["matchConstraints"]["objectSelector"]["matchLabels"].as_object().unwrap();
    for (label, value) in selected.iter().filter(|(label, _)| *label != "kubevirt.io") {
        assert_eq!(metadata["labels"][label], *value);
        assert_eq!(hook["condition"], format!("\"{label}\" in vmi.Labels"));
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
