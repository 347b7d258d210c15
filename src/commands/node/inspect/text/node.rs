//! What is to be said of the node as a whole.

use crate::base::ByteSize;
use crate::host::{Availability, FirmwareFramebuffer, HugepagePool, InterruptRemapping, IommuState, Lockdown};

use super::super::report::{Report, Verdict};
use super::super::words::{count, names};
use super::lines::Page;

/// Whether the node is ready, and what that rests on.
pub(super) fn headline(page: &mut Page, report: &Report) {
    let machine = &report.machine;
    let interrupts = match machine.iommu.interrupt_remapping {
        InterruptRemapping::On => "interrupts are remapped",
        InterruptRemapping::Off => "interrupts are not remapped",
        InterruptRemapping::Unsupported => "interrupts cannot be remapped here",
        InterruptRemapping::Unknown => "whether interrupts are remapped is not known",
    };
    match report.reasons.as_slice() {
        [] => page.broken("ready: ", 2, &format!("{}; {interrupts}", machine.iommu.sentence())),
        [one] => page.broken("not ready: ", 2, one),
        many => {
            page.line(&format!("not ready, for {} reasons:", many.len()));
            for reason in many {
                page.broken("  - ", 4, reason);
            }
        }
    }
    page.line("");
    let iommu = match machine.iommu.state {
        IommuState::Absent => "none",
        IommuState::PresentButOff => "off",
        IommuState::On => "on",
        IommuState::Identity => "on, in pass-through mode for the host's own devices",
        IommuState::Unknown => "not known",
    };
    let interrupts = if machine.iommu.works() { format!("; {interrupts}") } else { String::new() };
    let units =
        if machine.iommu.units.is_empty() { String::new() } else { format!(" ({})", names(&machine.iommu.units, 4)) };
    page.broken("  IOMMU    ", 11, &format!("{iommu}{units}{interrupts}"));
    let lockdown = match machine.kernel.lockdown {
        None => "",
        Some(Lockdown::None) => "; no lockdown",
        Some(Lockdown::Integrity) => "; lockdown: integrity",
        Some(Lockdown::Confidentiality) => "; lockdown: confidentiality",
    };
    let release = machine.kernel.release.as_deref().unwrap_or("of unknown release");
    page.broken("  kernel   ", 11, &format!("{release}{lockdown}"));
    let vfio = [("vfio-pci", machine.vfio.pci), ("vfio_iommu_type1", machine.vfio.iommu_type1)];
    let vfio: Vec<String> = vfio.iter().map(|(name, is)| format!("{name} {}", availability(*is))).collect();
    page.broken("  VFIO     ", 11, &vfio.join(", "));
    let kvm = match machine.kvm {
        Some(true) => "yes",
        Some(false) => "no: there is no /dev/kvm",
        None => "not known: /dev cannot be seen",
    };
    page.line(&format!("  KVM      {kvm}"));
    page.broken("  devices  ", 11, &summary(report));
}

fn availability(is: Availability) -> &'static str {
    match is {
        Availability::Loaded => "is loaded",
        Availability::BuiltIn => "is built in",
        Availability::Loadable => "can be loaded",
        Availability::Missing => "is missing",
        Availability::Unknown => "is not loaded",
    }
}

/// How many devices there are of each verdict.
fn summary(report: &Report) -> String {
    let of = |verdict| report.units.iter().filter(|device| device.verdict == verdict).count();
    let words = [
        (Verdict::Free, "can be handed over"),
        (Verdict::WithCompanions, "with others of their group"),
        (Verdict::Vfio, "with VFIO already"),
        (Verdict::Stays, "stay with the host"),
    ];
    let each: Vec<String> = words
        .iter()
        .filter(|(verdict, _)| of(*verdict) > 0)
        .map(|(verdict, words)| format!("{} {words}", of(*verdict)))
        .collect();
    let colon = if each.is_empty() { "" } else { ": " };
    format!("{}{colon}{}", report.units.len(), each.join(", "))
}

/// Memory and huge pages of each NUMA node.
pub(super) fn memory(page: &mut Page, report: &Report) {
    let numa = &report.machine.numa;
    if numa.nodes.is_empty() && numa.hugepages.is_empty() {
        return;
    }
    page.heading("NUMA nodes, with their huge pages");
    for (id, node) in &numa.nodes {
        let mut parts = vec![match node.cpus.0.len() {
            0 => "no CPUs".to_owned(),
            cpus => format!("{} ({})", count(cpus, "CPU"), node.cpus),
        }];
        if let (Some(free), Some(total)) = (node.memory_free, node.memory_total) {
            parts.push(format!("{} of {} free", gib(free), gib(total)));
        }
        parts.extend(node.hugepages.iter().map(pool));
        page.broken(&format!("  node {id}   "), 11, &parts.join("; "));
    }
    if numa.nodes.is_empty() {
        let pools: Vec<String> = numa.hugepages.iter().map(pool).collect();
        page.broken("  all      ", 11, &pools.join("; "));
    }
}

fn pool((size, pool): (&u64, &HugepagePool)) -> String {
    let size = ByteSize::bytes(*size);
    if pool.total == 0 {
        format!("no pages of {size}")
    } else {
        format!("{} of {} pages of {size} free", pool.free, pool.total)
    }
}

/// Memory as people know it, to a tenth of a GiB.
fn gib(bytes: u64) -> String {
    let tenths = bytes / ((1 << 30) / 10);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

/// What can be made on devices.
pub(super) fn made(page: &mut Page, report: &Report) {
    let machine = &report.machine;
    let physical: Vec<_> =
        machine.pci.functions.values().filter_map(|device| Some((device, device.sriov.as_ref()?))).collect();
    if !physical.is_empty() {
        page.heading("SR-IOV");
        for (device, sriov) in physical {
            let driver = device.function.driver.as_deref().unwrap_or("no driver");
            page.line(&format!(
                "  {}  {} of {} virtual functions ({driver})",
                device.address(),
                sriov.vfs.len(),
                sriov.total_vfs
            ));
        }
    }
    let made: Vec<_> = machine.virtual_devices.iter().filter(|(_, made)| !made.is_empty()).collect();
    if !made.is_empty() || !machine.mdevs.0.is_empty() {
        page.heading("mediated devices and vGPUs");
    }
    for (address, made) in made {
        for (id, kind) in &made.mdev_types {
            let name = kind.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
            let more = kind.available.map_or("how many more is not known".to_owned(), |more| format!("{more} more"));
            page.broken(&format!("  {address}  "), 16, &format!("{id}{name}: {more}"));
        }
        if let Some(nvidia) = &made.nvidia {
            let types: Vec<String> = nvidia.creatable.iter().map(|(id, name)| format!("{id} ({name})")).collect();
            let now = nvidia.current.map(|now| format!("is a vGPU of type {now}; ")).unwrap_or_default();
            let can = if types.is_empty() {
                "can become none".to_owned()
            } else {
                format!("can become {}", names(types, 12))
            };
            page.broken(&format!("  {address}  "), 16, &format!("{now}{can}"));
        }
    }
    if !machine.mdevs.0.is_empty() {
        page.line(&format!("  there are {} now", machine.mdevs.0.len()));
    }
}

/// Displays and consoles.
pub(super) fn display(page: &mut Page, report: &Report) {
    let (display, pci) = (&report.machine.display, &report.machine.pci);
    let lies = |framebuffer: &FirmwareFramebuffer| match (framebuffer.owner(pci), &framebuffer.driver) {
        (Some(owner), Some(driver)) => format!("{} in the memory of {owner}, drawn on by {driver}", framebuffer.device),
        (Some(owner), None) => format!("{} in the memory of {owner}, which nobody draws on", framebuffer.device),
        (None, _) => format!("{}, in the memory of no device", framebuffer.device),
    };
    let mut lines: Vec<String> = display
        .vtconsoles
        .iter()
        .map(|(id, console)| format!("vtcon{id} {}{}", console.name, if console.bound { ", in use" } else { "" }))
        .collect();
    lines.extend(display.firmware_framebuffers.iter().map(lies));
    let consoles: Vec<&String> = display.consoles.iter().filter(|one| one.enabled).map(|one| &one.name).collect();
    if !consoles.is_empty() {
        lines.push(format!("the kernel's messages go to {}", names(consoles, 8)));
    }
    if lines.is_empty() {
        return;
    }
    page.heading("displays and consoles");
    for line in lines {
        page.broken("  ", 4, &line);
    }
}

/// Notes.
pub(super) fn notes(page: &mut Page, report: &Report) {
    if report.notes.is_empty() {
        return;
    }
    page.heading("notes");
    for note in &report.notes {
        page.broken("  - ", 4, note);
    }
}
