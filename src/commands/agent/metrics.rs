//! OpenMetrics (https://openmetrics.io, text format 1.0): numbers by resource; what comes from outside never is a label.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::agent::Status;

/// All metrics, as text.
pub(super) fn text(status: &Status, quarantines: usize) -> String {
    let mut by_resource: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    for device in status.devices.values() {
        let counts = by_resource.entry(&device.resource).or_default();
        let is = [true, device.unhealthy.is_none(), device.promised.is_some(), device.held];
        for (count, is) in counts.iter_mut().zip(is) {
            *count += usize::from(is);
        }
    }
    let gauges = [
        ("virt_tailor_devices", "Devices that kubelet is shown."),
        ("virt_tailor_devices_healthy", "Of these, those that may be given to a pod."),
        ("virt_tailor_devices_promised", "Of these, those that a pod was promised and that are not free yet."),
        ("virt_tailor_devices_held", "Of these, those for which the node was changed."),
    ];
    let mut text = String::new();
    for (index, (name, help)) in gauges.into_iter().enumerate() {
        head(&mut text, name, "gauge", help);
        for (resource, counts) in &by_resource {
            let _ = writeln!(text, "{name}{{resource=\"{resource}\"}} {}", counts[index]);
        }
    }
    head(&mut text, "virt_tailor_refusals", "counter", "How often a device was not given when its container started.");
    for (resource, count) in &status.refusals {
        let _ = writeln!(text, "virt_tailor_refusals_total{{resource=\"{resource}\"}} {count}");
    }
    for (name, help, value) in [
        ("virt_tailor_quarantines", "Processes of ours that hang in the kernel.", quarantines),
        ("virt_tailor_plans", "Plans under way.", status.tasks.len()),
        ("virt_tailor_not_made", "Virtual functions and mediated devices that could not be made.", status.unmade.len()),
        (
            "virt_tailor_configuration_problems",
            "A configuration that is not in force; what of it has nothing on this node, or does not fit it.",
            status.problems.len(),
        ),
    ] {
        head(&mut text, name, "gauge", help);
        let _ = writeln!(text, "{name} {value}");
    }
    text.push_str("# EOF\n");
    text
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# TYPE {name} {kind}\n# HELP {name} {help}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::DeviceStatus;

    #[test]
    fn numbers_by_resource() {
        let device = |unhealthy: Option<&str>| DeviceStatus {
            resource: "example.com/gpu".to_owned(),
            value: "0000:01:00.0".to_owned(),
            group: Some(1),
            unhealthy: unhealthy.map(str::to_owned),
            promised: None,
            held: true,
            pod: None,
        };
        let mut status = Status::default();
        status.devices.insert("0000:01:00.0-00000001".parse().unwrap(), device(None));
        status.devices.insert("0000:02:00.0-00000001".parse().unwrap(), device(Some("in use")));
        status.refusals.insert("example.com/gpu".to_owned(), 7);
        let text = text(&status, 1);
        for line in [
            "virt_tailor_devices{resource=\"example.com/gpu\"} 2",
            "virt_tailor_devices_healthy{resource=\"example.com/gpu\"} 1",
            "virt_tailor_devices_promised{resource=\"example.com/gpu\"} 0",
            "virt_tailor_refusals_total{resource=\"example.com/gpu\"} 7",
            "virt_tailor_quarantines 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
