//! Our cloud-config: the `guest` section as one boot command.
//!
//! A boot command, because it runs at every boot: files and commands that cloud-init writes and runs once an instance would never reach
//! a VM that has booted before its owner asked for them. It stands before the user's own, which then find modules, pages and kernel
//! arguments in place, and before every module of cloud-init that runs once an instance, so a reboot for kernel arguments interrupts
//! none of those.

use crate::base::ByteSize;
use crate::config::{Guest, Memlock};
use crate::kubevirt::VmView;

use super::error::CloudInitError;
use super::shell::{kernel_arg, module, options, quoted};

/// The functions; what is asked is appended as calls of them.
const FUNCTIONS: &str = include_str!("guest.sh");

/// Lists of the user stay, ours come first; nothing else of the user's is touched. We have one key only.
const MERGE_HOW: &str = "dict(no_replace,recurse_list)+list(prepend)+str()";

const GI: u64 = 1 << 30;

/// Whether the guest may reboot itself to get kernel arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reboot {
    /// Once for every list of arguments.
    Once,
    /// Not at all: the arguments are there at the next boot. For a VM that KubeVirt ends when it reboots (`rebootPolicy: Terminate`):
    /// with a disk that does not outlive the pod, every start would end in a reboot.
    Never,
}

impl Reboot {
    /// What this VM allows.
    pub fn of(vm: &VmView) -> Self {
        if vm.ends_at_reboot { Self::Never } else { Self::Once }
    }
}

/// The cloud-config that does in the guest what the section asks for; the same section always gives the same text.
pub fn cloud_config(guest: &Guest, reboot: Reboot) -> Result<String, CloudInitError> {
    let mut text = format!(
        "#cloud-config\n# By virt-tailor, from the guest section of the VM's profile.\nmerge_how: \"{MERGE_HOW}\"\nbootcmd:\n- - sh\n  - -c\n  - |\n"
    );
    for line in FUNCTIONS.lines().chain(calls(guest, reboot)?.lines()) {
        if !line.is_empty() {
            text.push_str("    ");
            text.push_str(line);
        }
        text.push('\n');
    }
    text.push_str("  - virt-tailor\n");
    Ok(text)
}

fn calls(guest: &Guest, reboot: Reboot) -> Result<String, CloudInitError> {
    let mut script = modules(guest)?;
    hugepages(guest, &mut script)?;
    script.push_str(&memlock(guest.memlock));
    script.push_str(&kernel_args(guest, reboot)?);
    Ok(script)
}

/// Files for every boot from the next one on, and what they say done at once for this one.
fn modules(guest: &Guest) -> Result<String, CloudInitError> {
    let mut names = Vec::new();
    let mut settings = Vec::new();
    let mut now = String::new();
    for name in &guest.deny_modules {
        module("denyModules", name)?;
        // `blacklist` keeps udev from loading it for a device, without a word; it does not keep it from being loaded by name or as
        // what another module needs. `install` does.
        settings.push(quoted(&format!("blacklist {name}")));
        settings.push(quoted(&format!("install {name} /bin/false")));
        now.push_str(&format!("deny {}\n", quoted(name)));
    }
    for (name, text) in &guest.modules {
        module("modules", name)?;
        options(text)?;
        names.push(quoted(name));
        if !text.trim().is_empty() {
            settings.push(quoted(&format!("options {name} {}", text.trim())));
        }
        now.push_str(&format!("load {} {}\n", quoted(name), quoted(text.trim())));
    }
    let put = |file: &str, lines: Vec<String>| {
        let lines: String = lines.iter().map(|line| format!(" \\\n  {line}")).collect();
        format!("put {file}{lines}")
    };
    let load = put("/etc/modules-load.d/virt-tailor.conf", names);
    let settings = put("/etc/modprobe.d/virt-tailor.conf", settings);
    Ok(format!("{load}\n{settings} && modprobe_changed=yes\n{now}"))
}

/// Pages are taken at run time, early in every boot: that needs no file that would outlive the wish. Those of 1 GiB may not be had any
/// more by then, so they have kernel arguments to fall back on, unless the profile has its own.
fn hugepages(guest: &Guest, script: &mut String) -> Result<(), CloudInitError> {
    let own_args = guest.kernel_args.iter().any(|arg| arg.contains("hugepages"));
    for (size, count) in &guest.hugepages {
        let bytes = size.parse::<ByteSize>().map_or(0, ByteSize::as_bytes);
        if !bytes.is_power_of_two() || bytes < 1024 {
            let what = "is not a size of huge pages: write e.g. 2Mi or 1Gi";
            return Err(CloudInitError::Guest { field: "hugepages", value: size.clone(), what });
        }
        let early = if bytes == GI && !own_args { format!(" hugepagesz=1G hugepages={count}") } else { String::new() };
        script.push_str(&format!("hugepages {} {count}{early}\n", bytes / 1024));
    }
    Ok(())
}

/// For a container it is the limit of the daemon that starts it that counts: runtimes set none of their own. CRI-O could
/// (`default_ulimits`), but that list would replace the one an admin may have there.
fn memlock(limit: Option<Memlock>) -> String {
    match limit {
        None => "memlock\n".to_owned(),
        Some(Memlock::Unlimited) => "memlock infinity unlimited\n".to_owned(),
        Some(Memlock::Size(size)) => format!("memlock {} {}\n", size.as_bytes(), size.as_kib_up()),
    }
}

fn kernel_args(guest: &Guest, reboot: Reboot) -> Result<String, CloudInitError> {
    let mut wanted = String::new();
    for arg in &guest.kernel_args {
        kernel_arg(arg)?;
        wanted.push(' ');
        wanted.push_str(arg);
    }
    let wanted = quoted(&wanted);
    let reboot = match reboot {
        Reboot::Once => "once",
        Reboot::Never => "never",
    };
    Ok(format!("wanted={wanted}$wanted\nkernel_args {reboot}\nexit 0\n"))
}
