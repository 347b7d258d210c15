//! Tools that a script calls, each with its arguments known: what they do to modules, services, functions and kernel arguments.

use crate::base::PciAddress;
use crate::import::action::{Action, ServiceVerb};
use crate::import::place::Place;
use crate::import::read::Reading;
use crate::import::verdict::Verdict;

use super::commands::base;

/// `modprobe`, `insmod`, `rmmod`.
pub(super) fn modules(place: &Place, said: &str, name: &str, texts: &[&str], undo: bool, reading: &mut Reading<'_>) {
    let mut folder = None;
    let mut remove = name == "rmmod";
    let mut rest: Vec<&str> = Vec::new();
    let mut words = texts.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix('-') {
            Some("-remove") => remove = true,
            Some("-dirname" | "C") => folder = words.next().copied(),
            Some(flags) if !flags.starts_with('-') => {
                remove |= flags.contains('r');
                if flags.ends_with('d') {
                    folder = words.next().copied();
                }
            }
            Some(long) => folder = long.strip_prefix("-dirname=").or(folder),
            None => rest.push(word),
        }
    }
    let modules = if remove { rest.len() } else { rest.len().min(1) };
    let parameters: Vec<(String, String)> = rest
        .iter()
        .skip(1)
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if modules == 0 {
        reading.unclear(place, said, "it names no module");
    }
    for module in rest.iter().take(modules) {
        let module = base(module).trim_end_matches(".ko").to_owned();
        let action = if remove {
            Action::Unload { module }
        } else {
            let parameters = parameters.clone();
            Action::Load { module, folder: folder.map(str::to_owned), parameters }
        };
        reading.change(place, said, action, undo);
    }
}

/// `systemctl VERB UNIT…`.
pub(super) fn systemctl(place: &Place, said: &str, texts: &[&str], undo: bool, reading: &mut Reading<'_>) {
    let words: Vec<&str> = texts.iter().copied().filter(|text| !text.starts_with('-')).collect();
    let now = texts.contains(&"--now");
    let Some((verb, units)) = words.split_first() else {
        reading.idle += 1;
        return;
    };
    let verb = match *verb {
        "stop" | "kill" => ServiceVerb::Stop,
        "start" | "enable" | "unmask" | "restart" | "try-restart" | "reload-or-restart" => ServiceVerb::Start,
        "disable" if now => ServiceVerb::Stop,
        "disable" => ServiceVerb::Disable,
        "mask" => ServiceVerb::Mask,
        "isolate" => {
            let unit = "display-manager.service".to_owned();
            reading.change(place, said, Action::Service { unit, verb: ServiceVerb::Stop }, undo);
            return;
        }
        "reboot" | "poweroff" | "halt" | "kexec" => {
            reading.found(place, said, Action::Reboot);
            return;
        }
        "daemon-reload" | "is-active" | "is-enabled" | "status" | "show" | "list-units" => {
            reading.idle += 1;
            return;
        }
        _ => {
            reading.unclear(place, said, "this is not known of systemctl here");
            return;
        }
    };
    for unit in units {
        let unit = if unit.contains('.') { (*unit).to_owned() } else { format!("{unit}.service") };
        reading.change(place, said, Action::Service { unit, verb }, undo);
    }
}

/// `dpdk-devbind.py --bind=DRIVER ADDRESS…` (DPDK: usertools/dpdk-devbind.py).
pub(super) fn devbind(place: &Place, said: &str, texts: &[&str], reading: &mut Reading<'_>) {
    let flag = |text: &&str| ["-b", "--bind", "-u", "--unbind"].contains(&text.split('=').next().unwrap_or_default());
    if !texts.iter().any(flag) {
        reading.idle += 1;
        return;
    }
    let back = texts.iter().any(|text| text.starts_with("-u") || text.starts_with("--unbind"));
    // The domain may be left out.
    let addresses = texts.iter().filter_map(|text| text.parse().ok().or_else(|| format!("0000:{text}").parse().ok()));
    let addresses: Vec<PciAddress> = addresses.collect();
    if addresses.is_empty() {
        let why = "it names no PCI function, dddd:bb:ss.f: an interface's is in readlink /sys/class/net/NAME/device";
        return reading.unclear(place, said, why);
    }
    let to_vfio = texts.iter().any(|text| text.contains("vfio"));
    for address in addresses {
        let action = if back || !to_vfio {
            Action::Told(Verdict::now("the host's driver has the device again when the VM has gone"))
        } else {
            Action::Bind(address)
        };
        reading.found(place, said, action);
    }
}

/// `driverctl`, `virsh nodedev-detach`: a function goes to vfio-pci.
pub(super) fn bind(place: &Place, said: &str, address: Option<PciAddress>, reading: &mut Reading<'_>) {
    match address {
        Some(address) => reading.found(place, said, Action::Bind(address)),
        None => reading.unclear(place, said, "it names no PCI function, dddd:bb:ss.f"),
    }
}

pub(super) fn mdevctl(place: &Place, said: &str, texts: &[&str], reading: &mut Reading<'_>) {
    let after = |flags: [&str; 2]| {
        texts.windows(2).find(|two| flags.contains(&two[0])).map(|two| two[1]).or_else(|| {
            texts.iter().find_map(|text| flags.iter().find_map(|flag| text.strip_prefix(flag)?.strip_prefix('=')))
        })
    };
    let parent = after(["-p", "--parent"]).and_then(|text| text.parse().ok());
    let kind = after(["-t", "--type"]);
    match (texts.first(), parent, kind) {
        (Some(&"define" | &"start"), Some(parent), Some(kind)) => {
            reading.found(place, said, Action::Mdev { parent, type_name: kind.to_owned() });
        }
        (Some(&"stop" | &"undefine" | &"modify"), ..) => {
            reading.found(
                place,
                said,
                Action::Told(Verdict::now("mediated devices are taken away when they are no longer offered: node release, or a configuration without their resource")),
            );
        }
        (Some(&"list" | &"types"), ..) => reading.idle += 1,
        _ => reading.unclear(place, said, "which type is made on which function, is not said here"),
    }
}

/// `ip link set DEV vf N NAME VALUE …`.
pub(super) fn vf_settings(place: &Place, said: &str, texts: &[&str], reading: &mut Reading<'_>) {
    let Some(at) = texts.iter().position(|text| *text == "vf") else {
        if texts.first() == Some(&"link") && texts.get(1) == Some(&"set") {
            let why = "the link of the physical function is put up where virtual functions need it";
            reading.found(place, said, Action::Told(Verdict::now(why)));
        } else {
            reading.unclear(place, said, "it is about the node's own network");
        }
        return;
    };
    for two in texts.get(at + 2..).unwrap_or_default().chunks(2) {
        let value = two.get(1).copied().unwrap_or_default();
        let action = Action::VfSetting { name: two[0].to_owned(), value: value.to_owned() };
        reading.found(place, said, action);
    }
}

/// `grubby --update-kernel=ALL --args="…"`, `rpm-ostree kargs --append=…`.
pub(super) fn kernel_arguments(place: &Place, said: &str, texts: &[&str], reading: &mut Reading<'_>) {
    const FLAGS: [&str; 4] = ["--args", "--append", "--append-if-missing", "--kargs"];
    const AWAY: [&str; 3] = ["--remove-args", "--delete", "--delete-if-present"];
    reading.begin_arguments();
    let mut words = texts.iter();
    let mut seen = false;
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (*word, None),
        };
        if AWAY.contains(&flag) {
            let Some(value) = value.or_else(|| words.next().copied()) else { continue };
            seen = true;
            let why = format!("it takes {value} away again");
            reading.found(place, &format!("{flag} {value}"), Action::Told(Verdict::aside(why)));
            continue;
        }
        if !FLAGS.contains(&flag) {
            continue;
        }
        let Some(value) = value.or_else(|| words.next().copied()) else { continue };
        seen = true;
        let (options, arguments): (Vec<&str>, Vec<&str>) =
            value.split_whitespace().partition(|word| word.starts_with("--"));
        for option in options {
            let why = format!(
                "{option} stands within the quotes of {flag}: it is given to the kernel, and the tool is told nothing"
            );
            reading.found(place, option, Action::Told(Verdict::never(why)));
        }
        for argument in arguments {
            reading.argument(place, argument);
        }
    }
    if !seen {
        reading.unclear(place, said, "it adds no kernel argument");
    }
}
