//! What a command of a script, or a line of a unit, is for.

use crate::import::action::Action;
use crate::import::place::Place;
use crate::import::read::Reading;
use crate::import::verdict::Verdict;

use super::lexer::commands;
use super::run::{Known, script};
use super::tools::{bind, devbind, kernel_arguments, mdevctl, modules, systemctl, vf_settings};

/// Commands that only hold a script together, or say something.
const IDLE: &[&str] = &[
    ":", "[", "[[", "]]", "test", "true", "false", "echo", "printf", "exit", "return", "set", "shift", "trap", "sleep",
    "wait", "cd", "logger", "local", "export", "unset", "readonly", "read", "break", "continue", "umask", "date",
    "cat", "grep", "mkdir", "lspci", "lsmod", "ls", "udevadm", "sync", "readlink", "chmod", "cut", "tr", "head",
    "tail", "sort", "uniq", "wc", "basename", "dirname", "seq", "uname", "stat", "pwd", "expr", "let", "hostname",
    "whoami", "id",
];

/// What writes a text to a file.
const WRITERS: [&str; 4] = ["echo", "printf", "tee", "cat"];

/// With these `find` does more than to say what there is (find(1)).
const FIND_ACTS: [&str; 5] = ["-exec", "-execdir", "-ok", "-okdir", "-delete"];

/// Files that the node keeps of a boot: what is written elsewhere prepares nothing.
fn is_kernel(path: &str) -> bool {
    path.starts_with("/sys/") || path.starts_with("/proc/")
}

/// Whether it is known below which folder of the root the path is, whatever stands behind that.
fn is_elsewhere(path: &str) -> bool {
    let folder = path.strip_prefix('/').and_then(|path| path.split('/').next());
    folder.is_some_and(|folder| !folder.is_empty() && !folder.contains('…'))
}

/// A line of a unit: `ExecStart=` and its kind, without the key. `undo`: it runs when the unit stops.
pub(in crate::import) fn exec_line(place: &Place, line: &str, undo: bool, reading: &mut Reading<'_>) {
    let line = line.trim_start_matches(['-', '@', '+', '!', ':']).trim();
    if line.is_empty() {
        return;
    }
    let all = match commands(line) {
        Ok(all) => all,
        Err(unclosed) => return reading.malformed(place, &unclosed.to_string()),
    };
    let shell = line.split_whitespace().next().is_some_and(|word| is_shell(base(word)) || base(word) == "env");
    // systemd runs no shell: everything is one command with its arguments.
    if !shell && (all.len() > 1 || all.iter().any(|one| one.to.is_some())) {
        let why = "systemd runs no shell: > | ; && are arguments to it, so this never did what it says";
        reading.found(place, line, Action::Told(Verdict::never(why)));
        return;
    }
    script_line(place, line, undo, reading);
}

/// A line that is given to a shell.
pub(in crate::import) fn exec_shell(place: &Place, line: &str, undo: bool, reading: &mut Reading<'_>) {
    script_line(place, line, undo, reading);
}

/// What a command writes, if all of it is known: the words of `echo` and `printf`, as these write them.
fn written(name: &str, texts: &[&str]) -> Option<String> {
    match name {
        "echo" => {
            let options = texts.iter().take_while(|text| ["-n", "-e", "-ne", "-en", "-E"].contains(*text)).count();
            let (options, words) = texts.split_at_checked(options)?;
            let text = words.join(" ");
            let escapes = options.iter().any(|option| option.contains('e'));
            Some(if escapes { text.replace("\\n", "\n").replace("\\t", "\t") } else { text })
        }
        "printf" => {
            let (format, words) = texts.split_first()?;
            let format = format.replace("\\n", "\n").replace("\\t", "\t");
            let holes = format.matches("%s").count() + format.matches("%d").count();
            if holes == 0 {
                return (!format.contains('%') && words.is_empty()).then_some(format);
            }
            // What is left over begins the format anew (printf(1)).
            let mut out = String::new();
            for words in words.chunks(holes) {
                let mut rest = format.as_str();
                for word in words {
                    let at = rest.find('%')?;
                    let after = rest.get(at + 1..)?.strip_prefix(['s', 'd'])?;
                    out.push_str(rest.get(..at)?);
                    out.push_str(word);
                    rest = after;
                }
                out.push_str(rest);
            }
            (!out.contains('%')).then_some(out)
        }
        _ => None,
    }
}

/// A text that a line runs: its places are that line. A script that it runs has lines of its own.
fn script_line(place: &Place, line: &str, undo: bool, reading: &mut Reading<'_>) {
    script(&place.one_line(), line, &[], undo, reading);
}

pub(super) fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn is_shell(name: &str) -> bool {
    ["sh", "bash", "dash", "ash", "zsh", "ksh"].contains(&name)
}

/// One command with its words expanded, and where its output goes.
pub(super) fn command(
    place: &Place,
    said: &str,
    words: &[Known],
    to: Option<&Known>,
    document: Option<&Known>,
    undo: bool,
    reading: &mut Reading<'_>,
) {
    let Some((name, arguments)) = words.split_first() else { return };
    let texts: Vec<&str> = arguments.iter().map(|word| word.text.as_str()).collect();
    let name = base(&name.text);
    let whole = arguments.iter().all(|word| word.whole);
    let text = match document {
        Some(document) => document.whole.then(|| document.text.clone()),
        None => written(name, &texts).filter(|_| whole),
    };
    if let Some(to) = to.filter(|to| is_kernel(&to.text)) {
        let action = match text {
            Some(text) if to.whole => Action::Write { path: to.text.clone(), value: text.trim().to_owned() },
            _ => Action::Told(Verdict::unclear("what is written where is only known when it runs")),
        };
        reading.change(place, said, action, undo);
        return;
    }
    if let Some(to) = to.filter(|to| to.text.starts_with("/etc/") || document.is_some() && to.text.starts_with("/usr/"))
    {
        let read = match text {
            Some(text) if to.whole => reading.written(place, &to.text, text),
            _ => false,
        };
        if read {
            reading.idle += 1;
        } else {
            let why = format!("it writes {}, which is read at the next boot: import that file too", to.text);
            reading.unclear(place, said, &why);
        }
        return;
    }
    if to.is_some_and(|to| !is_elsewhere(&to.text)) && WRITERS.contains(&name) {
        reading.unclear(place, said, "where it writes is only known when it runs: write the whole path");
        return;
    }
    match name {
        "sudo" | "exec" | "nice" | "ionice" | "nohup" | "command" | "env" | "timeout" | "nsenter" | "chroot" => {
            let skip = arguments.iter().position(|word| {
                let option = word.text.starts_with('-') || word.text.contains('=');
                let own = word.text.starts_with(|c: char| c.is_ascii_digit())
                    || (name == "chroot" && word.text.starts_with('/'));
                !option && !own
            });
            match skip.and_then(|at| arguments.get(at..)) {
                Some(rest) => command(place, said, rest, to, document, undo, reading),
                None => reading.idle += 1,
            }
        }
        shell if is_shell(shell) => in_shell(place, said, arguments, document, undo, reading),
        "eval" if whole => script_line(place, &texts.join(" "), undo, reading),
        "source" | "." => match texts.first() {
            Some(path) if reading.run_embedded(path, &[], undo) => {}
            _ => reading.unclear(place, said, "the file is not among those given"),
        },
        "podman" | "docker" | "crictl" | "nerdctl" => container(place, said, arguments, undo, reading),
        _ if !whole && changes(name) => {
            reading.unclear(place, said, "what it does it to is only known when it runs");
        }
        "modprobe" | "insmod" | "rmmod" | "kmodwrap" => modules(place, said, name, &texts, undo, reading),
        "systemctl" => systemctl(place, said, &texts, undo, reading),
        "reboot" | "shutdown" | "poweroff" => reading.found(place, said, Action::Reboot),
        "dpdk-devbind.py" | "dpdk-devbind" | "dpdk_nic_bind.py" => devbind(place, said, &texts, reading),
        "driverctl" => bind(place, said, texts.iter().find_map(|text| text.parse().ok()), reading),
        "virsh" if texts.first().is_some_and(|verb| verb.starts_with("nodedev-")) => {
            let name = texts.get(1).and_then(|name| name.strip_prefix("pci_"));
            let address = name.and_then(|name| {
                let parts: Vec<&str> = name.split('_').collect();
                let [domain, bus, slot, function] = <[&str; 4]>::try_from(parts).ok()?;
                format!("{domain}:{bus}:{slot}.{function}").parse().ok()
            });
            bind(place, said, address, reading);
        }
        "mdevctl" => mdevctl(place, said, &texts, reading),
        "sriov-manage" => {
            let why =
                "vGPUs are made on virtual functions, which a resource of kind vgpu switches on: name its type there";
            reading.found(place, said, Action::Told(Verdict::now(why)));
        }
        "ip" => vf_settings(place, said, &texts, reading),
        "grubby" | "rpm-ostree" => kernel_arguments(place, said, &texts, reading),
        "grub2-mkconfig" | "grub-mkconfig" | "update-grub" | "dracut" | "update-initramfs" | "mkinitrd" | "depmod" => {
            let why = "nothing of it is needed: neither the kernel's arguments nor the initramfs take part any more";
            reading.found(place, said, Action::Told(Verdict::now(why)));
        }
        "sysctl" => {
            let set = texts.iter().filter(|text| !text.starts_with('-')).filter_map(|text| text.split_once('='));
            for (key, value) in set {
                let path = format!("/proc/sys/{}", key.trim().replace('.', "/"));
                reading.found(place, said, Action::Write { path, value: value.trim().to_owned() });
            }
        }
        "ulimit" if texts.first() == Some(&"-l") => reading.found(place, said, Action::Memlock),
        "cpupower" | "tuned-adm" | "x86_energy_perf_policy" => {
            let why = "frequency and power states stay the node's own: virt-tailor has no step for them";
            reading.found(place, said, Action::Told(Verdict::stays(why)));
        }
        "awk" | "gawk"
            if whole && !texts.iter().any(|text| ["system", ">", "|"].iter().any(|acts| text.contains(acts))) =>
        {
            reading.idle += 1;
        }
        "mount" if texts.contains(&"hugetlbfs") => {
            let why = "kubelet gives a pod its huge pages by itself: no mount of the node's is needed";
            reading.found(place, said, Action::Told(Verdict::now(why)));
        }
        "find" if !texts.iter().any(|text| FIND_ACTS.contains(text)) => reading.idle += 1,
        "find" => reading.unclear(place, said, "what find does it to is only known when it runs"),
        name if IDLE.contains(&name) => reading.idle += 1,
        _ => {
            let path = words.first().map(|word| word.text.as_str()).unwrap_or_default();
            let owned: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            if !reading.run_embedded(path, &owned, undo) {
                let given = if path.starts_with('/') { ", and it is not among the files given" } else { "" };
                reading.unclear(place, said, &format!("nothing is known of {name} here{given}"));
            }
        }
    }
}

/// Whether a command's arguments must be known to say anything of it.
fn changes(name: &str) -> bool {
    ["modprobe", "insmod", "rmmod", "systemctl", "driverctl", "virsh", "mdevctl", "ip", "sysctl"].contains(&name)
}

/// `sh -c TEXT`, or a script of its own.
fn in_shell(
    place: &Place,
    said: &str,
    arguments: &[Known],
    document: Option<&Known>,
    undo: bool,
    reading: &mut Reading<'_>,
) {
    let flag = arguments.iter().position(|word| word.text.starts_with('-') && word.text.contains('c'));
    if let Some(text) = flag.and_then(|at| arguments.get(at + 1)) {
        if !text.whole {
            return reading.unclear(place, said, "what it runs is only known when it runs");
        }
        script_line(place, &text.text, undo, reading);
        return;
    }
    let path = arguments.iter().position(|word| !word.text.starts_with('-') || word.text == "-");
    if let (None, Some(document)) = (path, document) {
        match document.whole {
            true => script_line(place, &document.text, undo, reading),
            false => reading.unclear(place, said, "what it runs is only known when it runs"),
        }
        return;
    }
    if let Some((path, rest)) = path.and_then(|at| arguments.get(at..)).and_then(<[Known]>::split_first) {
        let owned: Vec<String> = rest.iter().map(|word| word.text.clone()).collect();
        if reading.run_embedded(&path.text, &owned, undo) {
            return;
        }
    }
    reading.unclear(place, said, "the script is not among the files given");
}

/// What runs in a container and changes the node's modules.
fn container(place: &Place, said: &str, arguments: &[Known], undo: bool, reading: &mut Reading<'_>) {
    const INNER: [&str; 4] = ["modprobe", "insmod", "rmmod", "sh"];
    // The last: an image's own entry point may be named before it.
    let inner = arguments.iter().rposition(|word| INNER.contains(&base(&word.text)));
    match (arguments.first().map(|word| word.text.as_str()), inner.and_then(|at| arguments.get(at..))) {
        (Some("run" | "exec"), Some(inner)) => command(place, said, inner, None, None, undo, reading),
        (Some("pull"), _) => {
            let why = "the module's build is unpacked once into a folder of the node; no boot waits for a registry";
            reading.found(place, said, Action::Told(Verdict::now(why)));
        }
        (Some("image" | "inspect" | "images" | "rm" | "stop"), _) => reading.idle += 1,
        _ => reading.unclear(place, said, "what the container does is not known"),
    }
}
