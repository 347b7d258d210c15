//! udev(7) rules: what they write to the attributes of which device.

use crate::base::PciAddress;
use crate::import::action::{Action, IdsBy, Vfs};
use crate::import::place::Place;
use crate::import::shell;
use crate::import::verdict::Verdict;

use super::Reading;

/// One `KEY{attribute}OP"value"`.
#[derive(Debug)]
struct Pair {
    key: String,
    attribute: Option<String>,
    operator: &'static str,
    value: String,
}

/// Reads the rules.
pub(super) fn read(place: &Place, text: &str, reading: &mut Reading<'_>) {
    let mut rules: Vec<(u64, String)> = Vec::new();
    let mut goes_on = false;
    for (line, text) in (1..).zip(text.lines()) {
        let trimmed = text.trim();
        if goes_on {
            if let Some((_, last)) = rules.last_mut() {
                last.push_str(trimmed.trim_end_matches('\\'));
            }
        } else if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        } else {
            rules.push((line, trimmed.trim_end_matches('\\').to_owned()));
        }
        goes_on = trimmed.ends_with('\\');
    }
    for (line, rule) in rules {
        let place = place.line(line);
        match pairs(&rule) {
            Ok(pairs) => self::rule(&place, &rule, &pairs, reading),
            Err(why) => reading.malformed(&place, &why),
        }
    }
}

fn pairs(rule: &str) -> Result<Vec<Pair>, String> {
    let mut out = Vec::new();
    let mut rest = rule.trim();
    while !rest.is_empty() {
        let wrong = || format!("{:?} is no KEY==\"value\" or KEY=\"value\"", rest.chars().take(60).collect::<String>());
        let Some(at) = rest.find(['=', '!', '+', '-', ':']) else { return Err(wrong()) };
        let (key, after) = rest.split_at(at);
        let Some(operator) = ["==", "!=", "+=", "-=", ":=", "="].into_iter().find(|one| after.starts_with(one)) else {
            return Err(wrong());
        };
        let Some(value) = after[operator.len()..].trim_start().strip_prefix('"') else { return Err(wrong()) };
        // The end is the next quote that no backslash stands before.
        let end = value.char_indices().find(|(at, c)| *c == '"' && !value[..*at].ends_with('\\')).map(|(at, _)| at);
        let Some(end) = end else {
            return Err(format!("a value is not closed: {:?}", value.chars().take(60).collect::<String>()));
        };
        let (name, attribute) = match key.trim().split_once('{') {
            Some((name, attribute)) => (name, Some(attribute.trim_end_matches('}').to_owned())),
            None => (key.trim(), None),
        };
        out.push(Pair { key: name.to_owned(), attribute, operator, value: value[..end].replace("\\\"", "\"") });
        rest = value[end + 1..].trim_start_matches([',', ' ', '\t']);
    }
    Ok(out)
}

fn rule(place: &Place, said: &str, pairs: &[Pair], reading: &mut Reading<'_>) {
    let matches: Vec<&Pair> = pairs.iter().filter(|pair| matches!(pair.operator, "==" | "!=")).collect();
    let matched = |keys: &[&str], attribute: Option<&str>| {
        let found = matches.iter().find(|pair| {
            pair.operator == "==" && keys.contains(&pair.key.as_str()) && pair.attribute.as_deref() == attribute
        });
        found.map(|pair| pair.value.clone())
    };
    let address: Option<PciAddress> = matched(&["KERNEL", "KERNELS"], None)
        .and_then(|text| text.parse().ok())
        .or_else(|| matched(&["ENV"], Some("PCI_SLOT_NAME")).and_then(|text| text.parse().ok()));
    let id = |name: &str| {
        let text = matched(&["ATTR", "ATTRS"], Some(name))?;
        u16::from_str_radix(text.trim_start_matches("0x"), 16).ok()
    };
    let sets: Vec<&Pair> = pairs.iter().filter(|pair| !matches!(pair.operator, "==" | "!=")).collect();
    if sets.is_empty() {
        let why = "the rule ends here and does nothing: a rule goes on in the next line only behind a backslash";
        reading.found(place, said, Action::Told(Verdict::never(why)));
        return;
    }
    let nothing_matched = matches.is_empty();
    for pair in sets {
        let name = pair.attribute.as_deref().unwrap_or_default();
        match (pair.key.as_str(), name) {
            ("ATTR", name) if name.ends_with("sriov_numvfs") => {
                let vfs = Vfs {
                    count: pair.value.parse().unwrap_or(0),
                    addresses: address.into_iter().collect(),
                    interfaces: matched(&["NAME", "KERNEL"], None).filter(|_| address.is_none()).into_iter().collect(),
                    vendor: id("vendor").or_else(|| id("device/vendor")),
                    device: id("device").or_else(|| id("device/device")),
                    name: None,
                };
                if nothing_matched {
                    let why = "the rule says of no device which one, so it is tried at every event of every device: never as it was meant";
                    reading.found(place, said, Action::Told(Verdict::never(why)));
                }
                reading.found(place, said, Action::Vfs(vfs));
            }
            ("ATTR", name) => match (address, id("vendor").zip(id("device"))) {
                (Some(address), _) => {
                    let path = format!("/sys/bus/pci/devices/{address}/{name}");
                    reading.found(place, said, Action::Write { path, value: pair.value.clone() });
                }
                (None, Some((vendor, device))) if name == "driver_override" && pair.value.contains("vfio") => {
                    reading.found(place, said, Action::Ids { vendor, device, by: IdsBy::Rule });
                }
                _ if name == "power/control" => {
                    let why = "a power step keeps the device of a VM awake, and the ports above it";
                    reading.found(place, said, Action::Told(Verdict::now(why)));
                }
                _ => reading.unclear(place, said, "which device it is about is not told by an address or by ids"),
            },
            ("NAME", _) => {
                let why =
                    "devices are called by address here; after a VM the interface has its name again, as the rule says";
                reading.found(place, said, Action::Told(Verdict::aside(why)));
            }
            ("RUN", _) => shell::exec_line(place, &pair.value, false, reading),
            ("OWNER" | "GROUP" | "MODE" | "TAG" | "SYMLINK" | "LABEL" | "GOTO" | "ENV" | "OPTIONS" | "IMPORT", _) => {
                let why = "names and rights of device files: left as they are";
                reading.found(place, said, Action::Told(Verdict::aside(why)));
            }
            _ => reading.unclear(place, said, &format!("{} is not known of udev here", pair.key)),
        }
    }
}
