//! "When it does not start": what stands there as ours, or as KubeVirt's in a rehearsal, is really said.

use std::collections::BTreeSet;

use tokio::task::JoinSet;
use virt_tailor::kubevirt::hook::{HookError, one_line};
use virt_tailor::kubevirt::launcher::CollectError;

use crate::pages::{page, table};
use crate::raw::{DEFINE, Sent, call, dial, status};
use crate::rig::{Sidecar, sample, vmi};

/// The messages of a page's table.
fn rows(path: &str) -> Vec<String> {
    let first = |row: Vec<String>| row.into_iter().next().unwrap();
    table(&page(path), "## When it does not start").into_iter().map(first).collect()
}

/// Whether a message is what a row shows, where `…` stands for anything.
fn fits(message: &str, shown: &str) -> bool {
    let mut rest = message;
    for (at, part) in shown.split('…').map(str::trim).enumerate() {
        let Some(found) = rest.find(part) else {
            return false;
        };
        if at == 0 && found > 0 {
            return false;
        }
        rest = &rest[found + part.len()..];
    }
    // What does not end in an ellipsis ends there, but for more of the same kind after a semicolon, and words of advice.
    shown.ends_with('…') || rest.is_empty() || rest.starts_with([';', ':', ',', ' '])
}

/// A message of the sidecar's, provoked.
async fn refusal(domain: String, vmi: String) -> String {
    Sidecar::start(&[]).define(domain, vmi).await.unwrap_err().message().to_owned()
}

/// What the sidecar says to callers that are no KubeVirt, and to those beside them.
async fn refusals_unread() -> BTreeSet<String> {
    let sidecar = Sidecar::start(&[]);
    let mut calls = JoinSet::new();
    let mut caller = |path: &'static str, body: Sent| {
        let socket = sidecar.socket();
        calls.spawn(async move {
            let answer = call(&mut dial(&socket).await, path, body).await.ok()?;
            Some(status(&answer).1)
        });
    };
    caller("/grpc.health.v1.Health/Check", Sent::message(&[]));
    caller(DEFINE, Sent::message(&[0x0a, 0x7f]));
    caller(DEFINE, Sent::part(1000, 10, false));
    // Each keeps all memory for a second, for nothing, and no one waits for it longer than ten.
    for _ in 0..14 {
        caller(DEFINE, Sent::part(15 << 20, 1000, false));
    }
    calls.join_all().await.into_iter().flatten().collect()
}

#[tokio::test]
async fn every_message_that_the_pages_show_as_ours_is_given() {
    let asking = |key: &str, value: &str| vmi("plain", &[(key, value)]);
    let plain = || sample("plain.pass1.xml");
    let gpu = |pass: &str, annotations: &[(&str, &str)]| {
        refusal(sample(&format!("gpu-workstation.{pass}.xml")), vmi("gpu-workstation", annotations))
    };
    let mut said = vec![
        refusal(plain(), asking("virt-tailor.io/profiles", "gpu-workstatoin")).await,
        refusal(plain(), asking("domain.virt-tailor.io/memory.nosharepage", "on")).await,
        refusal(plain(), asking("virt-tailor.io/domain", "hostDevices: [{device: gpu7, bootOrder: 1}]")).await,
        gpu(
            "pass1",
            &[(
                "virt-tailor.io/domain",
                "hostDevices: [{device: gpu0, address: \"0000:10:00.0\"}, {device: usb, address: \"0000:10:00.0\"}]",
            )],
        )
        .await,
        gpu("pass2", &[("virt-tailor.io/domain", "hostDevices: [{device: gpu0, address: \"0000:00:1f.2\"}]")]).await,
        refusal(plain(), asking("virt-tailor.io/profiles", "low-latency")).await,
        refusal(plain(), asking("domain.virt-tailor.io/viommu.model", "smmuv3")).await,
        refusal(
            plain().replacen("<devices>", &format!("<!--{}--><devices>", " ".repeat(4_190_000)), 1),
            vmi("plain", &[]),
        )
        .await,
        // What cannot be provoked: a mistake of ours.
        format!("virt-tailor: {}", one_line(&HookError::Bug("a panic".to_owned()).to_string())),
    ];
    said.extend(refusals_unread().await);
    let shown: BTreeSet<String> = ["README.md", "docs/kubevirt.md"]
        .iter()
        .flat_map(|page| rows(page))
        .filter_map(|row| Some(row.strip_prefix('`')?.strip_suffix('`')?.to_owned()))
        // A row may show several.
        .flat_map(|row| row.split("`, `").map(str::to_owned).collect::<Vec<_>>())
        .filter(|row| row.starts_with("virt-tailor:"))
        .collect();
    assert_eq!(shown.len(), said.len(), "{shown:#?}");
    for row in &shown {
        assert!(said.iter().any(|message| fits(message, row)), "nothing says {row}\n{said:#?}");
    }
    for message in &said {
        assert!(shown.iter().any(|row| fits(message, row)), "no page knows {message}\n{shown:#?}");
    }
}

/// The words of KubeVirt that a rehearsal uses are those of the page.
#[test]
fn kubevirts_words_are_the_same_in_rehearsals() {
    let page = page("docs/kubevirt.md");
    let pod = [CollectError::Timeout(None), CollectError::Version(Vec::new())].map(|error| error.to_string());
    for words in pod {
        let begin = words.split('.').next().unwrap();
        assert!(page.contains(&format!("`{begin}`")), "{begin}");
    }
}

#[test]
fn ellipses_stand_for_anything_and_nothing_else_does() {
    assert!(fits("virt-tailor: a: no profile is called \"x\": there are", "virt-tailor: … no profile is called \"…\""));
    assert!(fits("virt-tailor: x needs y", "virt-tailor: … needs …"));
    assert!(!fits("virt-tailor: x needed y", "virt-tailor: … needs …"));
    assert!(!fits("so: virt-tailor: x needs y", "virt-tailor: … needs …"));
    assert!(!fits("virt-tailor: a b", "virt-tailor: … b … c"));
}
