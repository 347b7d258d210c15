//! Which format a file is in: by its path first, then by what stands in it.

use super::file_name;

/// Formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// YAML or JSON: Kubernetes objects, Ignition, Butane.
    Yaml,
    /// modprobe.d(5).
    Modprobe,
    /// modules-load.d(5).
    ModulesLoad,
    /// udev(7).
    Udev,
    /// `/etc/default/grub`.
    Grub,
    /// A kernel command line.
    CommandLine,
    /// systemd.unit(5).
    Unit,
    /// tuned.conf(5).
    Tuned,
    /// sysctl.d(5).
    Sysctl,
    /// A drop-in of crio.conf(5).
    Crio,
    /// limits.d(5).
    Limits,
    /// A shell script.
    Script,
    /// Something else.
    Unknown,
}

/// The format of a text that was found at a path.
pub(super) fn of(path: &str, text: &str) -> Kind {
    by_path(path).unwrap_or_else(|| by_text(text))
}

/// The format that a path alone tells.
pub(super) fn by_path(path: &str) -> Option<Kind> {
    let name = file_name(path);
    let below = |folder: &str| path.contains(&format!("{folder}/"));
    let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    if ends(&[".bu", ".yaml", ".yml", ".json", ".ign", ".fcc"]) {
        return Some(Kind::Yaml);
    }
    if ends(&[".sh", ".bash"]) || below("/usr/local/bin") || below("/usr/local/sbin") {
        return Some(Kind::Script);
    }
    if ends(&[".rules"]) {
        return Some(Kind::Udev);
    }
    if ends(&[".service", ".socket", ".timer", ".path", ".mount", ".slice", ".target"]) || below(".service.d") {
        return Some(Kind::Unit);
    }
    // In /etc/modules.d nothing reads them; what they were meant to be is told by their text.
    if below("modprobe.d") || name == "modprobe.conf" || below("/etc/modules.d") {
        return Some(Kind::Modprobe);
    }
    if below("modules-load.d") || path.ends_with("/etc/modules") {
        return Some(Kind::ModulesLoad);
    }
    if below("sysctl.d") || name == "sysctl.conf" {
        return Some(Kind::Sysctl);
    }
    if below("crio.conf.d") || name == "crio.conf" {
        return Some(Kind::Crio);
    }
    if below("limits.d") || name == "limits.conf" {
        return Some(Kind::Limits);
    }
    if name == "tuned.conf" || below("tuned") && ends(&[".conf"]) {
        return Some(Kind::Tuned);
    }
    if path.ends_with("default/grub") || name == "grub" || below("default/grub.d") {
        return Some(Kind::Grub);
    }
    (name.contains("cmdline") || path.ends_with("kernel/cmdline")).then_some(Kind::CommandLine)
}

fn by_text(text: &str) -> Kind {
    let first: Vec<&str> = super::lines(text).map(|(_, line)| line).take(50).collect();
    let some = |test: &dyn Fn(&str) -> bool| first.iter().any(|line| test(line));
    if text.starts_with("#!") {
        return Kind::Script;
    }
    if some(&|line| line.starts_with("GRUB_CMDLINE_LINUX")) {
        return Kind::Grub;
    }
    if some(&|line| ["[Unit]", "[Service]", "[Install]"].contains(&line)) {
        return Kind::Unit;
    }
    if some(&|line| ["[main]", "[bootloader]", "[sysctl]"].contains(&line)) {
        return Kind::Tuned;
    }
    if some(&|line| line.starts_with("[crio")) {
        return Kind::Crio;
    }
    let yaml = ["apiVersion:", "kind:", "variant:", "ignition:", "{"];
    if first.first().is_some_and(|line| *line == "---" || yaml.iter().any(|start| line.starts_with(start))) {
        return Kind::Yaml;
    }
    let starts = |line: &str, words: &[&str]| line.split_whitespace().next().is_some_and(|word| words.contains(&word));
    if some(&|line| starts(line, &["options", "blacklist", "install", "softdep"])) {
        return Kind::Modprobe;
    }
    if some(&|line| line.contains("==\"") && line.contains("=\"")) {
        return Kind::Udev;
    }
    let boots = |word: &str| {
        ["BOOT_IMAGE=", "root=", "intel_iommu=", "amd_iommu=", "iommu=", "isolcpus="]
            .iter()
            .any(|a| word.starts_with(a))
    };
    if first.len() == 1 && first.iter().any(|line| line.split_whitespace().any(boots)) {
        return Kind::CommandLine;
    }
    Kind::Unknown
}
