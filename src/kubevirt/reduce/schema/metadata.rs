//! `<metadata>`: KubeVirt's own element and nothing else.

use super::{BOOL, INT, Namespace, TEXT, one, opt, shape, some};

shape!(
    /// Metadata of others is lost.
    METADATA,
    [],
    [one("kubevirt", &KUBEVIRT).within(Namespace::Declared("http://kubevirt.io"))]
);
shape!(
    KUBEVIRT,
    [],
    [
        one("uid", &TEXT),
        opt("graceperiod", &GRACE_PERIOD),
        opt("migration", &MIGRATION),
        opt("accessCredential", &ACCESS_CREDENTIAL),
        opt("memoryDump", &MEMORY_DUMP),
    ]
);
// Points in time are kept as they stand: Go would parse them and write them alike.
shape!(
    GRACE_PERIOD,
    [],
    [
        one("deletionGracePeriodSeconds", &INT),
        some("deletionTimestamp", &TEXT),
        opt("markedForGracefulShutdown", &BOOL),
    ]
);
shape!(
    MIGRATION,
    [],
    [
        some("uid", &TEXT),
        some("startTimestamp", &TEXT),
        some("endTimestamp", &TEXT),
        some("failed", &BOOL),
        some("failureReason", &TEXT),
        some("abortStatus", &TEXT),
        some("mode", &TEXT),
    ]
);
shape!(ACCESS_CREDENTIAL, [], [some("succeeded", &BOOL), some("message", &TEXT)]);
shape!(
    MEMORY_DUMP,
    [],
    [
        some("fileName", &TEXT),
        some("startTimestamp", &TEXT),
        some("endTimestamp", &TEXT),
        some("completed", &BOOL),
        some("failed", &BOOL),
        some("failureReason", &TEXT),
    ]
);
