//! Kernel arguments: of a command line, of GRUB's defaults, of anything that adds them.

use std::collections::HashMap;

use crate::import::action::{Action, IdsBy};
use crate::import::place::Place;
use crate::import::shell::assignments;
use crate::import::verdict::Verdict;

use super::Reading;

/// A kernel command line: quotes hold a blank together (kernel: lib/cmdline.c `next_arg`).
pub(super) fn words(place: &Place, line: &str, reading: &mut Reading<'_>) {
    let mut word = String::new();
    let mut quoted = false;
    for c in line.chars().chain([' ']) {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if word == "--" {
                    let why = "what stands behind -- is init's: left as it is";
                    let rest = line.split_once(" -- ").map_or("…", |(_, rest)| rest);
                    reading.found(place, &format!("-- {rest}"), Action::Told(Verdict::aside(why)));
                    return;
                }
                if !word.is_empty() {
                    argument(place, &word, reading);
                    word.clear();
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        argument(place, word.trim(), reading);
    }
}

/// One argument: what vfio-pci and other modules are told is told apart.
pub(super) fn argument(place: &Place, text: &str, reading: &mut Reading<'_>) {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.trim_matches('"').to_owned())),
        None => (text, None),
    };
    // A module's parameter: MODULE.NAME=VALUE. What dracut and systemd read has dots, too.
    // Some arguments of the kernel's own have a dot in their names, and no module before it.
    let foreign = ["rd.", "systemd.", "ignition.", "luks.", "modprobe.", "rhcos.", "coreos.", "module."];
    if let (Some((module, parameter)), Some(value)) = (name.split_once('.'), &value)
        && !foreign.iter().any(|prefix| name.starts_with(prefix))
        && !crate::import::judge::is_argument(name)
    {
        module_parameter(place, text, (module, parameter, value), reading);
        return;
    }
    // Kernel: mm/hugetlb.c, hugepages_setup.
    match name {
        "hugepages" if reading.pages_given => {
            let why = "the kernel takes the first hugepages= behind a size and passes over a second one: give each its hugepagesz=, and import that";
            reading.found(place, text, Action::Told(Verdict::never(why)));
            return;
        }
        "hugepages" => reading.pages_given = true,
        "hugepagesz" | "default_hugepagesz" => reading.pages_given = false,
        _ => {}
    }
    reading.found(place, text, Action::Argument { name: name.to_owned(), value });
}

/// A parameter of a module; vfio-pci's ids one by one.
pub(in crate::import) fn module_parameter(
    place: &Place,
    said: &str,
    (module, name, value): (&str, &str, &str),
    reading: &mut Reading<'_>,
) {
    let module = module.replace('-', "_");
    // pci-stub held devices until something else bound them.
    if !["vfio_pci", "pci_stub"].contains(&module.as_str()) || name != "ids" {
        let action = Action::Parameter { module, name: name.to_owned(), value: value.to_owned() };
        reading.found(place, said, action);
        return;
    }
    for ids in value.trim_matches('"').split(',').filter(|ids| !ids.trim().is_empty()) {
        match pair(ids.trim()) {
            Some((vendor, device)) => {
                let said = if value.contains(',') { format!("{said}: {}", ids.trim()) } else { said.to_owned() };
                reading.found(place, &said, Action::Ids { vendor, device, by: IdsBy::Parameter });
            }
            None => {
                reading.unclear(place, said, &format!("{ids:?} is not vendor:device in hexadecimal, e.g. 10de:2206"))
            }
        }
    }
}

/// `vvvv:dddd`; what follows (subsystem, class) narrows it down and is left out.
pub(super) fn pair(text: &str) -> Option<(u16, u16)> {
    let mut parts = text.split(':');
    let mut id = || u16::from_str_radix(parts.next()?.trim().trim_start_matches("0x"), 16).ok();
    Some((id()?, id()?))
}

/// `/etc/default/grub`, a file of shell assignments (GRUB's manual, "Simple configuration handling"): `GRUB_CMDLINE_LINUX…="…"`.
pub(super) fn grub(place: &Place, text: &str, reading: &mut Reading<'_>) {
    let (all, others) = match assignments(text) {
        Ok(all) => all,
        Err((line, why)) => return reading.malformed(&place.line(line), &why),
    };
    // Where anything else stands, what is set may be set or not.
    let branches = !others.is_empty();
    for (line, text) in others {
        let word = text.split_whitespace().next().unwrap_or_default();
        if ["if", "then", "else", "elif", "fi", "[", "[["].contains(&word) {
            reading.idle += 1;
            continue;
        }
        reading.unclear(&place.line(line), &text, "it sets no variable");
    }
    let is_line = |name: &str| name.starts_with("GRUB_CMDLINE_LINUX");
    let mut known: HashMap<&str, String> = HashMap::new();
    for (index, one) in all.iter().enumerate() {
        let place = place.line(one.line);
        let mut value = String::new();
        let mut unknown = Vec::new();
        for piece in &one.value {
            match piece {
                Ok(text) => value.push_str(text),
                // Told where it is set, if it is of these files at all.
                Err(name) if name.starts_with("GRUB") => {}
                Err(name) => match known.get(name.as_str()) {
                    Some(text) => value.push_str(text),
                    None => {
                        let name = format!("${name}");
                        value.push_str(&name);
                        unknown.push(name);
                    }
                },
            }
        }
        if !is_line(&one.name) {
            if unknown.is_empty() {
                known.insert(&one.name, value);
            }
            reading.idle += 1;
            continue;
        }
        // What is set again without what was there, is lost.
        let lost = all.iter().skip(index + 1).find(|later| later.name == one.name && !later.keeps());
        if let Some(later) = lost.filter(|_| !branches && !value.trim().is_empty()) {
            let why = format!("{} is set again in line {}, without what stands here", one.name, later.line);
            reading.found(&place, &value, Action::Told(Verdict::never(why)));
            continue;
        }
        for word in super::variables::split(&value) {
            match unknown.iter().find(|name| word.contains(name.as_str())) {
                Some(name) => reading.unclear(&place, &word, &format!("{name} is set nowhere in this file")),
                None => words(&place, &word, reading),
            }
        }
    }
}
