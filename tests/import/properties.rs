//! What holds of any input: it is refused in lines, or what comes of it is read by the strict readers, and twice the same.

use proptest::prelude::*;
use virt_tailor::config::node::NodeConfig;
use virt_tailor::config::{ProfileArgument, ProfileText, Profiles, Request, resolve};
use virt_tailor::import::{ImportError, Input, Outcome, import};

use crate::places::{cases, inputs, root};

/// Everything that a run promises.
fn hold(inputs: &[Input]) -> Option<Outcome> {
    let outcome = match import(inputs, "imported", None) {
        Ok(outcome) => outcome,
        Err(ImportError::Malformed(problems)) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|line| !line.contains('\n') && line.contains(": ")), "{problems:?}");
            return None;
        }
        Err(ImportError::Bug(problems)) => panic!("{problems}"),
    };
    let config = NodeConfig::read("made", &outcome.node_config).unwrap_or_else(|problems| panic!("{problems}"));
    let again = NodeConfig::read("again", &config.normalised().to_string()).unwrap();
    assert_eq!(again, config);
    for (name, text) in &outcome.profiles {
        let file = ProfileText { label: name.clone(), text: text.clone() };
        let request = Request { profiles: vec![ProfileArgument::File(file)], ..Request::default() };
        resolve(&request, &Profiles::built_in()).unwrap_or_else(|problems| panic!("{name}: {problems}"));
    }
    let counts = outcome.counts();
    assert_eq!(counts.found + counts.aside, outcome.items.len());
    assert_eq!(counts.found, counts.now + counts.stay + counts.never + counts.unclear);
    // Nothing is dropped: each item is in the report with its place.
    let report = outcome.report();
    for item in &outcome.items {
        assert!(report.contains(&item.place.to_string()), "{}", item.place);
        assert!(!item.verdict.why().is_empty(), "{}: {}", item.place, item.said);
    }
    assert_eq!(import(inputs, "imported", None).unwrap(), outcome);
    Some(outcome)
}

#[test]
fn what_is_made_of_every_case_is_valid() {
    let made = cases().iter().filter_map(|case| hold(&inputs(&case.join("input")))).count();
    assert!(made >= 17, "only {made}");
}

/// Each line of every case by itself, and each file without one of its lines: near to what people write, and wrong in every way.
#[test]
fn pieces_of_the_cases_are_valid_or_refused() {
    let mut made = 0;
    for case in cases() {
        for input in inputs(&case.join("input")) {
            let Ok(text) = String::from_utf8(input.bytes) else { continue };
            let lines: Vec<&str> = text.lines().collect();
            for skip in 0..lines.len() {
                let mut rest = lines.clone();
                let one = rest.remove(skip);
                for text in [one.to_owned(), rest.join("\n")] {
                    made +=
                        usize::from(hold(&[Input { label: input.label.clone(), bytes: text.into_bytes() }]).is_some());
                }
            }
        }
    }
    assert!(made >= 200, "only {made}");
}

#[test]
fn what_an_import_makes_is_no_input() {
    for case in cases() {
        if let Some(outcome) = hold(&inputs(&case.join("input"))) {
            let again =
                hold(&[Input { label: "made.yaml".to_owned(), bytes: outcome.node_config.into_bytes() }]).unwrap();
            assert_eq!((again.counts().unclear, again.items.len()), (1, 1), "{}", case.display());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// A line of a script or a table with something else in it, under a name that tells its format.
    #[test]
    fn no_text_breaks_it(
        name in prop::sample::select(vec!["a.sh", "etc/modprobe.d/a.conf", "a.rules", "default/grub", "cmdline", "a.service", "a.yaml", "x"]),
        pieces in prop::collection::vec(prop::sample::select(vec![
            "echo ", "0 ", "> ", "/sys/bus/pci/devices/0000:0a:00.0/driver_override", "vfio-pci", "\n", "'", "\"", "$(", "${A", "}", "for a in b; do ",
            "done", "{ ", "case x in ", "esac", "f() {", "f ", ";", "|", "&&", "options ", "ids=10de:2206,", "=", "==", "[Service]\n", "ExecStart=",
            "hugepages=", "18446744073709551615", "isolcpus=", "9999999", "KERNEL==", "GRUB_CMDLINE_LINUX=", "kind: Module", "spec: ", "- ", "é", "\u{202e}",
            "/sys/class/net/x/device/sriov_numvfs", "systemctl stop ", "a@.service", "modprobe ", "-d ", "/../", "\\", "#", "cd ", "unbind", "$'",
        ]), 0..40),
    ) {
        hold(&[Input { label: name.to_owned(), bytes: pieces.concat().into_bytes() }]);
    }
}

/// A script may ask for more than anybody would wait for.
#[test]
fn loops_in_loops_come_to_an_end() {
    let mut script = "A=\"1 2 3 4 5 6 7 8 9 10\"\nf() { g $@ $@ $@ $@; }\ng() { f $@ $@ $@ $@; }\n".to_owned();
    script += &"for i in $A $A $A; do ".repeat(12);
    script += "f $A $A; sh -c 'for i in 1 2 3 4 5 6 7 8 9; do for j in 1 2 3 4 5 6 7 8 9; do echo vfio-pci > /sys/x; done; done'; ";
    script += &"done; ".repeat(12);
    let outcome = hold(&[Input { label: "loops.sh".to_owned(), bytes: script.into_bytes() }]);
    assert!(outcome.is_none_or(|outcome| outcome.report().contains("too long to be followed")));
}

/// The table of the documentation: counted, not written by hand.
#[test]
fn the_table_of_the_documentation_is_counted() {
    let mut table = String::new();
    for name in crate::scenarios::SCENARIOS {
        let counts = hold(&inputs(&root().join("examples").join(name).join("before"))).unwrap().counts();
        table += &format!(
            "| [{name}](../examples/{name}) | {} | {} | {} | {} | {} |\n",
            counts.found, counts.now, counts.stay, counts.never, counts.unclear
        );
    }
    let page = std::fs::read_to_string(root().join("docs/import.md")).unwrap();
    assert!(page.contains(&table), "docs/import.md should have:\n{table}");
}
