//! `<devices>`: all but disks and interfaces.

use super::disk::{DISK, FILESYSTEM};
use super::domain::MEMORY;
use super::network::INTERFACE;
use super::{ADDRESS, ALIAS, BOOT, Gate, INT, Kind, TEXT, VIRTIO_DRIVER};
use super::{always, filled, many, maybe, one, opt, shape, some};

shape!(
    /// No shmem, hub, audio, smartcard, crypto, lease, nvram, redirfilter.
    DEVICES,
    [],
    [
        some("emulator", &TEXT),
        many("interface", &INTERFACE),
        many("channel", &CHANNEL),
        many("hostdev", &HOSTDEV),
        many("panic", &PANIC),
        many("controller", &CONTROLLER),
        many("video", &VIDEO),
        many("graphics", &GRAPHICS),
        opt("memballoon", &BALLOON),
        many("disk", &DISK),
        many("input", &INPUT),
        many("serial", &SERIAL),
        many("console", &CONSOLE),
        many("watchdog", &WATCHDOG),
        opt("rng", &RNG),
        many("filesystem", &FILESYSTEM),
        many("redirdev", &REDIRDEV),
        many("sound", &SOUND),
        many("tpm", &TPM),
        opt("vsock", &VSOCK),
        opt("memory", &MEMORY_DEVICE),
        // Behind tpm and watchdog, as the passes show; behind vsock and memory is a guess.
        many("iommu", &IOMMU).since(Gate::Iommu),
    ]
);

shape!(
    /// No `<rom>`, `<teaming>`; the source is an address only.
    HOSTDEV,
    [
        always("type"),
        filled("managed"),
        filled("mode"),
        filled("model"),
        filled("display"),
        filled("ramfb"),
    ],
    [
        one("source", &HOSTDEV_SOURCE),
        opt("boot", &BOOT),
        opt("driver", &HOSTDEV_DRIVER).since(Gate::Iommu),
        opt("acpi", &HOSTDEV_ACPI).since(Gate::Iommu),
        opt("address", &ADDRESS),
        opt("alias", &ALIAS),
    ]
);
shape!(HOSTDEV_SOURCE, [], [opt("address", &ADDRESS)]);
shape!(HOSTDEV_DRIVER, [filled("iommufd")], []);
shape!(
    /// For Grace's generic initiators: `index` is not theirs, so `<acpi index=…>` comes back empty.
    HOSTDEV_ACPI,
    [filled("nodeset")],
    []
);

shape!(
    /// No address, and of the driver only what Grace's SMMU needs (d923fdb): no intremap, caching_mode, eim, iotlb, aw_bits,
    /// dma_translation.
    IOMMU,
    [filled("model")],
    [opt("driver", &IOMMU_DRIVER)]
);
shape!(
    IOMMU_DRIVER,
    [filled("pciBus"), filled("accel"), filled("ats"), filled("ril"), filled("ssidSize"), filled("oas")],
    []
);

shape!(
    /// No `ports`, no `vectors`, no `<model name>`.
    CONTROLLER,
    [always("type"), always("index"), filled("model")],
    [
        opt("driver", &CONTROLLER_DRIVER),
        opt("alias", &ALIAS),
        opt("address", &ADDRESS),
        // The order of these two follows their age in the source.
        opt("pcihole64", &HOLE64),
        opt("target", &CONTROLLER_TARGET).since(Gate::Iommu),
    ]
);
shape!(CONTROLLER_DRIVER, [maybe("iothread").uint(64), maybe("queues").uint(64), filled("iommu")], []);
shape!(HOLE64, Kind::Uint(64), [filled("unit")]);
shape!(
    /// No chassis, no port.
    CONTROLLER_TARGET,
    [filled("hotplug"), filled("busNr")],
    [opt("node", &INT)]
);

shape!(CHANNEL, [always("type")], [opt("source", &CHANNEL_SOURCE), opt("target", &CHANNEL_TARGET)]);
shape!(CHANNEL_SOURCE, [always("mode"), always("path")], []);
shape!(
    CHANNEL_TARGET,
    [filled("name"), always("type"), filled("address"), filled("port").uint(64), filled("state")],
    []
);
shape!(PANIC, [maybe("model")], []);
shape!(
    /// No address, alias, driver; the model keeps its memory sizes and heads.
    VIDEO,
    [],
    [one("model", &VIDEO_MODEL)]
);
shape!(
    VIDEO_MODEL,
    [always("type"), maybe("heads").uint(64), maybe("ram").uint(64), maybe("vram").uint(64), maybe("vgamem").uint(64),],
    []
);
shape!(
    GRAPHICS,
    [
        filled("autoport"),
        filled("defaultMode"),
        filled("passwdValidTo"),
        filled("port").int(32),
        filled("tlsPort").int(64),
        always("type"),
    ],
    [opt("listen", &LISTEN)]
);
shape!(
    /// `newtork` is KubeVirt's spelling: libvirt's `network` is lost.
    LISTEN,
    [always("type"), filled("address"), filled("newtork"), filled("socket")],
    []
);
shape!(
    BALLOON,
    [always("model"), filled("freePageReporting")],
    [opt("stats", &STATS), opt("address", &ADDRESS), opt("driver", &VIRTIO_DRIVER)]
);
shape!(STATS, [always("period").uint(64)], []);
shape!(
    /// No source: an evdev input loses its device.
    INPUT,
    [always("type"), always("bus"), filled("model")],
    [opt("alias", &ALIAS), opt("address", &ADDRESS)]
);
shape!(
    SERIAL,
    [always("type")],
    [opt("target", &SERIAL_TARGET), opt("source", &SERIAL_SOURCE), opt("alias", &ALIAS), opt("log", &LOG)]
);
shape!(SERIAL_TARGET, [maybe("port").uint(64)], []);
shape!(SERIAL_SOURCE, [filled("mode"), filled("path")], []);
shape!(LOG, [filled("file"), filled("append")], []);
shape!(
    CONSOLE,
    [always("type")],
    [opt("target", &CONSOLE_TARGET), opt("source", &SERIAL_SOURCE), opt("alias", &ALIAS)]
);
shape!(CONSOLE_TARGET, [maybe("type"), maybe("port").uint(64)], []);
shape!(WATCHDOG, [always("model"), always("action")], [opt("alias", &ALIAS), opt("address", &ADDRESS)]);
shape!(RNG, [always("model")], [opt("backend", &RNG_BACKEND), opt("address", &ADDRESS), opt("driver", &VIRTIO_DRIVER)]);
shape!(RNG_BACKEND, Kind::Text, [always("model")]);
shape!(REDIRDEV, [always("type"), always("bus")], [one("source", &REDIRDEV_SOURCE)]);
shape!(REDIRDEV_SOURCE, [always("mode"), always("path")], []);
shape!(SOUND, [always("model")], [opt("alias", &ALIAS)]);
shape!(TPM, [always("model")], [one("backend", &TPM_BACKEND)]);
shape!(TPM_BACKEND, [always("type"), always("version"), filled("persistent_state")], []);
shape!(
    /// No driver.
    VSOCK,
    [filled("model")],
    [one("cid", &CID)]
);
shape!(CID, [always("auto"), filled("address").uint(32)], []);
shape!(
    /// One only: a second one is merged into it.
    MEMORY_DEVICE,
    [always("model")],
    [opt("target", &MEMORY_TARGET), opt("alias", &ALIAS), opt("address", &ADDRESS)]
);
shape!(
    MEMORY_TARGET,
    [],
    [
        one("size", &MEMORY),
        one("requested", &MEMORY),
        one("current", &MEMORY),
        one("node", &TEXT),
        one("block", &MEMORY),
        opt("address", &MEMORY_ADDRESS),
    ]
);
shape!(MEMORY_ADDRESS, [always("base")], []);
