//! All views at once: of captured hosts, and of the machine the tests run on, whatever it is.

use std::path::Path;

use virt_tailor::host::{Groups, Machine, Pci, Root, lock_domains, ownership_units};

use super::common::host_tree;

/// Every function is in one ownership unit, and no unit reaches beyond a lock domain: who locks the domain has all of it.
fn units_are_within_locks(pci: &Pci, groups: &Groups) {
    let (units, locks) = (ownership_units(pci, groups), lock_domains(pci, groups));
    let endpoints = pci.functions.values().filter(|device| !device.function.is_bridge()).count();
    assert_eq!(units.iter().map(std::collections::BTreeSet::len).sum::<usize>(), endpoints);
    assert_eq!(locks.iter().map(std::collections::BTreeSet::len).sum::<usize>(), endpoints);
    for unit in units {
        assert!(locks.iter().any(|lock| lock.is_superset(&unit)), "{unit:?}");
    }
}

#[test]
fn captured_hosts_have_all_views() {
    for name in host_tree::names() {
        let tree = host_tree::unpack(&name);
        let root = Root::new(tree.path());
        let machine = Machine::read(&root).unwrap();
        assert_eq!(machine.pci.facts(), virt_tailor::host::read_pci(tree.path()).unwrap(), "{name}");
        for (address, device) in &machine.pci.functions {
            assert_eq!(Pci::read_one(&root, *address).unwrap().as_ref(), Some(device), "{name}");
            // Lines of `resource` and the BARs among them are read apart.
            for bar in &device.function.bars {
                let line = device.resources.iter().find(|line| line.index == usize::from(bar.index)).unwrap();
                assert_eq!(line.size(), bar.size, "{name} {address}");
            }
        }
        units_are_within_locks(&machine.pci, &machine.groups);
    }
}

#[test]
fn a_captured_workstation() {
    let tree = host_tree::unpack("workstation");
    let machine = Machine::read(&Root::new(tree.path())).unwrap();
    let gpu = machine.pci.get("0000:0a:00.0".parse().unwrap()).unwrap();
    assert_eq!(gpu.place.as_ref().unwrap().bridge, Some("0000:00:03.1".parse().unwrap()));
    assert_eq!(gpu.vfio_device.as_deref(), Some("vfio0"));
    assert_eq!(machine.pci.owner_of(0xd000_0000, 0xd02f_ffff), Some(gpu.address()));
    let unit = virt_tailor::host::ownership_unit(&machine.pci, &machine.groups, gpu.address());
    let unit: Vec<String> = unit.iter().map(ToString::to_string).collect();
    assert_eq!(unit, ["0000:0a:00.0", "0000:0a:00.1"], "the audio function has no reset of its own");
}

/// Run with `--nocapture` to see the machine.
#[test]
fn this_machine_has_all_views() {
    let machine = match Machine::read(&Root::new("/")) {
        Ok(machine) => machine,
        // A sandbox may hide some of it; then that is what has to be said.
        Err(error) => return assert!(error.to_string().contains('/'), "{error}"),
    };
    println!("{}", serde_json::to_string_pretty(&machine).unwrap());
    println!("{}", machine.iommu.sentence());
    println!("{:?}", machine.iommu.interrupt_sentence());
    units_are_within_locks(&machine.pci, &machine.groups);
    if let Some(release) = fs_text("/proc/sys/kernel/osrelease") {
        assert_eq!(machine.kernel.release, Some(release));
    }
    for (id, console) in &machine.display.vtconsoles {
        assert_eq!(fs_text(&format!("/sys/class/vtconsole/vtcon{id}/name")).as_ref(), Some(&console.name));
    }
    for device in machine.pci.functions.values() {
        let in_group = machine.groups.of(device.address()).map(|group| group.id);
        assert_eq!(in_group, device.function.iommu_group, "{}", device.address());
    }
    if let Some(online) = fs_text("/sys/devices/system/cpu/online") {
        assert_eq!(machine.numa.cpus.online.to_string(), online);
    }
}

fn fs_text(path: &str) -> Option<String> {
    std::fs::read_to_string(Path::new(path)).ok().map(|text| text.trim().to_owned())
}
