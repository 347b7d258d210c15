//! Objects of a cluster that say how its nodes run: PerformanceProfile, KubeletConfig.

use crate::base::ByteSize;
use crate::config::tree::Node;
use crate::import::action::Action;
use crate::import::place::Place;
use crate::import::verdict::Verdict;

use super::Reading;
use super::arguments::words;
use super::documents::{at, fields, is_empty, items, map, text, texts, told, yes};

/// PerformanceProfile (performance.openshift.io): CPUs, huge pages, kernel arguments.
pub(super) fn performance(node: &Node, place: &Place, reading: &mut Reading<'_>) {
    let Some(spec) = map(node, "spec", place, reading) else {
        reading.malformed(
            &at(node, place),
            "a PerformanceProfile without spec: it has cpu, hugepages and additionalKernelArgs there",
        );
        return;
    };
    let annotations = node.get("metadata").and_then(|metadata| metadata.get("annotations"));
    for (key, place, value) in fields(annotations, place) {
        // What the operator makes of it goes to kubelet or to TuneD.
        if key.contains("experimental") || key.starts_with("performance.openshift.io/") {
            let said = format!("{key}: {}", told(value));
            reading.unclear(&place, &said, "what the operator makes of this annotation is not read here");
        }
    }
    for (field, place, node) in fields(Some(spec), place) {
        let said = format!("{field}: {}", told(node));
        match field.as_str() {
            "cpu" | "hugepages" => match map(spec, &field, &place, reading) {
                Some(node) if field == "cpu" => cpus(node, &place, reading),
                Some(node) => pages(node, &place, reading),
                None => {}
            },
            "additionalKernelArgs" => {
                for (place, argument) in texts(spec, "additionalKernelArgs", &place, reading) {
                    words(&place, &argument, reading);
                }
            }
            "realTimeKernel" if yes(node, "enabled") => {
                let why = "another kernel is booted: no device or VM needs it, hard real time may";
                reading.found(&place, &said, Action::Told(Verdict::stays(why)));
            }
            "globallyDisableIrqLoadBalancing" if told(node) == "true" => reading.found(&place, &said, Action::IrqsAway),
            "numa" => {
                let why = "kubelet aligns CPUs, memory and devices when it places a pod, and reads that when it starts: no kernel argument";
                reading.found(&place, &said, Action::Told(Verdict::stays(why)));
            }
            "net" | "workloadHints" | "realTimeKernel" | "globallyDisableIrqLoadBalancing" | "hardwareTuning" => {
                let why = "the operator's own settings of the node: left as they are";
                reading.found(&place, &said, Action::Told(Verdict::aside(why)));
            }
            "nodeSelector" | "machineConfigPoolSelector" | "machineConfigLabel" => reading.idle += 1,
            _ => reading.unclear(&place, &said, "this field of a PerformanceProfile is not read here"),
        }
    }
}

fn cpus(node: &Node, place: &Place, reading: &mut Reading<'_>) {
    for (field, place, value) in fields(Some(node), place) {
        let said = format!("cpu.{field}: {}", told(value));
        match field.as_str() {
            "isolated" => reading.found(&place, &said, Action::Isolate(told(value))),
            "reserved" => {
                let why = "the CPUs that kubelet keeps for the node: it reads that when it starts, no kernel argument is needed";
                reading.found(&place, &said, Action::Told(Verdict::stays(why)));
            }
            _ => {
                let why = "how the operator takes CPUs apart at boot: no device or VM needs it";
                reading.found(&place, &said, Action::Told(Verdict::stays(why)));
            }
        }
    }
}

fn pages(node: &Node, place: &Place, reading: &mut Reading<'_>) {
    if let Some(size) = text(node, "defaultHugepagesSize") {
        let why = "only the size of pages that nobody names; a VM names its own (memory.hugepages.pageSize)";
        reading.found(
            &at(node, place),
            &format!("hugepages.defaultHugepagesSize: {size}"),
            Action::Told(Verdict::stays(why)),
        );
    }
    for page in items(node, "pages", place, reading) {
        let place = at(page, place);
        let said = format!("hugepages.pages: {}", told(page));
        let size = text(page, "size").and_then(|size| page_size(&size));
        let count = text(page, "count").and_then(|count| count.parse().ok());
        match (size, count) {
            (Some(size), Some(count)) => match text(page, "node").map(|node| node.parse()) {
                Some(Err(_)) => reading.unclear(&place, &said, "node is no number of a NUMA node"),
                node => {
                    let node = node.and_then(Result::ok);
                    reading.found(&place, &said, Action::Pages { size, count, node });
                }
            },
            _ => reading.malformed(&place, "huge pages without size and count: write size: 1G, count: 4"),
        }
    }
}

/// A size as the kernel has it: `2M`, `1G` are powers of two.
pub(in crate::import) fn page_size(text: &str) -> Option<ByteSize> {
    let text = text.trim();
    match text.strip_suffix(['M', 'G', 'K', 'm', 'g', 'k']) {
        Some(number) => format!("{number}{}i", text.chars().last()?.to_ascii_uppercase()).parse().ok(),
        None => text.parse().ok(),
    }
}

/// KubeletConfig (machineconfiguration.openshift.io), or kubelet's own KubeletConfiguration.
pub(super) fn kubelet(node: &Node, place: &Place, reading: &mut Reading<'_>) {
    let wrapped = node.get("spec").map(|spec| spec.get("kubeletConfig"));
    let config = match wrapped {
        Some(None) => {
            reading.malformed(
                &at(node, place),
                "a KubeletConfig without spec.kubeletConfig: kubelet's settings stand there",
            );
            return;
        }
        Some(config) => config,
        None => Some(node),
    };
    for (field, place, value) in fields(node.get("spec"), place) {
        if !["kubeletConfig", "machineConfigPoolSelector"].contains(&field.as_str()) && !is_empty(value) {
            let said = format!("{field}: {}", told(value));
            reading.found(&place, &said, Action::Told(Verdict::aside("kubelet's own setting: left as it is")));
        }
    }
    let all = fields(config, place);
    // Machines of OpenShift have CPUs reserved without a word (systemReserved of its own template).
    let reserved = wrapped.is_some()
        || all.iter().any(|(field, _, value)| {
            field == "reservedSystemCPUs" || (field.ends_with("Reserved") && value.get("cpu").is_some())
        });
    for (field, place, value) in all {
        let said = format!("{field}: {}", told(value));
        let verdict = match field.as_str() {
            "apiVersion" | "kind" | "metadata" => continue,
            "cpuManagerPolicy" if told(value) == "static" && !reserved => Verdict::never(
                "kubelet refuses to start with the static policy unless CPUs are reserved for the node: give reservedSystemCPUs",
            ),
            "cpuManagerPolicy"
            | "cpuManagerPolicyOptions"
            | "topologyManagerPolicy"
            | "topologyManagerScope"
            | "memoryManagerPolicy"
            | "reservedMemory"
            | "reservedSystemCPUs" => Verdict::stays(
                "kubelet reads it when it starts; without it no VM has CPUs of its own (dedicatedCpuPlacement). No kernel argument is needed",
            ),
            _ => Verdict::aside("kubelet's own setting: left as it is"),
        };
        reading.found(&place, &said, Action::Told(verdict));
    }
}
