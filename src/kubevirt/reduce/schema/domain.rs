//! The domain itself: everything but its devices.

use super::devices::DEVICES;
use super::metadata::METADATA;
use super::{EMPTY, Gate, Kind, MODE, Namespace, STATE, TEXT, TYPE};
use super::{Shape, shape};
use super::{always, filled, leaf, many, maybe, one, opt, some};

shape!(
    /// No memtune, blkiotune, on_poweroff and the like, pm, seclabel, qemu:override; `xmlns:qemu` is written but never read.
    DOMAIN,
    [always("type")],
    [
        one("name", &TEXT),
        some("uuid", &TEXT),
        one("memory", &MEMORY),
        opt("currentMemory", &MEMORY),
        opt("maxMemory", &MAX_MEMORY),
        opt("memoryBacking", &MEMORY_BACKING),
        one("os", &OS),
        opt("sysinfo", &SYSINFO),
        one("devices", &DEVICES),
        opt("clock", &CLOCK),
        opt("resource", &RESOURCE),
        opt("commandline", &COMMANDLINE).within(Namespace::Qemu).since(Gate::QemuCommandline),
        one("metadata", &METADATA),
        opt("features", &FEATURES),
        one("cpu", &CPU),
        opt("vcpu", &VCPU),
        opt("vcpus", &VCPUS),
        opt("cputune", &CPUTUNE),
        opt("numatune", &NUMATUNE),
        opt("iothreads", &IOTHREADS),
        opt("launchSecurity", &LAUNCH_SECURITY),
        // libvirt 12's process-wide iommufd; that it is kept is known, its place is a guess.
        opt("iommufd", &IOMMUFD).since(Gate::Iommu),
    ]
);

shape!(MEMORY, Kind::Uint(64), [always("unit")]);
shape!(MAX_MEMORY, Kind::Uint(64), [always("unit"), always("slots").uint(64)]);
shape!(
    /// No `locked`, no `discard`.
    MEMORY_BACKING,
    [],
    [
        opt("hugepages", &HUGEPAGES),
        opt("source", &TYPE),
        opt("access", &MODE),
        opt("allocation", &MODE),
        opt("nosharepages", &EMPTY).since(Gate::NoSharePages),
    ]
);
shape!(HUGEPAGES, [], [many("page", &PAGE)]);
shape!(PAGE, [always("size"), always("unit"), always("nodeset")], []);
shape!(IOMMUFD, [filled("enabled"), filled("fdgroup")], []);

shape!(
    OS,
    [],
    [
        one("type", &OS_TYPE),
        opt("acpi", &OS_ACPI),
        opt("smbios", &MODE),
        many("boot", &OS_BOOT),
        opt("bootmenu", &BOOT_MENU),
        opt("bios", &BIOS),
        opt("loader", &LOADER),
        opt("nvram", &NVRAM),
        some("kernel", &TEXT),
        some("initrd", &TEXT),
        some("cmdline", &TEXT),
    ]
);
shape!(OS_TYPE, Kind::Text, [filled("arch"), filled("machine")]);
shape!(OS_ACPI, [], [many("table", &ACPI_TABLE)]);
shape!(ACPI_TABLE, Kind::Text, [filled("type")]);
shape!(OS_BOOT, [always("dev")], []);
shape!(BOOT_MENU, [always("enable"), maybe("timeout").uint(64)], []);
shape!(BIOS, [filled("useserial")], []);
shape!(
    /// No `stateless`, no `format`.
    LOADER,
    Kind::Text,
    [filled("readonly"), filled("secure"), filled("type")]
);
shape!(NVRAM, Kind::Text, [filled("template")]);

shape!(
    /// Its groups are written even when empty (Go writes the path of an empty slice).
    SYSINFO,
    [always("type")],
    [one("system", &ENTRIES), one("bios", &ENTRIES), one("baseBoard", &ENTRIES), one("chassis", &ENTRIES)]
);
shape!(ENTRIES, [], [many("entry", &ENTRY)]);
shape!(ENTRY, Kind::Text, [always("name")]);

shape!(CLOCK, [filled("offset"), filled("timezone"), filled("adjustment")], [many("timer", &TIMER)]);
shape!(TIMER, [always("name"), filled("tickpolicy"), filled("present"), filled("track"), filled("frequency")], []);
shape!(RESOURCE, [], [one("partition", &TEXT)]);
shape!(COMMANDLINE, [], [many("env", &ENV).within(Namespace::Qemu), many("arg", &ARG).within(Namespace::Qemu)]);
shape!(ENV, [always("name"), always("value")], []);
shape!(ARG, [always("value")], []);

shape!(
    /// No ioapic, tcg, ps2 …; `smm` and `apic` lose their attributes.
    FEATURES,
    [],
    [
        opt("acpi", &EMPTY),
        opt("apic", &EMPTY),
        opt("hyperv", &HYPERV),
        opt("smm", &EMPTY),
        opt("kvm", &KVM),
        opt("pvspinlock", &STATE),
        opt("pmu", &STATE),
        opt("vmport", &STATE),
    ]
);
shape!(
    HYPERV,
    [filled("mode")],
    [
        opt("relaxed", &STATE),
        opt("vapic", &STATE),
        opt("spinlocks", &SPINLOCKS),
        opt("vpindex", &STATE),
        opt("runtime", &STATE),
        opt("synic", &STATE),
        opt("stimer", &STIMER),
        opt("reset", &STATE),
        opt("vendor_id", &VENDOR_ID),
        opt("frequencies", &STATE),
        opt("reenlightenment", &STATE),
        opt("tlbflush", &STATE),
        opt("ipi", &STATE),
        opt("evmcs", &STATE),
    ]
);
shape!(SPINLOCKS, [filled("state"), maybe("retries").uint(32)], []);
shape!(STIMER, [filled("state")], [opt("direct", &STATE)]);
shape!(VENDOR_ID, [filled("state"), filled("value")], []);
shape!(KVM, [], [opt("hidden", &STATE), opt("hint-dedicated", &STATE)]);

shape!(
    /// No `check`, `migratable`, maxphysaddr, cache, vendor; the model is a bare name.
    CPU,
    [filled("mode")],
    [some("model", &TEXT), many("feature", &CPU_FEATURE), opt("topology", &TOPOLOGY), opt("numa", &NUMA)]
);
shape!(CPU_FEATURE, [always("name"), filled("policy")], []);
shape!(
    /// No `dies`, no `clusters`.
    TOPOLOGY,
    [filled("sockets").uint(32), filled("cores").uint(32), filled("threads").uint(32)],
    []
);
shape!(NUMA, [], [many("cell", &CELL)]);
shape!(CELL, [always("id"), filled("cpus"), always("memory").uint(64), filled("unit"), filled("memAccess")], []);
shape!(VCPU, Kind::Uint(32), [always("placement")]);
shape!(VCPUS, [], [many("vcpu", &VCPUS_VCPU)]);
shape!(VCPUS_VCPU, [always("id").uint(32), filled("enabled"), filled("hotpluggable"), filled("order").uint(32)], []);
shape!(
    CPUTUNE,
    [],
    [many("vcpupin", &VCPU_PIN), many("iothreadpin", &IOTHREAD_PIN), opt("emulatorpin", &EMULATOR_PIN)]
);
shape!(VCPU_PIN, [always("vcpu").uint(32), always("cpuset")], []);
shape!(IOTHREAD_PIN, [always("iothread").uint(32), always("cpuset")], []);
shape!(EMULATOR_PIN, [always("cpuset")], []);
shape!(NUMATUNE, [], [one("memory", &NUMATUNE_MEMORY), many("memnode", &MEMNODE)]);
shape!(NUMATUNE_MEMORY, [always("mode"), always("nodeset")], []);
shape!(MEMNODE, [always("cellid").uint(32), always("mode"), always("nodeset")], []);
pub(super) static IOTHREADS: Shape = leaf(Kind::Uint(64));
shape!(
    LAUNCH_SECURITY,
    [always("type")],
    [
        some("dhCert", &TEXT),
        some("session", &TEXT),
        some("cbitpos", &TEXT),
        some("reducedPhysBits", &TEXT),
        some("policy", &TEXT),
    ]
);
