//! modprobe.d(5) and modules-load.d(5).

use crate::import::action::Action;
use crate::import::place::Place;
use crate::import::shell;
use crate::import::verdict::Verdict;

use super::arguments::module_parameter;
use super::{Reading, lines};

/// Why nothing reads a file at this path; `folders` are those that are read.
fn unread(path: &str, folders: &[&str], what: &str) -> Option<String> {
    if !path.contains('/') || !path.contains("etc/") {
        return None;
    }
    if !folders.iter().any(|folder| path.contains(folder)) {
        return Some(format!("nothing reads {path}: {what}"));
    }
    (!path.ends_with(".conf")).then(|| format!("nothing reads {path}: files there end in .conf"))
}

/// `options`, `blacklist`, `install`, `softdep`, …
pub(super) fn options(place: &Place, path: &str, text: &str, reading: &mut Reading<'_>) {
    let folders = ["/modprobe.d/", "etc/modprobe.conf"];
    let unread = unread(path, &folders, "modprobe reads /etc/modprobe.d");
    for (line, text) in joined(text) {
        let place = place.line(line);
        if let Some(why) = &unread {
            reading.found(&place, &text, Action::Told(Verdict::never(why.clone())));
            continue;
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        match &words[..] {
            ["options", module, parameters @ ..] if !parameters.is_empty() => {
                for parameter in parameters {
                    let said = format!("options {module} {parameter}");
                    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                    module_parameter(&place, &said, (module, name, value), reading);
                }
            }
            ["blacklist", module] => {
                reading.found(&place, &text, Action::Deny { module: module.replace('-', "_") });
            }
            ["install", module, command, ..] if command.ends_with("/true") || command.ends_with("/false") => {
                reading.found(&place, &text, Action::Deny { module: module.replace('-', "_") });
            }
            // modprobe gives it to a shell (modprobe.d(5)).
            ["install" | "remove", module, _, ..] => {
                let command = text.splitn(3, char::is_whitespace).nth(2).unwrap_or_default();
                let undo = words.first() == Some(&"remove");
                // What a script is told of the options that modprobe was given.
                shell::exec_shell(&place, &command.replace("$CMDLINE_OPTS", ""), undo, reading);
                if !undo && command.contains("vfio") && !module.starts_with("vfio") {
                    let why = format!(
                        "{module} need not wait for it: a function is taken from its driver when a VM needs it"
                    );
                    reading.found(&place, &text, Action::Told(Verdict::now(why)));
                }
            }
            ["alias", _, module] if module.starts_with("vfio") => {
                let why =
                    "it has vfio loaded for a device, and binds it to nothing: a resource does both when a VM starts";
                reading.found(&place, &text, Action::Told(Verdict::now(why)));
            }
            ["softdep", module, rest @ ..] if rest.iter().any(|word| word.contains("vfio")) => {
                let why = format!(
                    "which of the two is loaded first does not matter any more: a function is taken from {module} when a VM needs it"
                );
                reading.found(&place, &text, Action::Told(Verdict::now(why)));
            }
            ["softdep" | "weakdep" | "alias" | "config", _, ..] => {
                reading.found(
                    &place,
                    &text,
                    Action::Told(Verdict::aside("how the node loads its own modules: left as it is")),
                );
            }
            _ => reading.unclear(&place, &text, "this is no line that modprobe.d(5) knows, or it needs another word"),
        }
    }
}

/// Lines, those that end in `\` put together.
fn joined(text: &str) -> Vec<(u64, String)> {
    let mut out: Vec<(u64, String)> = Vec::new();
    let mut goes_on = false;
    for (line, text) in (1..).zip(text.lines()) {
        let trimmed = text.trim();
        if goes_on {
            if let Some((_, last)) = out.last_mut() {
                last.push(' ');
                last.push_str(trimmed.trim_end_matches('\\').trim());
            }
        } else if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        } else {
            out.push((line, trimmed.trim_end_matches('\\').trim().to_owned()));
        }
        goes_on = trimmed.ends_with('\\');
    }
    out
}

/// Names of modules, one a line.
pub(super) fn load(place: &Place, path: &str, text: &str, reading: &mut Reading<'_>) {
    let folders = ["/modules-load.d/", "/etc/modules"];
    let unread = unread(path, &folders, "systemd reads /etc/modules-load.d");
    for (line, text) in lines(text) {
        let place = place.line(line);
        match &unread {
            Some(why) if !path.ends_with("/etc/modules") => {
                reading.found(&place, text, Action::Told(Verdict::never(why.clone())));
            }
            _ if text.split_whitespace().count() > 1 => {
                let why =
                    "systemd takes a whole line for the name of a module: options stand in modprobe.d, behind options";
                reading.found(&place, text, Action::Told(Verdict::never(why)));
            }
            _ => {
                let module = text.replace('-', "_");
                reading.found(
                    &place,
                    &format!("load {text}"),
                    Action::Load { module, folder: None, parameters: Vec::new() },
                );
            }
        }
    }
}
