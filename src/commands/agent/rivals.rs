//! Others on the node who would hand out, or take back, the same devices. They are named; what they do is for an admin to end.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::node::Effective;
use crate::host::Root;

/// Names who is there.
pub(super) fn name(kubelet_root: &Path, root: &Root, config: &Effective) {
    let mut sockets = Vec::new();
    for folder in ["device-plugins", "plugins_registry"] {
        let entries = std::fs::read_dir(kubelet_root.join(folder)).into_iter().flatten().flatten();
        sockets.extend(entries.filter_map(|entry| entry.file_name().into_string().ok()));
    }
    for line in rivals(&sockets, root, config) {
        tracing::warn!(rival = line, "somebody else is at it");
    }
}

/// Who they are, a line each.
fn rivals(sockets: &[String], root: &Root, config: &Effective) -> Vec<String> {
    let mut lines = Vec::new();
    for resource in &config.resources {
        let name = resource.name.as_str();
        // KubeVirt: pkg/virt-handler/device-manager, "kubevirt-%s.sock" with '/' as '-'.
        let kubevirt = format!("kubevirt-{}.sock", name.replace('/', "-"));
        // sriov-network-device-plugin: pkg/resources/server.go, "<prefix>_<name>.sock".
        let sriov = format!("{}.sock", name.replace('/', "_"));
        for socket in sockets {
            if *socket == kubevirt {
                lines.push(format!(
                    "KubeVirt hands out {name} itself ({socket}): set externalResourceProvider: true for it in permittedHostDevices"
                ));
            } else if *socket == sriov {
                lines.push(format!(
                    "the SR-IOV network device plugin hands out {name} ({socket}): take it out of its configuration"
                ));
            }
        }
    }
    let gpu_operator = |socket: &&String| socket.starts_with("nvidia-") || socket.contains("kubevirt-gpu");
    if let Some(socket) = sockets.iter().find(gpu_operator) {
        lines.push(format!(
            "a device plugin of NVIDIA's is there ({socket}): give this node's GPUs to one of the two, by the label nvidia.com/gpu.deploy.operands or by selectors"
        ));
    }
    // sriov-network-operator: pkg/consts, SriovConfBasePath and "pci" below it: a file for each physical function it manages.
    // In a container it is the host's that counts.
    let managed: BTreeSet<String> =
        root.seen().iter().flat_map(|root| root.names("etc/sriov-operator/pci").unwrap_or_default()).collect();
    for pf in managed {
        lines.push(format!(
            "sriov-network-operator manages {pf}: virtual functions of it are not for this program to make"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::node::NodeConfig;
    use crate::host::testing::Tree;

    #[test]
    fn they_are_named() {
        let text = "apiVersion: virt-tailor.io/v1alpha1\nkind: NodeConfig\nmetadata: {name: n}\nspec:\n  resources:\n\
                    \x20 - {name: example.com/gpu, selector: {class: \"03\"}}\n";
        let config = NodeConfig::read("node.yaml", text).unwrap().for_node("n");
        let tree = Tree::new().file("etc/sriov-operator/pci/0000:3b:00.0", "{}");
        let sockets: Vec<String> =
            ["kubevirt-example.com-gpu.sock", "kubevirt-kvm.sock", "nvidia-gpu.sock", "example.com_gpu.sock"]
                .map(str::to_owned)
                .into();
        let lines = rivals(&sockets, &tree.root(), &config);
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[0].starts_with("KubeVirt hands out example.com/gpu itself"));
        assert!(lines[3].contains("0000:3b:00.0"));
    }
}
