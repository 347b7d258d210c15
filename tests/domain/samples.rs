//! Every sample that KubeVirt sends with every built-in profile: `tests/golden/samples/<profile>/<sample>.diff`.
//!
//! Each sample comes alone, with its VMI, and (where a host was captured for it) with both. Outcomes that are equal are told once.
//! The VMI's own annotations ask for profiles too, so the diff with the VMI may have more in it.

use std::fs;
use std::path::Path;
use std::process::Command;

use virt_tailor::config::BUILT_IN;

use crate::common::host_tree;
use crate::support::{Asked, Golden, changes, diff, host, sorted, soundness, tests, vm};

/// Samples whose host devices are those of a captured host.
const HOSTS: [(&str, &str); 3] =
    [("gpu-workstation", "workstation-rebar"), ("dpdk-worker", "telco"), ("sfc-onload", "onload")];

/// Names of the samples: `gpu-workstation.pass1` and so on.
fn samples() -> Vec<(String, Vec<u8>)> {
    let paths = sorted(&tests("data/kubevirt")).into_iter().filter(|path| path.extension().is_some_and(|e| e == "xml"));
    let samples: Vec<_> =
        paths.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())).collect();
    assert_eq!(samples.len(), 30);
    samples
}

fn host_of(sample: &str) -> Option<&'static str> {
    let vm = sample.split('.').next().unwrap_or_default();
    HOSTS.iter().find(|(name, _)| *name == vm).map(|(_, host)| *host)
}

/// What comes of it, as a text: the diff and the changes, or the error.
fn outcome(asked: &Asked, input: &[u8], name: &str, golden: &mut Golden) -> String {
    match asked.run(input) {
        Ok(outcome) => {
            if let Err(what) = soundness(asked, input, &outcome) {
                golden.wrong(format!("{name}: {what}"));
            }
            format!("{}{}", diff(input, &outcome.bytes), changes(&outcome))
        }
        Err(error) => format!("refused: {error}\n"),
    }
}

#[test]
fn every_sample_with_every_built_in() {
    let mut golden = Golden::default();
    for (profile, _) in BUILT_IN {
        for (sample, input) in samples() {
            let vmi = tests("data/kubevirt").join(format!("{}.vmi.json", sample.split('.').next().unwrap()));
            let mut told: Vec<(String, String)> = Vec::new();
            let mut ways = vec![("alone", false, None), ("with its VMI", true, None)];
            ways.extend(host_of(&sample).map(|host| ("with its VMI and host", true, Some(host))));
            for (label, with_vm, with_host) in ways {
                let asked =
                    Asked { vm: with_vm.then(|| vm(&vmi)), host: with_host.map(host), ..Asked::built_in(profile) };
                let outcome = outcome(&asked, &input, &format!("{profile}/{sample}, {label}"), &mut golden);
                match told.iter_mut().find(|(_, known)| *known == outcome) {
                    Some((labels, _)) => *labels = format!("{labels}; {label}"),
                    None => told.push((label.to_owned(), outcome)),
                }
            }
            let text: String = told.iter().map(|(label, outcome)| format!("=== {label}\n{outcome}")).collect();
            golden.expect(&tests("golden/samples").join(profile).join(format!("{sample}.diff")), Some(&text));
        }
    }
    golden.done();
}

/// A migration target is answered as it came, whatever is asked: only an error would matter there.
#[test]
fn a_migration_target_comes_back_even_with_a_broken_profile() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken.yaml");
    fs::write(&broken, "spec: [").unwrap();
    let run = |input: &Path, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_virt-tailor"));
        command.arg("mutate").arg("--domain").arg(input).args(arguments).output().unwrap()
    };
    let targets =
        sorted(&tests("data/kubevirt")).into_iter().filter(|path| path.to_string_lossy().ends_with(".target.xml"));
    let mut count = 0;
    for target in targets {
        let bytes = fs::read(&target).unwrap();
        let vmi = target.to_string_lossy().replace(".target.xml", ".vmi.json");
        for arguments in [
            &["--profile", broken.to_str().unwrap()][..],
            &["--profile", "there-is-none", "--set", "nonsense"],
            &["--profile", "gpu-workstation", "--vmi", &vmi],
            &["--set", "viommu.model=intel", "--vmi", "/there/is/none"],
        ] {
            let output = run(&target, arguments);
            assert!(output.status.success(), "{}: {output:?}", target.display());
            assert_eq!(output.stdout, bytes, "{}", target.display());
        }
        count += 1;
    }
    assert_eq!(count, 6);
}

/// The captured hosts go with the samples: every host device of such a sample is on its host.
#[test]
fn hosts_have_the_devices_of_their_samples() {
    for (sample, name) in HOSTS {
        let root = host_tree::unpack(name);
        let facts = virt_tailor::host::read_pci(root.path()).unwrap();
        let xml = fs::read_to_string(tests("data/kubevirt").join(format!("{sample}.pass2.xml"))).unwrap();
        let sources: Vec<String> = xml
            .split("<source>")
            .skip(1)
            .filter_map(|rest| {
                let tag = rest.trim_start().strip_prefix("<address domain=\"0x0000\" bus=\"0x")?;
                let mut parts = tag.split("\"0x").map(|part| part.split('"').next().unwrap_or_default());
                Some(format!("0000:{}:{}.{}", parts.next()?, parts.next()?, parts.next()?))
            })
            .collect();
        assert!(!sources.is_empty(), "{sample}");
        for source in sources {
            assert!(facts.pci.contains_key(&source.parse().unwrap()), "{sample}: {source} is not on {name}");
        }
    }
}
