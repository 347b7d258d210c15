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
        // An attribute may have any of these in its name.
        let behind = rest
            .find(['=', '{'])
            .filter(|at| rest[*at..].starts_with('{'))
            .and_then(|at| rest[at..].find('}').map(|end| at + end));
        let from = behind.unwrap_or(0);
        let Some(at) = rest[from..].find(['=', '!', '+', '-', ':']).map(|at| from + at) else { return Err(wrong()) };
        let (key, after) = rest.split_at(at);
        let Some(operator) = ["==", "!=", "+=", "-=", ":=", "="].into_iter().find(|one| after.starts_with(one)) else {
            return Err(wrong());
        };
        // `e"…"`: with escapes; `i"…"`: in any case.
        let value = after[operator.len()..].trim_start();
        let value = value.strip_prefix(['e', 'i']).filter(|value| value.starts_with('"')).unwrap_or(value);
        let Some(value) = value.strip_prefix('"') else { return Err(wrong()) };
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

/// Whether a command writes vfio-pci to the override of the device that the rule is about.
fn gives_to_vfio(command: &str) -> bool {
    let override_of =
        ["$kernel/driver_override", "%k/driver_override", "$devpath/driver_override", "%p/driver_override"];
    command.contains("vfio-pci") && override_of.iter().any(|path| command.contains(path))
}

/// The device's name in place of what stands for it (udev(7), "SUBSTITUTIONS").
fn substituted(command: &str, kernel: Option<&str>) -> String {
    match kernel {
        Some(kernel) => command.replace("$kernel", kernel).replace("%k", kernel),
        // Not a variable of a shell's that is called so.
        None => command.replace("%k", "$kernel"),
    }
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
    let ids = id("vendor").or_else(|| id("device/vendor")).zip(id("device").or_else(|| id("device/device")));
    // What the kernel calls the device: `%k`, `$kernel`.
    let kernel = matched(&["KERNEL"], None).filter(|name| !name.contains(['*', '?', '[', '|']));
    let sets: Vec<&Pair> = pairs.iter().filter(|pair| !matches!(pair.operator, "==" | "!=")).collect();
    if sets.is_empty() {
        let why = "the rule ends here and does nothing: a rule goes on in the next line only behind a backslash";
        reading.found(place, said, Action::Told(Verdict::never(why)));
        return;
    }
    let nothing_matched = matches.is_empty();
    // One word for all of them.
    let mut named = false;
    for pair in sets {
        let name = pair.attribute.as_deref().unwrap_or_default();
        match (pair.key.as_str(), name) {
            ("ATTR", name) if name.ends_with("sriov_numvfs") => {
                let Ok(count) = pair.value.trim().parse() else {
                    reading.unclear(place, said, &format!("{:?} is no number of functions", pair.value));
                    continue;
                };
                let vfs = Vfs {
                    count,
                    addresses: address.into_iter().collect(),
                    interfaces: matched(&["NAME", "KERNEL"], None).filter(|_| address.is_none()).into_iter().collect(),
                    vendor: ids.map(|(vendor, _)| vendor),
                    device: ids.map(|(_, device)| device),
                    name: None,
                };
                if nothing_matched {
                    let why = "the rule says of no device which one, so it is tried at every event of every device: never as it was meant";
                    reading.found(place, said, Action::Told(Verdict::never(why)));
                }
                reading.found(place, said, Action::Vfs(vfs));
            }
            ("ATTR", name) => match (address, ids) {
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
            ("RUN", "builtin") if pair.value.starts_with("kmod load ") => {
                let module = pair.value.trim_start_matches("kmod load ").trim().replace('-', "_");
                reading.found(place, said, Action::Load { module, folder: None, parameters: Vec::new() });
            }
            ("RUN", "builtin") => {
                let why = "udev's own command: it prepares no device for a VM, left as it is";
                reading.found(place, said, Action::Told(Verdict::aside(why)));
            }
            // With ids and without an address: of each that has them.
            ("RUN", _) if address.is_none() && ids.is_some() && gives_to_vfio(&pair.value) => {
                if let Some((vendor, device)) = ids {
                    reading.found(place, said, Action::Ids { vendor, device, by: IdsBy::Rule });
                }
            }
            ("RUN", _) => shell::exec_line(place, &substituted(&pair.value, kernel.as_deref()), false, reading),
            ("OWNER" | "GROUP" | "MODE" | "TAG" | "SYMLINK" | "LABEL" | "GOTO" | "ENV" | "OPTIONS" | "IMPORT", _)
                if named => {}
            ("OWNER" | "GROUP" | "MODE" | "TAG" | "SYMLINK" | "LABEL" | "GOTO" | "ENV" | "OPTIONS" | "IMPORT", _) => {
                named = true;
                let why = "names and rights of device files: left as they are";
                reading.found(place, said, Action::Told(Verdict::aside(why)));
            }
            _ => reading.unclear(place, said, &format!("{} is not known of udev here", pair.key)),
        }
    }
}
