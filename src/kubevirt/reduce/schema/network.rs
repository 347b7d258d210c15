//! `<interface>`.

use super::{ADDRESS, ALIAS, BOOT, EMPTY, TYPE, always, filled, many, maybe, one, opt, shape};

shape!(
    /// No teaming, coalesce, vlan, virtualport; `<rom>` is only `enabled`.
    INTERFACE,
    [always("type"), filled("trustGuestRxFilters")],
    [
        opt("address", &ADDRESS),
        one("source", &SOURCE),
        opt("target", &TARGET),
        opt("model", &TYPE),
        opt("mac", &MAC),
        opt("mtu", &MTU),
        opt("bandwidth", &EMPTY),
        opt("boot", &BOOT),
        opt("link", &LINK),
        opt("filterref", &FILTER),
        opt("alias", &ALIAS),
        opt("driver", &DRIVER),
        opt("rom", &ROM),
        opt("acpi", &ACPI),
        opt("backend", &BACKEND),
        many("portForward", &PORT_FORWARD),
    ]
);
shape!(SOURCE, [filled("network"), filled("dev"), filled("bridge"), filled("mode")], [opt("address", &ADDRESS)]);
shape!(TARGET, [always("dev"), filled("managed")], []);
shape!(MAC, [always("address")], []);
shape!(MTU, [always("size")], []);
shape!(LINK, [always("state")], []);
shape!(FILTER, [always("filter")], []);
shape!(
    /// `iommu` stays, `ats` goes; a driver without a name gets an empty one.
    DRIVER,
    [always("name"), maybe("queues").uint(64), filled("iommu")],
    []
);
shape!(ROM, [always("enabled")], []);
shape!(ACPI, [always("index").uint(64)], []);
shape!(BACKEND, [filled("type"), filled("logFile")], []);
shape!(PORT_FORWARD, [always("proto"), filled("address"), filled("dev")], [many("range", &RANGE)]);
shape!(RANGE, [always("start").uint(64), filled("end").uint(64), filled("to").uint(64), filled("exclude")], []);
