use super::*;
use crate::config::node::NodeConfig;
use crate::host::testing::Tree;

const ROOT: &str = "pci0000:00";

/// Two GPUs with their sound in groups of their own, and one NIC.
fn tree() -> Tree {
    let mut tree = Tree::new().file("sys/class/iommu/dmar0/x", "");
    for (address, class, group) in [
        ("0000:01:00.0", "0x030000", 1),
        ("0000:01:00.1", "0x040300", 1),
        ("0000:02:00.0", "0x030000", 2),
        ("0000:02:00.1", "0x040300", 2),
        ("0000:03:00.0", "0x020000", 3),
    ] {
        tree = tree.pci(ROOT, address, class, 0).group(group, ROOT, address);
    }
    tree
}

fn config(resources: &str) -> Effective {
    let text = format!(
        "apiVersion: virt-tailor.io/v1alpha1\nkind: NodeConfig\nmetadata: {{name: n}}\nspec:\n  resources:\n{resources}"
    );
    NodeConfig::read("node.yaml", &text).unwrap().for_node("n")
}

fn inventory(tree: &Tree, resources: &str) -> Inventory {
    let root = tree.root();
    let site = Site::read(&root).unwrap();
    Inventory::of(&site, &root, &config(resources), &Ledger::default()).unwrap()
}

#[test]
fn one_id_for_one_ownership_unit() {
    let inventory = inventory(
        &tree(),
        "  - {name: example.com/gpu, selector: {vendor: \"8086\", class: \"03\"}, companions: auto}\n",
    );
    assert_eq!(inventory.problems, [""; 0]);
    let ids: Vec<&str> = inventory.units.keys().map(DeviceId::as_str).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert!(ids[0].starts_with("0000:01:00.0-"));
    let unit = &inventory.units[&ids[0].parse().unwrap()];
    assert_eq!((unit.group, unit.value().as_str()), (Some(1), "0000:01:00.0"));
    assert_eq!(unit.companions, ["0000:01:00.1".parse().unwrap()].into());
}

#[test]
fn what_both_functions_of_a_group_fit_is_still_one() {
    let all = "  - {name: example.com/gpu, selector: {address: [\"0000:01:00.0\", \"0000:01:00.1\"]}, companions: auto, nodes: [n]}\n";
    let inventory = inventory(&tree(), all);
    assert_eq!(inventory.units.len(), 1);
    assert_eq!(inventory.problems, [""; 0]);
}

#[test]
fn two_resources_that_meet_are_named_both() {
    let two = "  - {name: example.com/gpu, selector: {class: \"0300\"}, companions: auto}\n\
               \x20 - {name: example.com/sound, selector: {class: \"0403\"}, companions: auto}\n";
    let inventory = inventory(&tree(), two);
    assert_eq!(inventory.units.len(), 2);
    assert_eq!(inventory.problems.len(), 2, "{:?}", inventory.problems);
    let wanted =
        "resources example.com/gpu and example.com/sound: 0000:01:00.1 and 0000:01:00.0 cannot have two owners";
    assert!(inventory.problems[0].starts_with(wanted));
    let same = "  - {name: example.com/gpu, selector: {class: \"0200\"}}\n\
                \x20 - {name: example.com/nic, selector: {vendor: \"8086\", class: \"02\"}}\n";
    let problems = self::inventory(&tree(), same).problems;
    assert_eq!(problems, ["resources example.com/gpu and example.com/nic: 0000:03:00.0 is selected by both"]);
}

#[test]
fn an_id_does_not_depend_on_the_resource_or_the_group() {
    let one = inventory(&tree(), "  - {name: example.com/a, selector: {class: \"02\"}}\n");
    let renumbered = Tree::new().pci(ROOT, "0000:03:00.0", "0x020000", 0).group(7, ROOT, "0000:03:00.0");
    let other = inventory(&renumbered, "  - {name: example.com/b, selector: {vendor: \"8086\"}}\n");
    assert_eq!(one.units.keys().collect::<Vec<_>>(), other.units.keys().collect::<Vec<_>>());
    assert_eq!(other.units.values().next().unwrap().group, Some(7));
}

#[test]
fn what_is_owned_stays_though_it_is_no_longer_named() {
    let before = inventory(&tree(), "  - {name: example.com/nic, selector: {class: \"02\"}}\n");
    let id = before.units.keys().next().unwrap().clone();
    let mut after = Inventory::default();
    after.keep(&before, &[id.clone()].into());
    assert!(after.units[&id].refusal.as_deref().unwrap().contains("no longer in the configuration"));
}
