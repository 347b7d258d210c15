//! A file → documents. It is refused in lines; or the NodeConfig and the profiles that come of it are read by their strict readers, every
//! action is in the report, and it is the same twice. The first line is the file's name, which tells its format.

#![no_main]

use libfuzzer_sys::fuzz_target;
use virt_tailor::config::node::NodeConfig;
use virt_tailor::config::{ProfileArgument, ProfileText, Profiles, Request, resolve};
use virt_tailor::import::{ImportError, Input, import};

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let label = String::from_utf8_lossy(&data[..end]).into_owned();
    let bytes = data.get(end + 1..).unwrap_or_default().to_vec();
    let inputs = [Input { label, bytes }];
    match import(&inputs, "fuzz", None) {
        Ok(outcome) => {
            NodeConfig::read("made", &outcome.node_config).expect("our own document");
            for (name, text) in &outcome.profiles {
                let file = ProfileText { label: name.clone(), text: text.clone() };
                let request = Request { profiles: vec![ProfileArgument::File(file)], ..Request::default() };
                resolve(&request, &Profiles::built_in()).expect("our own profile");
            }
            let report = outcome.report();
            for item in &outcome.items {
                assert!(report.contains(&item.place.to_string()), "{} is not in the report", item.place);
            }
            assert_eq!(import(&inputs, "fuzz", None).expect("the same"), outcome);
        }
        Err(ImportError::Malformed(lines)) => {
            assert!(!lines.is_empty());
            assert!(lines.iter().all(|line| !line.contains(['\n', '\r'])), "not one line each: {lines:?}");
        }
        Err(ImportError::Bug(problems)) => panic!("{problems}"),
    }
});
