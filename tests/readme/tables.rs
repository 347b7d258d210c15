//! Tables: whole, and the front page says nothing that the page behind it does not say.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use clap::Parser as _;
use virt_tailor::cli::Cli;
use virt_tailor::config::domain_profile_schema;
use virt_tailor::kubevirt::launcher::Release;

use crate::pages::{page, table};

/// The minor versions of a cell such as `1.2 – 1.5` or `1.6, 1.7`.
fn minors(cell: &str) -> Vec<u8> {
    let minor = |version: &str| version.trim().strip_prefix("1.").unwrap().parse::<u8>().unwrap();
    match cell.split_once('–') {
        Some((first, last)) => (minor(first)..=minor(last)).collect(),
        None if cell.starts_with("main") => Vec::new(),
        None => cell.split(',').map(minor).collect(),
    }
}

#[test]
fn every_version_has_its_row_and_works_if_it_can_be_rehearsed() {
    for (path, heading) in [("README.md", "## Versions of KubeVirt"), ("docs/kubevirt.md", "## Versions")] {
        let rows = table(&page(path), heading);
        let mut seen = Vec::new();
        for row in &rows {
            let [versions, works, limit] = <&[String; 3]>::try_from(row.as_slice()).unwrap();
            assert!(limit.len() > 20, "{path}: {versions} has no reason");
            for minor in minors(versions) {
                let plays = Release::from_str(&format!("1.{minor}")).is_ok();
                assert_eq!(works == "works", plays, "{path}: 1.{minor}");
                seen.push(minor);
            }
        }
        assert_eq!(seen, (0..=9).collect::<Vec<u8>>(), "{path}");
        assert!(rows.last().unwrap()[0].starts_with("main"), "{path}");
    }
}

#[test]
fn the_front_page_knows_no_message_that_the_other_page_does_not() {
    let first = |path| -> BTreeSet<String> {
        let rows = table(&page(path), "## When it does not start");
        rows.into_iter().map(|row| row.into_iter().next().unwrap()).collect()
    };
    let (front, all) = (first("README.md"), first("docs/kubevirt.md"));
    assert!(front.len() >= 12, "{front:?}");
    assert_eq!(front.difference(&all).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn what_can_be_asked_for_is_every_section_of_the_schema() {
    let schema = serde_json::to_value(domain_profile_schema()).unwrap();
    let known: BTreeSet<String> =
        schema["$defs"]["DomainProfile"]["properties"].as_object().unwrap().keys().cloned().collect();
    let rows = table(&page("README.md"), "## What can be asked for");
    let word = |text: &str| text.trim_matches(['`', ' ']).split(['[', ':']).next().unwrap().to_owned();
    let shown: BTreeSet<String> = rows.iter().flat_map(|row| row[0].split(',')).map(word).collect();
    assert_eq!(shown, known);
}

#[test]
fn the_arguments_of_the_sidecar_are_known_to_it() {
    for row in table(&page("docs/kubevirt.md"), "### What the sidecar's arguments are for") {
        let argument =
            row[0].trim_matches('`').replace("NAME", "low-latency").replace("PATH=VALUE", "viommu.model=intel");
        let words = ["virt-tailor", "sidecar"].into_iter().chain(argument.split(' '));
        assert!(Cli::try_parse_from(words).is_ok(), "{argument}");
    }
}
