//! The draft against a live node: is what it names there, and can it be handed over.

use std::collections::BTreeMap;

use crate::base::PciAddress;
use crate::config::node::{CompanionName, Companions, ModuleStep, PrepareStep, Resource, Target};
use crate::host::{Machine, PciDevice};

use super::Node;
use super::draft::Drafted;

/// What the node says, a line each.
pub(super) fn check(drafted: &Drafted, node: Node<'_>) -> Vec<String> {
    let machine = node.machine;
    let mut out = vec![format!("{}: {}", node.name, machine.iommu.sentence())];
    if let Some(argument) = machine.iommu.missing_argument() {
        out.push(format!("kernel argument missing: {argument}"));
    }
    out.extend(machine.iommu.interrupt_sentence().map(str::to_owned));
    out.extend(drafted.missing.iter().cloned());
    let mut taken: BTreeMap<PciAddress, &str> = BTreeMap::new();
    for (resource, _) in &drafted.resources {
        let devices = selected(machine, resource);
        for device in &devices {
            if let Some(other) = taken.insert(device.address(), resource.name.as_str()) {
                let what = "no device has two resources, take it out of one";
                out.push(format!("{}: {} is selected by {other}, too: {what}", resource.name, device.address()));
            }
        }
        if devices.is_empty() {
            out.push(format!("{}: its selector matches nothing here", resource.name));
        }
        for device in devices {
            out.push(format!("{}: {}", resource.name, self::device(machine, resource, device)));
        }
        out.extend(resource.prepare.iter().filter_map(|step| module(machine, step)));
    }
    out
}

/// The driver that had a device before vfio-pci could: it is built into the kernel, and vfio-pci is not.
pub(super) fn had_it_first<'m>(machine: &Machine, device: &'m PciDevice) -> Option<&'m str> {
    let driver = device.function.driver.as_deref()?;
    let first = machine.modules.has_built_in(driver) && !driver.contains("vfio");
    (first && !machine.modules.has_built_in("vfio-pci")).then_some(driver)
}

fn selected<'m>(machine: &'m Machine, resource: &Resource) -> Vec<&'m PciDevice> {
    let selector = &resource.selector;
    let fits = |device: &&PciDevice| {
        let function = &device.function;
        !function.is_bridge()
            && selector.vendor.is_none_or(|id| id.0 == function.vendor)
            && selector.device.is_none_or(|id| id.0 == function.device)
            && (selector.addresses.is_empty() || selector.addresses.contains(&device.address()))
    };
    machine.pci.functions.values().filter(fits).collect()
}

fn device(machine: &Machine, resource: &Resource, device: &PciDevice) -> String {
    let address = device.address();
    let function = &device.function;
    let mut out = format!("{address} {:04x}:{:04x}", function.vendor, function.device);
    match &function.driver {
        Some(driver) => {
            let how = match had_it_first(machine, device) {
                Some(_) => ", which is built into the kernel: ids= never had it",
                None => "",
            };
            out.push_str(&format!(", driver {driver}{how}"));
        }
        None => out.push_str(", no driver"),
    }
    match &resource.target {
        Target::Pci { companions, .. } => match machine.groups.of(address) {
            None => out.push_str("; in no IOMMU group: it cannot be handed over"),
            Some(group) => {
                let left: Vec<PciAddress> = group
                    .members
                    .iter()
                    .copied()
                    .filter(|other| *other != address && !goes_along(machine, companions, *other))
                    .collect();
                if !left.is_empty() {
                    let names: Vec<String> = left.iter().map(ToString::to_string).collect();
                    out.push_str(&format!("; its group has {} too: name them in companions", names.join(", ")));
                }
            }
        },
        Target::Sriov { functions, .. } => match device.sriov.as_ref().map(|sriov| sriov.total_vfs) {
            None => out.push_str("; it has no SR-IOV"),
            Some(most) if most < u32::from(functions.vfs) => {
                out.push_str(&format!("; it makes {most} functions at most"))
            }
            Some(_) => {}
        },
        Target::Mdev(_) if !device.mdev_capable => out.push_str("; it makes no mediated devices now"),
        Target::Vgpu(_) | Target::Mdev(_) => {}
    }
    out
}

/// Whether a member of the group is a bridge, or named as a companion.
fn goes_along(machine: &Machine, companions: &Companions, address: PciAddress) -> bool {
    let Some(device) = machine.pci.get(address) else { return true };
    if device.function.is_bridge() {
        return true;
    }
    match companions {
        Companions::Auto => true,
        Companions::Off => false,
        Companions::Only(names) => names.iter().any(|name| match name {
            CompanionName::Address(one) => *one == address,
            CompanionName::Ids { vendor, device: id } => {
                (device.function.vendor, device.function.device) == (*vendor, *id)
            }
        }),
    }
}

fn module(machine: &Machine, step: &PrepareStep) -> Option<String> {
    match step {
        PrepareStep::Module(ModuleStep::Swap(swap)) => {
            let known = machine.modules.0.get(swap.swap.as_str());
            match known {
                Some(module) if module.loaded.is_none() => {
                    Some(format!("module {} is built into the kernel: it cannot be exchanged", swap.swap))
                }
                Some(_) => None,
                None => Some(format!("module {} is not loaded now", swap.swap)),
            }
        }
        PrepareStep::Module(ModuleStep::Parameter(set)) => {
            let parameter =
                machine.modules.0.get(set.parameter.module.as_str())?.parameters.get(set.parameter.name.as_str())?;
            (!parameter.writable).then(|| {
                format!(
                    "parameter {} of {} cannot be set while the module is loaded",
                    set.parameter.name, set.parameter.module
                )
            })
        }
        _ => None,
    }
}
