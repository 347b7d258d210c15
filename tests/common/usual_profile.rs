//! What a hook is usually asked for, resolved; for benchmarks and the test of peak memory.

use virt_tailor::config::{ProfileArgument, Profiles, Request, Resolved, resolve};
use virt_tailor::domain::{self, Domain, LibvirtMode, mutate};

/// A vIOMMU with virtio devices behind it, limits, CPU, features and a QEMU argument; with `devices` also the settings of the
/// workstation sample's GPU.
pub(crate) fn resolved(devices: bool) -> Resolved {
    let mut sets = vec![
        "viommu.model=intel",
        "viommu.virtioDevices=on",
        "memory.hardLimit=auto",
        "memory.locked=on",
        "features.hypervVendorId=whatever",
        "qemu.env.X=1",
    ];
    if devices {
        sets.extend([
            "firmware.mmio64=64Gi",
            "hostDevices.gpu0.address=0000:20:00.0",
            "hostDevices.gpu0.functions.gpu0-audio=1",
            "hostDevices.gpu0.rom.bar=off",
            "hostDevices.gpu0.properties.x-vga=true",
        ]);
    }
    let request = Request {
        profiles: vec![ProfileArgument::Name("gpu-workstation".to_owned())],
        sets: sets.into_iter().map(str::to_owned).collect(),
        ..Request::default()
    };
    resolve(&request, &Profiles::built_in()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Bytes to bytes.
pub(crate) fn mutated(bytes: &[u8], profile: &Resolved) -> Vec<u8> {
    let request =
        domain::Request { profile, vm: None, host: None, libvirt: LibvirtMode::System, lock_confirmed: false };
    let outcome = mutate(Domain::parse(bytes).unwrap_or_else(|e| panic!("{e}")), &request);
    outcome.unwrap_or_else(|refusal| panic!("{refusal}")).bytes
}
