//! Kernel arguments (kernel: Documentation/admin-guide/kernel-parameters.txt; dracut.cmdline(7)).

use crate::base::suggest;
use crate::import::verdict::Verdict;

use super::known::{is_graphics, is_virtual_driver};
use super::{Judge, Told};

/// What many kernels are started with, and what prepares no device: the node's own.
const OWN: &[&str] = &[
    "BOOT_IMAGE",
    "root",
    "rootflags",
    "rootfstype",
    "ro",
    "rw",
    "console",
    "quiet",
    "rhgb",
    "splash",
    "crashkernel",
    "ostree",
    "selinux",
    "enforcing",
    "audit",
    "net.ifnames",
    "biosdevname",
    "ip",
    "nameserver",
    "resume",
    "initrd",
    "boot",
    "LANG",
    "mitigations",
    "random.trust_cpu",
    "transparent_hugepage",
    "psi",
    "fips",
    "loglevel",
    "earlyprintk",
    "panic",
    "init",
    "fsck.mode",
    "security",
    "apparmor",
    "cgroup_no_v1",
    "cgroup_enable",
    "printk.devkmsg",
    "nokaslr",
    "kaslr",
    "swapaccount",
    "nomodules",
    "ostree.prepare-root.composefs",
    "vt.handoff",
    "consoleblank",
    "ipv6.disable",
    "cgroup_disable",
    "dyndbg",
    "single",
];

/// What is for hard real time or for the node's own speed: at boot, and no VM needs it.
const TIMING: &[&str] = &[
    "skew_tick",
    "nosoftlockup",
    "nmi_watchdog",
    "tsc",
    "mce",
    "idle",
    "processor.max_cstate",
    "intel_idle.max_cstate",
    "intel_pstate",
    "amd_pstate",
    "cpufreq.default_governor",
    "nosmt",
    "rcu_nocb_poll",
    "rcutree.kthread_prio",
    "rcupdate.rcu_normal_after_boot",
    "clocksource",
    "efi",
    "hpet",
    "nowatchdog",
    "preempt",
    "kthread_cpus",
    "tuned.non_isolcpus",
    "systemd.cpu_affinity",
    "nohz",
    "workqueue.power_efficient",
    "audit_backlog_limit",
];

/// What is judged by name.
const JUDGED: &[&str] = &[
    "intel_iommu",
    "amd_iommu",
    "iommu",
    "iommu.passthrough",
    "vga",
    "video",
    "rdblacklist",
    "rd.driver.blacklist",
    "rd.driver.pre",
    "modprobe.blacklist",
    "module_blacklist",
    "initcall_blacklist",
    "nomodeset",
    "nofb",
    "hugepages",
    "hugepagesz",
    "default_hugepagesz",
    "isolcpus",
    "nohz_full",
    "rcu_nocbs",
    "irqaffinity",
    "pci",
    "pcie_acs_override",
    "pcie_aspm",
    "fbcon",
];

/// Whether this whole name is an argument of the kernel's own, though there is a dot in it.
pub(in crate::import) fn is_argument(name: &str) -> bool {
    [OWN, TIMING, JUDGED].iter().any(|all| all.contains(&name))
}

impl Judge<'_> {
    pub(super) fn argument(&mut self, name: &str, value: Option<&str>) -> Told {
        let given = value.unwrap_or_default();
        let whole = value.map_or_else(|| name.to_owned(), |value| format!("{name}={value}"));
        Ok(match name {
            "intel_iommu" | "amd_iommu" | "iommu" | "iommu.passthrough" => iommu(name, given, &whole),
            "vga" => Verdict::never(format!(
                "{} of the BIOS boot loader's menu of video modes, which UEFI has not; a framebuffer step lets the display go instead",
                if given == "off" || given.is_empty() { "off is no value" } else { "a value" }
            )),
            "video" => self.video(given),
            "fbcon" | "nomodeset" | "nofb" => {
                self.framebuffer();
                Verdict::now(
                    "consoles and framebuffer steps let the display go for a VM; the host has its screen until then",
                )
            }
            "initcall_blacklist" if given.contains("sysfb") => {
                self.framebuffer();
                Verdict::now("a framebuffer step lets the firmware's framebuffer go, only while a VM has the display")
            }
            "rdblacklist" | "rd.driver.blacklist" | "modprobe.blacklist" | "module_blacklist" => self.blacklist(given),
            "rd.driver.pre" if given.contains("vfio") => {
                Verdict::now("vfio-pci is loaded when the first device is bound; the initramfs need not have it")
            }
            "hugepages" => return self.hugepages(given),
            "hugepagesz" | "default_hugepagesz" => self.page_size(name, given),
            "isolcpus" => return self.isolcpus(given),
            "nohz_full" => Verdict::needs(
                whole,
                "CPUs without a tick are chosen at boot. Needed for hard real time alone: a cpus step does the rest",
            ),
            "rcu_nocbs" => Verdict::stays("nohz_full implies it; without hard real time nothing needs it"),
            "irqaffinity" => self.irqs_away(),
            "nosharepages" => {
                self.draft.domain.no_share_pages = true;
                Verdict::never(
                    "the kernel knows no such argument: nosharepages is an element of libvirt's domain. The profile has it (memory.nosharepages)",
                )
            }
            "pcie_acs_override" => Verdict::needs(
                whole,
                "only a patched kernel knows it, and groups are made at boot. Without it the whole group goes to one VM (companions)",
            ),
            "pci"
                if ["realloc", "assign-busses", "nocrs", "hpmmioprefsize", "hpbussize"]
                    .iter()
                    .any(|word| given.contains(word)) =>
            {
                Verdict::needs(
                    whole,
                    "windows for BARs of virtual functions and big GPUs are laid out at boot; needed where the firmware left none",
                )
            }
            "pcie_aspm" => {
                Verdict::stays("power of links is the node's own; a power step keeps the device of a VM awake")
            }
            name if TIMING.contains(&name) => {
                Verdict::stays("timing of the whole node: no device and no VM needs it, hard real time may")
            }
            name if OWN.contains(&name) || own_prefix(name) => Verdict::aside("how the node boots: left as it is"),
            name => unknown(name),
        })
    }

    pub(super) fn framebuffer(&mut self) {
        use crate::config::node::{PrepareStep, ReleaseOnly};
        self.draft.display.push(PrepareStep::Framebuffer(ReleaseOnly::Release));
    }

    /// `video=DRIVER:off`; behind a comma stand options of that one driver (kernel: drivers/video/cmdline.c).
    fn video(&mut self, given: &str) -> Verdict {
        let (driver, options) = given.split_once(':').unwrap_or((given, ""));
        if !["efifb", "vesafb", "simplefb", "simpledrm"].contains(&driver) || !options.starts_with("off") {
            return Verdict::aside("modes of the node's own screen: left as they are");
        }
        self.framebuffer();
        let mut text =
            "a framebuffer step lets the firmware's framebuffer go, only while a VM has the display".to_owned();
        if options.contains(':') {
            text.push_str("; what stands behind the comma was read as an option of the first driver, and did nothing");
        }
        if driver == "efifb" {
            text.push_str("; on kernels with simpledrm the argument does nothing");
        }
        Verdict::Now(text)
    }

    fn blacklist(&mut self, given: &str) -> Verdict {
        let modules: Vec<String> = given.split(',').map(|module| module.trim().replace('-', "_")).collect();
        for module in modules.iter().filter(|module| is_virtual_driver(module)) {
            self.draft.domain.denied.insert(module.clone());
        }
        if modules.iter().all(|module| is_virtual_driver(module)) {
            return Verdict::now(
                "functions of a resource of kind sriov are probed by no driver of the host; others keep theirs. In a guest: denyModules of the profile",
            );
        }
        if modules.iter().all(|module| is_graphics(module)) {
            return Verdict::now(
                "the host's driver keeps the card until a VM wants it, gives that one function up, and has it back",
            );
        }
        Verdict::now(
            "a driver gives up the one function that a VM is given, and keeps the others: it need not be kept away",
        )
    }

    fn hugepages(&mut self, given: &str) -> Told {
        let size = self.draft.page_size.take().unwrap_or(crate::base::ByteSize::bytes(2 << 20));
        // `0:4,1:4` is per NUMA node.
        for part in given.split(',') {
            let (node, count) = match part.split_once(':') {
                Some((node, count)) => (Some(node.parse().map_err(|_| format!("{node:?} is no NUMA node"))?), count),
                None => (None, part),
            };
            let count: u64 = count.parse().map_err(|_| format!("{count:?} is no number of pages"))?;
            let verdict = self.pages(size, count, node)?;
            if part.len() == given.len() {
                return Ok(verdict);
            }
        }
        Ok(Verdict::now("hugepages steps reserve them on their NUMA nodes, before kubelet counts them"))
    }

    fn page_size(&mut self, name: &str, given: &str) -> Verdict {
        let Some(size) = crate::import::read::page_size(given) else {
            return Verdict::unclear(format!("{given:?} is no size of pages"));
        };
        // A default is also the size of the `hugepages=` that names none.
        self.draft.page_size = Some(size);
        if name == "hugepagesz" {
            Verdict::now("the size stands in the hugepages step")
        } else {
            Verdict::stays("only the size of pages that nobody names; a VM names its own (memory.hugepages.pageSize)")
        }
    }

    fn isolcpus(&mut self, given: &str) -> Told {
        let mut rest = given;
        let mut managed = false;
        while let Some((flag, after)) =
            rest.split_once(',').filter(|(flag, _)| !flag.starts_with(|c: char| c.is_ascii_digit()))
        {
            managed |= flag == "managed_irq";
            rest = after;
        }
        if !rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("{rest:?} is no list of CPUs"));
        }
        let verdict = self.isolate(rest)?;
        Ok(match verdict {
            Verdict::Now(mut text) if managed => {
                text.push_str(&format!(
                    "; only interrupts that the kernel manages itself need isolcpus=managed_irq,{rest} at boot, for hard real time"
                ));
                Verdict::Now(text)
            }
            verdict => verdict,
        })
    }
}

fn iommu(name: &str, given: &str, whole: &str) -> Verdict {
    match (name, given) {
        ("intel_iommu", value) if value.split(',').any(|word| word == "off") => off(whole),
        ("amd_iommu", "off") | ("iommu", "off" | "soft") => off(whole),
        ("intel_iommu", value) if value.split(',').next() == Some("on") => Verdict::needs(
            "intel_iommu=on",
            "the kernel sets up DMA remapping once, at boot. Kernels that do so by default need nothing: virt-tailor node inspect tells",
        ),
        ("intel_iommu", "igfx_off" | "sm_on") => Verdict::stays("a detail of Intel's IOMMU: no VM needs it"),
        ("amd_iommu", "on" | "1") => Verdict::never(
            "on is no value of amd_iommu: AMD's IOMMU is on unless the firmware has it off. Nothing is needed",
        ),
        ("amd_iommu", _) => Verdict::stays("details of AMD's IOMMU: no VM needs them"),
        ("iommu", "pt") | ("iommu.passthrough", "1") => Verdict::stays(
            "it spares the host's own DMA the translation: no VM needs it, and devices of VMs are translated all the same",
        ),
        ("iommu", "on" | "1") => {
            Verdict::never("on is no value of iommu=: intel_iommu=on is what was meant; AMD's needs nothing")
        }
        ("iommu", "force" | "noforce" | "merge" | "nomerge" | "biomerge" | "memaper" | "fullflush" | "nopt") => {
            Verdict::stays("how the host's own DMA is done: no VM needs it")
        }
        _ => Verdict::unclear(format!("{given:?} is no value of {name} that is known here")),
    }
}

fn off(whole: &str) -> Verdict {
    Verdict::stays(format!(
        "{whole} switches the IOMMU off: take it away, no device can be handed over while it is there"
    ))
}

/// What dracut, systemd and Ignition read.
fn own_prefix(name: &str) -> bool {
    ["rd.", "systemd.", "ignition.", "$ignition", "luks.", "rhcos.", "coreos.", "cgroup."]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// An argument that nothing is known of: a slip, if it is near to one that there is.
fn unknown(name: &str) -> Verdict {
    let near = if name.len() > 4 { suggest(name, JUDGED.iter().chain(TIMING).copied()) } else { None };
    match near {
        Some("rdblacklist") => Verdict::never(
            "nothing reads it: rd.driver.blacklist (rdblacklist, in old words) was meant. The host's driver keeps the device until a VM wants it, so it need not be kept away",
        ),
        Some(near) => Verdict::never(format!(
            "nothing reads it: {near} was meant, perhaps. Import it in that spelling to see what becomes of it"
        )),
        None => Verdict::unclear("nothing is known of this kernel argument here"),
    }
}
