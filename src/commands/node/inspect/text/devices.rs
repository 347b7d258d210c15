//! The devices, group by group, and what the resources make of them.

use crate::base::shown;
use crate::host::PciDevice;

use super::super::overrides::Override;
use super::super::report::{Device, Report, Verdict};
use super::super::rows::{Row, rows};
use super::super::words::{self, count, names};
use super::lines::Page;

/// Where the lines below a device begin.
const DETAIL: usize = 15;

/// The table.
pub(super) fn table(page: &mut Page, report: &Report) {
    let (rows, left_out) = rows(report);
    if rows.is_empty() {
        page.heading("there is no PCI device that could be handed over");
        return;
    }
    let one_node = report.machine.numa.nodes.len() < 2;
    page.heading(&format!(
        "group {}  device        {:23}{:11}{:16}verdict",
        if one_node { "    " } else { "node" },
        "what it is",
        "ids",
        "driver"
    ));
    for row in &rows {
        match row {
            Row::Group { id, devices, platform } => {
                for (index, device) in devices.iter().enumerate() {
                    let Some(function) = report.machine.pci.get(device.unit.primary) else { continue };
                    let group = id.filter(|_| index == 0).map(|id| id.to_string());
                    let group = group.unwrap_or_else(|| if id.is_none() { "-".to_owned() } else { String::new() });
                    line(page, report, &group, one_node, device, function);
                }
                if !platform.is_empty() {
                    let what =
                        if platform.len() == 1 { "1 bridge".to_owned() } else { format!("{} bridges", platform.len()) };
                    page.line(&format!("{:DETAIL$}(and {what} in this group)", ""));
                }
            }
            Row::Functions { ids, physical, devices } => functions(page, report, one_node, *ids, *physical, devices),
        }
    }
    if left_out > 0 {
        let grouped = report.machine.groups.0.is_empty();
        let what = if grouped { "bridge or the like" } else { "group of bridges and the like" };
        let what = match (left_out, grouped) {
            (1, _) => format!("1 {what} is"),
            (many, true) => format!("{many} bridges and the like are"),
            (many, false) => format!("{many} groups of bridges and the like are"),
        };
        page.line(&format!("({what} not shown)"));
    }
}

/// A device in a line, and what else there is to say below it.
fn line(page: &mut Page, report: &Report, group: &str, one_node: bool, device: &Device, function: &PciDevice) {
    let node = function.function.numa_node.filter(|_| !one_node).map(|node| node.to_string()).unwrap_or_default();
    let ids = format!("{:04x}:{:04x}", function.function.vendor, function.function.device);
    let driver = function.function.driver.as_deref().unwrap_or("-");
    let (mark, verdict) = verdict(report, device);
    let driver = shown(driver);
    page.line(&format!(
        "{group:>5} {node:>4}  {mark} {}  {:23}{ids:11}{driver:16}{verdict}",
        device.unit.primary,
        words::class(function)
    ));
    for detail in details(report, device) {
        page.broken(&" ".repeat(DETAIL), DETAIL + 2, &detail);
    }
}

/// Many virtual functions in a line.
fn functions(
    page: &mut Page,
    report: &Report,
    one_node: bool,
    ids: (Option<u32>, Option<u32>),
    physical: crate::base::PciAddress,
    devices: &[&Device],
) {
    let (Some(first), Some(last)) = (devices.first(), devices.last()) else { return };
    let Some(function) = report.machine.pci.get(first.unit.primary) else { return };
    let group = ids.0.map_or("-".to_owned(), |id| id.to_string());
    line(page, report, &group, one_node, first, function);
    let groups = match ids {
        (Some(_), Some(last)) => format!(" (groups up to {last})"),
        _ => String::new(),
    };
    page.broken(
        &" ".repeat(DETAIL),
        DETAIL + 2,
        &format!(
            "and so are {} more virtual functions of {physical}, up to {}{groups}",
            devices.len() - 1,
            last.unit.primary
        ),
    );
}

/// The verdict in a few words, with a mark.
fn verdict(report: &Report, device: &Device) -> (char, String) {
    match device.verdict {
        Verdict::Free => ('+', "can be handed over".to_owned()),
        Verdict::WithCompanions => match device.unit.companions.iter().collect::<Vec<_>>().as_slice() {
            [one] => ('+', format!("goes with {one}")),
            many => ('+', format!("goes with {} others", many.len())),
        },
        Verdict::Vfio if device.is_offerable() => ('*', "with VFIO, free".to_owned()),
        Verdict::Vfio => ('*', "with VFIO, taken".to_owned()),
        Verdict::Stays => match words::everywhere(report, device) {
            Some(_) => ('-', "stays: see above".to_owned()),
            None => ('-', "stays".to_owned()),
        },
    }
}

/// What else there is to say, a line each.
fn details(report: &Report, device: &Device) -> Vec<String> {
    let mut lines = Vec::new();
    if words::everywhere(report, device).is_none() {
        lines.extend(device.unit.refusals.first().cloned());
    }
    if device.unit.companions.len() > 1 || (device.verdict == Verdict::Vfio && !device.unit.companions.is_empty()) {
        lines.push(format!("goes with {}", names(&device.unit.companions, 8)));
    }
    if device.owner.is_some() || !device.held_by.is_empty() {
        let owner = device.owner.as_ref().map(|owner| format!("prepared for {owner}"));
        let held = (!device.held_by.is_empty()).then(|| format!("open in {}", names(&device.held_by, 3)));
        lines.push([owner, held].into_iter().flatten().collect::<Vec<_>>().join("; "));
    }
    if let Some(resource) = &device.resource {
        lines.push(format!("resource {resource}"));
    }
    if !device.needs.is_empty() {
        lines.push(format!("a resource for it needs {}", device.needs.join("; ")));
    }
    match &device.driver_override {
        None => (),
        Some(Override::Set(driver)) => lines.push(format!("override {driver}")),
        Some(Override::Unknown(why)) => lines.push(format!("override not known: {why}")),
    }
    lines
}

/// What the resources select.
pub(super) fn resources(page: &mut Page, report: &Report) {
    let Some(resources) = &report.resources else { return };
    page.heading(if resources.is_empty() { "the configuration has no resource for this node" } else { "resources" });
    for one in resources {
        let devices = match one.devices.len() {
            0 => "selects no device of this node".to_owned(),
            _ => format!("{} to hand over now, of {}", one.offerable, names(&one.devices, 4)),
        };
        page.broken(&format!("  {}: ", one.name), 6, &devices);
        for why in one.refusals.iter().take(3) {
            page.broken("      ", 8, why);
        }
        if let Some(more) = one.refusals.len().checked_sub(4) {
            page.line(&format!("      {} more", count(more + 1, "device") + " with nothing to offer"));
        }
    }
    for overlap in &report.overlaps {
        page.broken(
            "  error: ",
            9,
            &format!(
                "{} is selected by {}: make sure that one resource selects it",
                overlap.device,
                overlap.resources.join(" and by ")
            ),
        );
    }
}
