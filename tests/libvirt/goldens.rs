//! Every success of `tests/golden/domain`, and every sample and adversarial document with every built-in profile: what libvirt takes
//! before, it takes after.
//!
//! The inputs are sent too. One that libvirt refuses itself says nothing about its output; `tests/golden/libvirt/refused-inputs.txt`
//! has these, each with libvirt's reason. `refused-outputs.txt` may only have what a newer libvirt takes; a new line there is a bug.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use virt_tailor::config::BUILT_IN;
use virt_tailor::domain::LibvirtMode;

use crate::accepts::{Output, Report, accepts};
use crate::embed::Libvirt;
use crate::golden::{asked, input};
use crate::inputs::data;
use crate::support::{Asked, Golden, host, sorted, tests, vm};

/// Samples whose host devices are those of a captured host.
const HOSTS: [(&str, &str); 3] =
    [("gpu-workstation", "workstation-rebar"), ("dpdk-worker", "telco"), ("sfc-onload", "onload")];

/// Cases that libvirt is not asked about. The first depends on the machine: whether its CPU has what the named model has. The others
/// have an `<interface type='hostdev'>`, at which virsh corrupts its memory when it writes the command line (a fault of libvirt's or of
/// our preload's; not found out), so that what it says then is worth nothing.
const NOT_ASKED: [&str; 3] =
    ["cpu-features-custom-model", "device-hostdev-interface", "memory-auto-viommu-mdev-and-interface"];

fn golden_outputs() -> Vec<Output> {
    let cases = sorted(&tests("golden/domain")).into_iter().filter(|case| {
        case.join("changes.txt").exists() && !NOT_ASKED.iter().any(|name| case.file_name().unwrap() == *name)
    });
    cases
        .map(|case| {
            let name = format!("golden/{}", case.file_name().unwrap().to_string_lossy());
            let before = input(&case);
            let after = asked(&case).run(&before).unwrap_or_else(|error| panic!("{name}: {error}")).bytes;
            Output { name, before, after }
        })
        .collect()
}

fn built_in_outputs() -> Vec<Output> {
    let mut out = Vec::new();
    let samples = data("kubevirt", |name| !name.contains(".target."));
    for (profile, _) in BUILT_IN {
        for sample in &samples {
            let stem = sample.name.split('.').next().unwrap();
            let vmi = tests("data/kubevirt").join(format!("{stem}.vmi.json"));
            let known = HOSTS.iter().find(|(name, _)| *name == stem);
            let asked = Asked {
                vm: Some(vm(&vmi)),
                host: known.map(|(_, name)| host(name)),
                libvirt: LibvirtMode::System,
                ..Asked::built_in(profile)
            };
            if let Ok(outcome) = asked.run(&sample.before) {
                let name = format!("{profile}/{}", sample.name);
                out.push(Output { name, before: sample.before.clone(), after: outcome.bytes });
            }
        }
        for document in data("adversarial", |_| true) {
            if let Ok(outcome) = Asked::built_in(profile).run(&document.before) {
                let name = format!("{profile}/adversarial/{}", document.name);
                out.push(Output { name, before: document.before, after: outcome.bytes });
            }
        }
    }
    out
}

/// Each different document once: `accepts` gets it under its first name.
fn inputs_of(outputs: &[Output]) -> (Vec<Output>, BTreeMap<Vec<u8>, String>) {
    let (mut inputs, mut names) = (Vec::new(), BTreeMap::new());
    for output in outputs {
        if !names.contains_key(&output.before) {
            names.insert(output.before.clone(), output.name.clone());
            inputs.push(Output { after: output.before.clone(), ..output.clone() });
        }
    }
    (inputs, names)
}

/// The refusals, with all outputs that come of the same input, one a line.
fn refused_text(report: &Report) -> String {
    let mut refused: Vec<_> = report.refused.iter().collect();
    refused.sort();
    refused.iter().fold(String::new(), |mut text, (name, stage, why)| {
        // xmllint names the file and line of this run's batch.
        let why = why.lines().next().unwrap_or_default();
        let why = why.split_once(".xml:").and_then(|(_, rest)| rest.split_once(": ")).map_or(why, |(_, rest)| rest);
        writeln!(text, "{name}: {stage:?}: {why}").unwrap();
        text
    })
}

#[test]
#[ignore = "needs libvirt 11 and QEMU"]
fn what_libvirt_takes_before_it_takes_after() {
    let libvirt = Libvirt::embed();
    let mut outputs = golden_outputs();
    outputs.extend(built_in_outputs());
    assert!(outputs.len() > 300, "only {} outputs", outputs.len());
    let (inputs, names) = inputs_of(&outputs);
    let before = accepts(&libvirt, &inputs);
    let mut golden = Golden::default();
    golden.expect(&tests("golden/libvirt/refused-inputs.txt"), Some(&refused_text(&before)));

    let refused: BTreeSet<&str> = before.refused.iter().map(|(name, ..)| name.as_str()).collect();
    let count = outputs.len();
    outputs.retain(|output| !refused.contains(names[&output.before].as_str()));
    let report = accepts(&libvirt, &outputs);
    println!("{} inputs: {:?}; {} of {count} outputs: {:?}", inputs.len(), before.took, outputs.len(), report.took);
    golden.expect(&tests("golden/libvirt/refused-outputs.txt"), Some(&refused_text(&report)));
    golden.done();
}
