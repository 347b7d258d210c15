//! Bytes → domain → fitted domain, with a profile for every subject: a refusal in one line each, or an output that is read again and
//! that a second mutation leaves as it is. An empty profile gives the very input back.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use virt_tailor::config::{ProfileArgument, Profiles, Request as Asked, Resolved, resolve};
use virt_tailor::domain::{Domain, LibvirtMode, Request, check, mutate};

const SETS: &[&str] = &[
    "viommu.model=intel",
    "viommu.virtioDevices=ats",
    "hostDevices.gpu0.functions.gpu0-audio=1",
    "hostDevices.gpu0.companions=auto",
    "hostDevices.gpu0.rom.bar=off",
    "hostDevices.gpu0.properties.x-vga=true",
    "memory.hardLimit=auto",
    "memory.locked=on",
    "memory.nosharepages=off",
    "firmware.mmio64=128Gi",
    "firmware.secureBoot=on",
    "pci.hole64=128Gi",
    "pci.rootPorts=4",
    "cpu.features.hypervisor=disable",
    "features.hypervVendorId=whatever",
    "devices.video=none",
    "devices.balloon=none",
    "devices.sharedMemory.looking-glass=64Mi",
    "qemu.env.X=1",
];

/// Nothing; everything; everything but what only some domains have.
static PROFILES: LazyLock<[Resolved; 3]> = LazyLock::new(|| {
    let asked = |sets: Vec<&str>| {
        let profiles = if sets.is_empty() { Vec::new() } else { vec![ProfileArgument::Name("gpu-workstation".to_owned())] };
        let sets = sets.into_iter().map(str::to_owned).collect();
        resolve(&Asked { profiles, sets, ..Asked::default() }, &Profiles::built_in()).unwrap()
    };
    let general = SETS.iter().copied().filter(|set| !set.starts_with("hostDevices") && !set.starts_with("firmware"));
    [asked(Vec::new()), asked(SETS.to_vec()), asked(general.collect())]
});

fuzz_target!(|data: &[u8]| {
    let Ok(domain) = Domain::parse(data) else { return };
    for finding in check(domain.document(), true) {
        assert!(!finding.message.contains('\n'), "{finding:?}");
    }
    for (index, profile) in PROFILES.iter().enumerate() {
        for libvirt in [LibvirtMode::System, LibvirtMode::Session] {
            let request = Request { profile, vm: None, host: None, libvirt, lock_confirmed: false };
            match mutate(domain.clone(), &request) {
                Err(refusal) => {
                    assert!(index > 0, "an empty profile refuses");
                    assert!(!refusal.problems.is_empty());
                }
                Ok(outcome) => {
                    assert!(index > 0 || outcome.bytes == data, "an empty profile changes something");
                    assert_eq!(outcome.changes.is_empty(), outcome.bytes == data, "{:?}", outcome.changes);
                    let again = mutate(Domain::parse(outcome.bytes.clone()).expect("our own output"), &request).expect("again");
                    assert_eq!(again.bytes, outcome.bytes, "not idempotent: {:?}", again.changes);
                }
            }
        }
    }
});
