//! The five procedures: `examples/<scenario>/before` comes out as `imported/`, and `node-config.yaml`, which a person finished, is valid and
//! selects what the files were about.

use std::collections::BTreeSet;
use std::fs;

use virt_tailor::config::node::{Kind, NodeConfig, PrepareStep};

use crate::goldens::{compare, run};
use crate::places::root;

pub(crate) const SCENARIOS: [&str; 5] =
    ["gpu-workstation", "pci-passthrough", "vgpu-desktop", "dpdk-worker", "low-latency-nic"];

#[test]
fn every_before_is_imported_as_shown() {
    let mut wrong = Vec::new();
    for name in SCENARIOS {
        let folder = root().join("examples").join(name);
        let made = run(&folder, "before", name, &[]).unwrap();
        wrong.extend(compare(&folder.join("imported"), &made, &[]));
    }
    assert!(wrong.is_empty(), "{}\nif this is meant: UPDATE_GOLDEN=1 cargo test --test import", wrong.join("\n"));
}

fn finished(name: &str) -> NodeConfig {
    let text = fs::read_to_string(root().join("examples").join(name).join("node-config.yaml")).unwrap();
    assert!(!text.contains("fill-in"), "{name}");
    NodeConfig::read(name, &text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Nobody has to write more than what import could not know: the finished document does what the imported one does.
#[test]
fn the_finished_document_has_what_was_imported() {
    for name in SCENARIOS {
        let text = fs::read_to_string(root().join("examples").join(name).join("imported/node-config.yaml")).unwrap();
        let imported = NodeConfig::read(name, &text).unwrap();
        let finished = finished(name);
        let kinds = |config: &NodeConfig| -> BTreeSet<String> {
            config.spec.resources.iter().map(|one| format!("{:?}", one.target.kind())).collect()
        };
        assert!(kinds(&imported).is_subset(&kinds(&finished)), "{name}");
        let steps = |config: &NodeConfig| -> Vec<PrepareStep> {
            config.spec.resources.iter().flat_map(|one| one.prepare.clone()).collect()
        };
        for step in steps(&imported) {
            let same = |other: &PrepareStep| std::mem::discriminant(other) == std::mem::discriminant(&step);
            assert!(steps(&finished).iter().any(same), "{name}: {step:?}");
        }
    }
}

#[test]
fn each_scenario_asks_for_its_own() {
    let gpu = finished("gpu-workstation").for_node("workstation-1");
    assert!(
        gpu.resource("nvidia.com/GEFORCE_RTX_3080").is_some() && gpu.resource("amd.com/XHCI_USB3_Controller").is_some()
    );
    let vgpu = finished("vgpu-desktop").for_node("vgpu-1");
    assert_eq!(vgpu.resource("nvidia.com/GRID_T4_1Q").unwrap().target.kind(), Kind::Mdev);
    let dpdk = finished("dpdk-worker").for_node("dpdk-1");
    assert!(dpdk.resources.iter().any(|one| one.target.kind() == Kind::Sriov));
    let nic = finished("low-latency-nic").for_node("trading-1");
    assert!(nic.resource("solarflare.com/x2522").unwrap().prepare.len() >= 2);
    assert!(finished("pci-passthrough").for_node("anywhere").resource("nvidia.com/TU104GL_Tesla_T4").is_some());
}
