//! Text → NodeConfig. It is read, and then its normalised form is read as the same; or it is refused with at least one mistake, and in
//! one line when asked.

#![no_main]

use libfuzzer_sys::fuzz_target;
use virt_tailor::config::node::NodeConfig;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match NodeConfig::read("fuzz.yaml", text) {
        Ok(config) => {
            let normalised = config.normalised();
            let again = NodeConfig::read("normalised", &normalised.to_string());
            assert_eq!(again.as_ref(), Ok(&config), "another document comes back: {normalised}");
            let here = config.for_node("node-1");
            for (i, one) in here.resources.iter().enumerate() {
                for two in &here.resources[..i] {
                    assert_ne!(one.name.variable(), two.name.variable(), "two resources of a name on one node");
                    let shared = one.selector.addresses.iter().find(|address| two.selector.addresses.contains(address));
                    assert_eq!(shared, None, "two resources of an address on one node");
                }
            }
        }
        Err(problems) => {
            assert!(!problems.0.is_empty(), "refused without a mistake");
            let line = problems.one_line();
            assert!(!line.is_empty() && !line.contains(['\n', '\r']), "not one line: {line:?}");
        }
    }
});
