//! What somebody made large on purpose: it is refused or fitted in time, and no message steers a terminal.

use std::collections::BTreeMap;

use virt_tailor::config::{Profiles, Request as Asked, resolve};
use virt_tailor::domain::{Domain, LibvirtMode, Request, check, mutate};
use virt_tailor::kubevirt::VmView;

/// Whether a line can be shown as it is: nothing in it moves the cursor, breaks the line or turns the direction of text.
fn is_plain(line: &str) -> bool {
    !line.chars().any(|c| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

fn asked(annotations: &[(&str, String)]) -> Asked {
    let annotations: BTreeMap<_, _> = annotations.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    Asked { annotations, ..Asked::default() }
}

#[test]
fn long_lists_and_maps_are_refused() {
    let many = |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(", ");
    for inline in [
        format!("qemu: {{args: [{}]}}", many(300, &|i| format!("\"-a{i}\""))),
        format!("cpu: {{features: {{{}}}}}", many(300, &|i| format!("f{i}: require"))),
        format!("qemu: {{env: {{{}}}}}", many(300, &|i| format!("E{i}: x"))),
        format!("hostDevices: [{}]", many(300, &|i| format!("{{device: d{i}}}"))),
    ] {
        let problems = resolve(&asked(&[("virt-tailor.io/domain", inline)]), &Profiles::built_in()).unwrap_err();
        assert!(problems.to_string().contains("too many: at most 256"), "{problems}");
    }
}

#[test]
fn long_names_cost_nothing() {
    let name = "a".repeat(100_000);
    let problems = resolve(&asked(&[("virt-tailor.io/profiles", name.clone())]), &Profiles::built_in()).unwrap_err();
    assert!(problems.to_string().len() < 10_000);
    let inline = format!("hostDevices: [{{device: {name}}}]");
    let problems = resolve(&asked(&[("virt-tailor.io/domain", inline)]), &Profiles::built_in()).unwrap_err();
    assert!(problems.to_string().len() < 10_000);
}

#[test]
fn messages_steer_no_terminal() {
    let evil = "x\u{1b}[2J\u{1b}]0;t\u{7}\u{202e}\u{2028}";
    let problems =
        resolve(&asked(&[(&format!("virt-tailor.io/{evil}\n"), "y".to_owned())]), &Profiles::built_in()).unwrap_err();
    assert!(problems.to_string().lines().all(is_plain), "{problems}");
    let gpu = serde_json::json!({ "name": evil, "deviceName": "a/b" });
    let vmi = serde_json::json!({ "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "a"},
        "spec": {"domain": {"devices": {"gpus": [gpu]}}} });
    let vm = VmView::parse(&vmi.to_string()).unwrap().facts();
    let asked = Asked { sets: vec!["hostDevices.nosuch.rom.bar=off".to_owned()], ..Asked::default() };
    let profile = resolve(&asked, &Profiles::built_in()).unwrap();
    let request =
        Request { profile: &profile, vm: Some(&vm), host: None, libvirt: LibvirtMode::Auto, lock_confirmed: false };
    let domain =
        |inner: &str| Domain::parse(format!("<domain type='kvm'><devices>{inner}</devices></domain>")).unwrap();
    let refusal = mutate(domain(""), &request).unwrap_err();
    assert!(refusal.problems.iter().all(|line| is_plain(line)), "{refusal}");
    // What is in the document reaches the list of changes.
    let asked = Asked { sets: vec!["devices.video=none".to_owned()], ..Asked::default() };
    let profile = resolve(&asked, &Profiles::built_in()).unwrap();
    let outcome = mutate(domain("<video a='1&#10;2\u{202e}'/>"), &Request { profile: &profile, ..request }).unwrap();
    assert!(!outcome.changes.is_empty());
    assert!(outcome.changes.iter().all(|change| is_plain(&change.what)), "{:?}", outcome.changes);
}

#[test]
fn findings_have_an_end() {
    let devices: String = (0..3000).map(|_| "<hostdev type='pci'><boot order='0'/></hostdev>").collect();
    let domain = Domain::parse(format!("<domain type='kvm'><devices>{devices}</devices></domain>")).unwrap();
    let findings = check(domain.document(), true);
    assert_eq!(findings.len(), 101);
    assert_eq!(findings[100].message, "and more than these 100");
}
