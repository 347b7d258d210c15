//! Text → profile, through every door: a file, an inline annotation, a field's annotation, `--set`. It is resolved, or refused with
//! at least one mistake and in one line when asked; and twice the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use virt_tailor::config::{ProfileArgument, ProfileText, Profiles, Request, Resolved, resolve};

fn ask(request: &Request) -> Option<Resolved> {
    let profiles = Profiles::built_in();
    let first = resolve(request, &profiles);
    let second = resolve(request, &profiles);
    assert_eq!(format!("{first:?}"), format!("{second:?}"), "not the same twice");
    match first {
        Ok(resolved) => Some(resolved),
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused without a mistake");
            let line = problems.one_line();
            assert!(!line.is_empty() && !line.contains(['\n', '\r']), "not one line: {line:?}");
            None
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = ProfileText { label: "fuzz.yaml".to_owned(), text: text.to_owned() };
    ask(&Request { profiles: vec![ProfileArgument::File(file)], ..Request::default() });
    let annotations = |key: &str, value: &str| Request {
        annotations: BTreeMap::from([(key.to_owned(), value.to_owned())]),
        ..Request::default()
    };
    ask(&annotations("virt-tailor.io/domain", text));
    ask(&annotations("virt-tailor.io/profiles", text));
    let first = text.lines().next().unwrap_or_default();
    if let Some((key, value)) = first.split_once('=') {
        ask(&annotations(&format!("domain.virt-tailor.io/{key}"), value));
    }
    ask(&Request { sets: text.lines().take(8).map(str::to_owned).collect(), ..Request::default() });
});
