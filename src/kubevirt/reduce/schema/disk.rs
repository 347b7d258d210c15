//! `<disk>` and `<filesystem>`.

use super::{ADDRESS, ALIAS, BOOL, BOOT, EMPTY, INT, TEXT, TYPE, always, filled, many, maybe, one, opt, shape, some};

shape!(
    /// No iotune, geometry, wwn, vendor, mirror, transient.
    DISK,
    [always("device"), filled("snapshot"), always("type"), filled("model")],
    [
        one("source", &SOURCE),
        one("target", &TARGET),
        some("serial", &TEXT),
        opt("driver", &DRIVER),
        opt("readonly", &EMPTY),
        opt("auth", &AUTH),
        opt("alias", &ALIAS),
        opt("backingStore", &STORE),
        opt("boot", &BOOT),
        opt("address", &ADDRESS),
        opt("blockio", &BLOCKIO),
        // Three of KubeVirt's own that libvirt does not know.
        opt("filesystemOverhead", &TEXT),
        opt("capacity", &INT),
        some("expandDisksEnabled", &BOOL),
        opt("shareable", &EMPTY),
    ]
);
shape!(
    SOURCE,
    [filled("dev"), filled("file"), filled("startupPolicy"), filled("protocol"), filled("name")],
    [opt("host", &HOST), opt("reservations", &RESERVATIONS), many("slices", &SLICES), opt("dataStore", &STORE),]
);
shape!(HOST, [always("name"), filled("port")], []);
shape!(RESERVATIONS, [filled("managed")], [opt("source", &RESERVATIONS_SOURCE)]);
shape!(RESERVATIONS_SOURCE, [always("type"), filled("path"), filled("mode")], []);
shape!(SLICES, [], [one("slice", &SLICE)]);
shape!(SLICE, [always("type"), always("offset").int(64), always("size").int(64)], []);
shape!(
    /// A data store and a backing store have the same fields.
    STORE,
    [filled("type")],
    [opt("format", &TYPE), opt("source", &SOURCE)]
);
shape!(TARGET, [filled("bus"), filled("dev"), filled("tray")], []);
shape!(
    /// `iommu` stays; `ats`, `packed`, `event_idx` and the like go.
    DRIVER,
    [
        filled("cache"),
        filled("error_policy"),
        filled("io"),
        always("name"),
        always("type"),
        maybe("iothread").uint(64),
        maybe("queues").uint(64),
        filled("discard"),
        filled("iommu"),
    ],
    [opt("iothreads", &IOTHREADS)]
);
shape!(IOTHREADS, [], [many("iothread", &IOTHREAD)]);
shape!(IOTHREAD, [always("id").uint(32)], []);
shape!(AUTH, [always("username")], [opt("secret", &SECRET)]);
shape!(SECRET, [always("type"), filled("usage"), filled("uuid")], []);
shape!(
    BLOCKIO,
    [
        filled("logical_block_size").uint(64),
        filled("physical_block_size").uint(64),
        maybe("discard_granularity").uint(64),
    ],
    []
);

shape!(
    /// The attribute is spelled with a capital M here: libvirt's `accessmode` is lost when it is read back.
    FILESYSTEM,
    [always("type"), always("accessMode")],
    [
        opt("source", &FILESYSTEM_SOURCE),
        opt("target", &FILESYSTEM_TARGET),
        opt("driver", &FILESYSTEM_DRIVER),
        opt("binary", &BINARY),
    ]
);
shape!(FILESYSTEM_SOURCE, [always("dir"), filled("socket")], []);
shape!(FILESYSTEM_TARGET, [filled("dir")], []);
shape!(FILESYSTEM_DRIVER, [always("type"), filled("queue")], []);
shape!(BINARY, [filled("path"), filled("xattr")], [opt("cache", &BINARY_CACHE), opt("lock", &BINARY_LOCK)]);
shape!(BINARY_CACHE, [filled("mode")], []);
shape!(BINARY_LOCK, [filled("posix"), filled("flock")], []);
