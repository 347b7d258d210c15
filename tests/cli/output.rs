//! What is written where.

use std::fs;
use std::path::Path;

use crate::run::{DOMAIN, Place};

const FIT: &str = "mutate --domain domain.xml --profile mine.yaml";

#[test]
fn standard_output_is_the_document_and_nothing_else() {
    let place = Place::new();
    let ran = place.run(&format!("{FIT} --set memory.hardLimit=auto --libvirt session"));
    assert_eq!(ran.code, 0);
    assert!(ran.out.starts_with("<domain") && ran.out.ends_with("</domain>\n"), "{}", ran.out);
    assert!(ran.err.starts_with("note: memory.hardLimit"), "{}", ran.err);
    // What is printed is what the list of changes is about.
    assert!(ran.out.contains("<iommu model='intel'>"));
}

#[test]
fn a_file_gets_what_standard_output_would() {
    let place = Place::new();
    let printed = place.run(FIT);
    let ran = place.run(&format!("{FIT} -o out.xml"));
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    assert_eq!(fs::read_to_string(place.path("out.xml")).unwrap(), printed.out);
    for (option, file) in [("--diff", "out.diff"), ("--changes", "out.txt"), ("--changes=json", "out.json")] {
        let printed = place.run(&format!("{FIT} {option}"));
        assert_eq!(place.run(&format!("{FIT} {option} --output {file}")).code, 0);
        assert_eq!(fs::read_to_string(place.path(file)).unwrap(), printed.out, "{option}");
    }
}

#[test]
fn a_file_is_replaced_as_a_whole_and_may_be_the_input() {
    let place = Place::new();
    let printed = place.run(FIT);
    let before = place.names();
    fs::hard_link(place.path("domain.xml"), place.path("link.xml")).unwrap();
    assert_eq!(place.run(&format!("{FIT} -o domain.xml")).code, 0);
    assert_eq!(fs::read_to_string(place.path("domain.xml")).unwrap(), printed.out);
    // Replaced, not written over: who had the old file open still has all of it.
    assert_eq!(fs::read_to_string(place.path("link.xml")).unwrap(), DOMAIN);
    fs::remove_file(place.path("link.xml")).unwrap();
    assert_eq!(place.names(), before, "nothing is left behind");
}

#[test]
fn nothing_is_written_when_anything_is_wrong() {
    let place = Place::new();
    place.write("out.xml", "old");
    let before = place.names();
    for wrong in [
        "--set nonsense",
        "--profile typo.yaml",
        "--profile ./nowhere.yaml",
        "--vmi pod.yaml",
        "--host-root nowhere",
        "--set hostDevices.gpu9.bootOrder=1",
    ] {
        let ran = place.run(&format!("mutate --domain domain.xml {wrong} -o out.xml"));
        assert_ne!(ran.code, 0, "{wrong}");
        assert_eq!(ran.out, "", "{wrong}");
        assert!(ran.err.starts_with("virt-tailor: "), "{wrong}: {}", ran.err);
        assert_eq!(fs::read_to_string(place.path("out.xml")).unwrap(), "old", "{wrong}");
    }
    let ran = place.run("mutate --domain broken.xml -o out.xml");
    assert_eq!(ran.code, 65);
    assert_eq!(fs::read_to_string(place.path("out.xml")).unwrap(), "old");
    // The place of an output that cannot be: a folder.
    assert_eq!(place.run(&format!("{FIT} -o folder")).code, 66);
    assert_eq!(place.names(), before);
}

#[test]
fn something_that_is_no_file_is_written_to() {
    let place = Place::new();
    let printed = place.run(FIT);
    let ran = place.run(&format!("{FIT} -o /dev/stdout"));
    assert_eq!((ran.code, &ran.out), (0, &printed.out));
    assert_eq!(place.run(&format!("{FIT} -o /dev/null")).code, 0);
}

#[test]
fn a_link_to_a_file_stays_a_link() {
    let place = Place::new();
    place.write("real.xml", "old");
    std::os::unix::fs::symlink("real.xml", place.path("link.xml")).unwrap();
    assert_eq!(place.run(&format!("{FIT} -o link.xml")).code, 0);
    assert!(fs::symlink_metadata(place.path("link.xml")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(place.path("real.xml")).unwrap(), place.run(FIT).out);
}

#[test]
fn a_replaced_file_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    place.write("out.xml", "old");
    fs::set_permissions(place.path("out.xml"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(place.run(&format!("{FIT} -o out.xml")).code, 0);
    assert_eq!(fs::metadata(place.path("out.xml")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn standard_input_is_as_good_as_a_file() {
    let place = Place::new();
    let printed = place.run(FIT);
    let piped = place.run_with(&FIT.replace("domain.xml", "-"), &place.path("domain.xml"));
    assert_eq!(piped, printed);
    // What is called a file in messages has its name there.
    let broken = place.run_with("mutate --domain -", &place.path("broken.xml"));
    assert_eq!(broken.code, 65);
    assert!(broken.err.contains("standard input"), "{}", broken.err);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    assert_eq!(place.run_into_closed_pipe("mutate --domain - --set memory.locked=on"), 0);
}

#[test]
fn changes_for_programs_are_json() {
    let place = Place::new();
    let ran = place.run(&format!("{FIT} --set quirks=auto --changes=json"));
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let changes = value["changes"].as_array().unwrap();
    assert!(changes.len() >= 3);
    for change in changes {
        for field in ["what", "why", "from"] {
            assert!(change[field].as_str().is_some_and(|text| !text.is_empty()), "{change}");
        }
    }
    assert!(value["notes"].as_array().unwrap().iter().any(|note| note.as_str().unwrap().starts_with("quirks:")));
    assert_eq!(ran.err, "", "notes are in the document already");
    let nothing = place.run("mutate --domain domain.xml --changes=json");
    let value: serde_json::Value = serde_json::from_str(&nothing.out).unwrap();
    assert_eq!(value, serde_json::json!({"changes": [], "notes": []}));
}

#[test]
fn a_vm_is_as_good_as_a_vmi_and_yaml_as_json() {
    let place = Place::new();
    let of = |file: &str| place.run(&format!("mutate --domain domain.xml --vmi {file} --set memory.hardLimit=auto"));
    let yaml = of("vmi.yaml");
    assert_eq!(yaml.code, 0, "{}", yaml.err);
    assert!(yaml.out.contains("<iommu model='intel'>"));
    assert_eq!(of("vmi.json"), yaml);
    assert_eq!(of("vm.yaml"), yaml);
}

#[test]
fn nothing_asked_gives_the_very_bytes() {
    let place = Place::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    for name in
        ["kubevirt/ignition.pass3.xml", "adversarial/crlf.xml", "adversarial/bom.xml", "adversarial/one-line.xml"]
    {
        let path = data.join(name);
        let ran = place.run(&format!("mutate --domain {}", path.display()));
        assert_eq!((ran.code, ran.out), (0, fs::read_to_string(&path).unwrap()), "{name}");
    }
}

#[test]
fn schema_completions_and_manual_are_whole() {
    let place = Place::new();
    for (document, kind) in [("domain-profile", "DomainProfile"), ("node-config", "NodeConfig")] {
        let schema = place.run(&format!("schema {document}"));
        let value: serde_json::Value = serde_json::from_str(&schema.out).unwrap();
        assert!(value["$schema"].is_string() && value["$defs"].is_object());
        assert_eq!(value["properties"]["kind"]["const"], kind);
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = place.run(&format!("completions {shell}"));
        assert!(ran.code == 0 && ran.out.contains("virt-tailor") && ran.err.is_empty(), "{shell}");
    }
    let man = place.run("man");
    assert!(man.out.contains(".TH") && man.out.contains("host\\-root"), "{}", man.out);
    let version = place.run("--version");
    assert_eq!(version.out, format!("virt-tailor {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_domain_that_would_grow_too_large_is_refused() {
    let place = Place::new();
    let filler = "x".repeat((4 << 20) - DOMAIN.len() - 40);
    place.write("large.xml", &DOMAIN.replace("<cpu", &format!("<!--{filler}-->\n  <cpu")));
    assert_eq!(place.run("mutate --domain large.xml -o /dev/null").code, 0);
    let ran = place.run("mutate --domain large.xml --set viommu.model=intel");
    assert_eq!(ran.code, 65, "{}", ran.err);
    assert!(ran.err.contains("would grow to"), "{}", ran.err);
}
