//! Ownership units and lock domains of small machines.

use std::collections::BTreeSet;

use super::groups::Groups;
use super::pci::Pci;
use super::testing::Tree;
use super::topology::{
    ResetReach, bus_reset_set, lock_domain, lock_domains, ownership_unit, ownership_units, reset_reach, slot_mates,
};
use crate::base::PciAddress;

const PORT: &str = "pci0000:00/0000:00:01.0";

fn at(address: &str) -> PciAddress {
    address.parse().unwrap()
}

fn text(set: &BTreeSet<PciAddress>) -> String {
    set.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn texts(sets: &[BTreeSet<PciAddress>]) -> Vec<String> {
    sets.iter().map(text).collect()
}

/// A machine with a root port, on whose bus everything else is put.
fn machine() -> Tree {
    Tree::new().pci("pci0000:00", "0000:00:01.0", "0x060400", 0x81).group(1, "pci0000:00", "0000:00:01.0")
}

fn views(tree: &Tree) -> (Pci, Groups) {
    (Pci::read(&tree.root()).unwrap(), Groups::read(&tree.root()).unwrap())
}

/// A function below the port, in a group of its own by this number, with these reset methods (none: no file).
fn function(tree: Tree, address: &str, group: u32, methods: &str) -> Tree {
    let tree = tree.pci(PORT, address, "0x020000", 0).group(group, PORT, address);
    if methods.is_empty() { tree } else { tree.file(&format!("sys/devices/{PORT}/{address}/reset_method"), methods) }
}

#[test]
fn how_far_a_reset_reaches() {
    let tree = function(machine(), "0000:01:00.0", 2, "flr bus\n");
    let tree = function(tree, "0000:01:00.1", 3, "bus\n");
    let tree = function(tree, "0000:01:00.2", 4, "");
    let tree = function(tree, "0000:01:00.3", 5, "").file(&format!("sys/devices/{PORT}/0000:01:00.3/reset"), "");
    let tree = function(tree, "0000:01:00.4", 6, "\n");
    let tree = tree.pci("pci0000:00", "0000:00:1f.0", "0x060100", 0);
    let (pci, _) = views(&tree);
    let reach = |address: &str| reset_reach(pci.get(at(address)).unwrap());
    assert_eq!(reach("0000:01:00.0"), ResetReach::Function);
    assert_eq!(reach("0000:01:00.1"), ResetReach::Bus);
    assert_eq!(reach("0000:01:00.2"), ResetReach::Bus, "VFIO can reset the bus");
    assert_eq!(reach("0000:01:00.3"), ResetReach::Unknown, "a kernel before 5.15");
    assert_eq!(reach("0000:01:00.4"), ResetReach::Bus, "somebody has switched off all methods");
    assert_eq!(reach("0000:00:1f.0"), ResetReach::Nothing, "a root bus has no reset");
}

#[test]
fn functions_with_a_reset_of_their_own_have_different_owners() {
    let tree = function(machine(), "0000:01:00.0", 2, "flr\n");
    let (pci, groups) = views(&function(tree, "0000:01:00.1", 3, "pm bus\n"));
    assert_eq!(text(&ownership_unit(&pci, &groups, at("0000:01:00.0"))), "0000:01:00.0");
    assert_eq!(texts(&ownership_units(&pci, &groups)), ["0000:01:00.0", "0000:01:00.1"], "and bridges have none");
    assert_eq!(text(&lock_domain(&pci, &groups, at("0000:01:00.1"))), "0000:01:00.0 0000:01:00.1", "but one slot");
    assert_eq!(text(&slot_mates(&pci, at("0000:01:00.0"))), "0000:01:00.1");
}

#[test]
fn one_without_joins_all_it_would_reset() {
    let tree = function(machine(), "0000:01:00.0", 2, "flr\n");
    let tree = function(tree, "0000:01:00.1", 3, "flr\n");
    let (pci, groups) = views(&function(tree, "0000:01:00.2", 4, ""));
    let all = "0000:01:00.0 0000:01:00.1 0000:01:00.2";
    for address in all.split(' ') {
        assert_eq!(text(&ownership_unit(&pci, &groups, at(address))), all, "whoever asks");
    }
    assert_eq!(text(&bus_reset_set(&pci, at("0000:01:00.0"))), all);
}

#[test]
fn a_group_draws_in_the_groups_its_reset_reaches() {
    // Two cards behind an old bridge of the conventional kind: 02:00 alone in a group with 03:00, which resets by its own bus.
    let tree = machine()
        .pci("pci0000:00", "0000:00:02.0", "0x060400", 1)
        .pci("pci0000:00/0000:00:02.0", "0000:02:00.0", "0x030000", 0)
        .group(9, "pci0000:00/0000:00:02.0", "0000:02:00.0");
    let tree = function(tree, "0000:01:00.0", 9, "bus\n");
    let (pci, groups) = views(&function(tree, "0000:01:01.0", 8, "flr\n"));
    assert_eq!(
        text(&ownership_unit(&pci, &groups, at("0000:01:01.0"))),
        "0000:01:00.0 0000:01:01.0 0000:02:00.0",
        "01:00.0 resets its bus, and shares a group with 02:00.0"
    );
}

#[test]
fn a_bus_reset_reaches_below_inner_bridges() {
    // A graphics card with a switch of its own: its root port's bus holds nothing but the switch.
    let switch = "pci0000:00/0000:00:01.0/0000:01:00.0";
    let below = "pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:00.0";
    let tree = machine()
        .pci(PORT, "0000:01:00.0", "0x060400", 1)
        .pci(switch, "0000:02:00.0", "0x060400", 1)
        .pci(below, "0000:03:00.0", "0x030000", 0)
        .pci(below, "0000:03:00.1", "0x040300", 0)
        .pci(PORT, "0000:01:00.1", "0x088000", 0);
    let (pci, groups) = views(&tree);
    assert_eq!(text(&bus_reset_set(&pci, at("0000:03:00.0"))), "0000:03:00.0 0000:03:00.1");
    assert_eq!(text(&bus_reset_set(&pci, at("0000:01:00.1"))), "0000:01:00.1 0000:03:00.0 0000:03:00.1");
    assert_eq!(lock_domains(&pci, &groups).len(), 1);
    assert!(ownership_unit(&pci, &groups, at("0000:01:00.0")).is_empty(), "a bridge is nobody's");
    assert!(bus_reset_set(&pci, at("0000:00:01.0")).is_empty(), "on a root bus");
}

/// A physical function with two virtual ones.
fn sriov() -> Tree {
    let tree = function(machine(), "0000:01:00.0", 2, "flr\n")
        .file(&format!("sys/devices/{PORT}/0000:01:00.0/sriov_totalvfs"), "8\n")
        .file(&format!("sys/devices/{PORT}/0000:01:00.0/sriov_drivers_autoprobe"), "1\n");
    ["0000:01:10.0", "0000:01:10.2"].iter().enumerate().fold(tree, |tree, (number, vf)| {
        let group = u32::try_from(number).unwrap() + 10;
        function(tree, vf, group, "flr\n")
            .link(&format!("sys/devices/{PORT}/{vf}/physfn"), "../0000:01:00.0")
            .link(&format!("sys/devices/{PORT}/0000:01:00.0/virtfn{number}"), &format!("../{vf}"))
    })
}

#[test]
fn virtual_functions_have_owners_of_their_own_and_one_lock() {
    let (pci, groups) = views(&sriov());
    assert_eq!(texts(&ownership_units(&pci, &groups)), ["0000:01:00.0", "0000:01:10.0", "0000:01:10.2"]);
    assert_eq!(text(&lock_domain(&pci, &groups, at("0000:01:10.2"))), "0000:01:00.0 0000:01:10.0 0000:01:10.2");
    let physical = pci.get(at("0000:01:00.0")).unwrap().sriov.as_ref().unwrap();
    assert_eq!((physical.total_vfs, physical.drivers_autoprobe), (8, Some(true)));
    assert_eq!(physical.vfs[&1], at("0000:01:10.2"));
}

#[test]
fn a_neighbour_without_reset_does_not_draw_in_virtual_functions() {
    let (pci, groups) = views(&function(sriov(), "0000:01:00.1", 3, "bus\n"));
    assert_eq!(texts(&ownership_units(&pci, &groups)), ["0000:01:00.0 0000:01:00.1", "0000:01:10.0", "0000:01:10.2"]);
}

#[test]
fn virtual_functions_of_one_group_have_one_owner() {
    // Without ACS on the way: all in the group of the port, the bridge included.
    let tree = sriov()
        .link("sys/kernel/iommu_groups/20/devices/0000:01:10.0", "x")
        .link("sys/kernel/iommu_groups/20/devices/0000:01:10.2", "x")
        .link("sys/kernel/iommu_groups/20/devices/0000:00:01.0", "x");
    let (pci, groups) = views(&tree);
    assert_eq!(text(&ownership_unit(&pci, &groups, at("0000:01:10.0"))), "0000:01:10.0 0000:01:10.2");
}

#[test]
fn what_is_not_there_is_in_nothing() {
    let (pci, groups) = views(&machine());
    assert!(ownership_unit(&pci, &groups, at("0000:99:00.0")).is_empty());
    assert!(lock_domain(&pci, &groups, at("0000:99:00.0")).is_empty());
}
