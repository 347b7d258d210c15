//! The sections of a profile.

use std::collections::BTreeMap;

use crate::base::ByteSize;
use crate::config::spec::{
    AutoOff, Cpu, CpuCache, Devices, DomainProfile, FeaturePolicy, Features, Firmware, FirmwareType, Guest, Ioapic,
    Memory, NoneOnly, Pci, Qemu, Viommu, ViommuModel, VirtioDevices,
};
use crate::config::tree::{Node, Value, quote};

use super::devices::host_devices;
use super::values::{
    Read, absolute_path, auto_off_size, auto_size, integer, max_phys_addr, memlock, on_off, on_off_auto, quoted_text,
    size, text, word,
};
use super::{Report, Section};

/// 1 MiB, 1 GiB, 1 TiB.
const MI: u64 = 1 << 20;
const GI: u64 = 1 << 30;
const TI: u64 = 1 << 40;

/// Reads a spec. What is wrong is told to the report and left out.
pub(in crate::config) fn read_spec(node: &Node, report: &Report) -> DomainProfile {
    let mut spec = Section::open(Some(node), "", report);
    let profile = DomainProfile {
        viommu: viommu(spec.section("viommu")),
        host_devices: host_devices(spec.items("hostDevices"), report),
        memory: memory(spec.section("memory")),
        firmware: firmware(spec.section("firmware")),
        pci: pci(spec.section("pci")),
        cpu: cpu(spec.section("cpu")),
        features: features(spec.section("features")),
        devices: devices(spec.section("devices")),
        quirks: spec.take("quirks", auto_off),
        qemu: qemu(spec.section("qemu")),
        guest: guest(spec.section("guest")),
    };
    spec.finish();
    profile
}

/// `auto` or `off`.
pub(super) fn auto_off(node: &Node) -> Read<AutoOff> {
    word(&[("auto", AutoOff::Auto), ("off", AutoOff::Off)])(node)
}

fn none_only(node: &Node) -> Read<NoneOnly> {
    word(&[("none", NoneOnly::None)])(node)
}

/// `None` without a model: that this is a mistake shows only when all layers are merged.
fn viommu(mut section: Section<'_>) -> Option<Viommu> {
    let present = section.is_present();
    let model = section.take(
        "model",
        word(&[
            ("intel", ViommuModel::Intel),
            ("virtio", ViommuModel::Virtio),
            ("amd", ViommuModel::Amd),
            ("smmuv3", ViommuModel::Smmuv3),
        ]),
    );
    let viommu = Viommu {
        model: model.unwrap_or(ViommuModel::Intel),
        interrupt_remapping: section.take("interruptRemapping", on_off_auto),
        caching_mode: section.take("cachingMode", on_off_auto),
        eim: section.take("eim", on_off_auto),
        iotlb: section.take("iotlb", on_off),
        aw_bits: section.take("awBits", integer(32..=64)),
        dma_translation: section.take("dmaTranslation", on_off),
        xtsup: section.take("xtsup", on_off),
        pci_bus: section.take("pciBus", integer(0..=255)),
        accel: section.take("accel", on_off),
        ats: section.take("ats", on_off),
        ril: section.take("ril", on_off),
        ssid_size: section.take("ssidSize", integer(0..=20)),
        oas: section.take("oas", integer(32..=64)),
        virtio_devices: section.take(
            "virtioDevices",
            word(&[("off", VirtioDevices::Off), ("on", VirtioDevices::On), ("ats", VirtioDevices::Ats)]),
        ),
    };
    section.finish();
    (present && model.is_some()).then_some(viommu)
}

fn memory(mut section: Section<'_>) -> Memory {
    let memory = Memory {
        hard_limit: section.take("hardLimit", auto_off_size),
        locked: section.take("locked", on_off),
        nosharepages: section.take("nosharepages", on_off),
    };
    section.finish();
    memory
}

fn firmware(mut section: Section<'_>) -> Firmware {
    let firmware = Firmware {
        kind: section.take("type", word(&[("efi", FirmwareType::Efi), ("bios", FirmwareType::Bios)])),
        loader: section.take("loader", absolute_path),
        nvram_template: section.take("nvramTemplate", absolute_path),
        secure_boot: section.take("secureBoot", on_off),
        stateless: section.take("stateless", on_off),
        // OVMF reads opt/ovmf/X-PciMmio64Mb: a decimal number of MiB, 16 TiB at most.
        mmio64: section.take("mmio64", auto_size(MI, MI, 16 * TI)),
    };
    section.finish();
    firmware
}

fn pci(mut section: Section<'_>) -> Pci {
    let pci = Pci {
        // libvirt counts <pcihole64> in KiB; 0 takes the hole away.
        hole64: section.take("hole64", auto_size(1 << 10, 0, 1 << 62)),
        root_ports: section.take("rootPorts", integer(0..=64)),
    };
    section.finish();
    pci
}

fn cpu(mut section: Section<'_>) -> Cpu {
    let policies = word(&[
        ("force", FeaturePolicy::Force),
        ("require", FeaturePolicy::Require),
        ("optional", FeaturePolicy::Optional),
        ("disable", FeaturePolicy::Disable),
        ("forbid", FeaturePolicy::Forbid),
    ]);
    let cpu = Cpu {
        max_phys_addr: section.take("maxPhysAddr", max_phys_addr),
        max_phys_addr_limit: section.take("maxPhysAddrLimit", integer(32..=64)),
        cache: section.take(
            "cache",
            word(&[
                ("passthrough", CpuCache::Passthrough),
                ("emulate", CpuCache::Emulate),
                ("disable", CpuCache::Disable),
            ]),
        ),
        features: section.map("features", cpu_feature, policies),
    };
    section.finish();
    cpu
}

fn cpu_feature(name: &str) -> Read<String> {
    named(name, "a CPU feature", |c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c))
}

fn features(mut section: Section<'_>) -> Features {
    let features = Features {
        hide_kvm: section.take("hideKvm", on_off),
        hyperv_vendor_id: section.take("hypervVendorId", vendor_id),
        ioapic: section.take("ioapic", word(&[("qemu", Ioapic::Qemu), ("kvm", Ioapic::Kvm)])),
    };
    section.finish();
    features
}

/// libvirt: at most 12 characters, no comma (libvirt 11.3, qemu_validate.c).
fn vendor_id(node: &Node) -> Read<String> {
    let id = text(node)?;
    let length = id.chars().count();
    if length > 12 {
        return Err(format!("{} has {length} characters: a Hyper-V vendor id has at most 12", quote(&id)));
    }
    if id.contains(',') || !id.is_ascii() {
        return Err(format!("{} must be plain ASCII without a comma", quote(&id)));
    }
    Ok(id)
}

fn devices(mut section: Section<'_>) -> Devices {
    let devices = Devices {
        video: section.take("video", none_only),
        balloon: section.take("balloon", none_only),
        shared_memory: section.map("sharedMemory", shared_memory_name, shared_memory_size),
    };
    section.finish();
    devices
}

fn shared_memory_name(name: &str) -> Read<String> {
    if matches!(name, "." | "..") {
        return Err(format!("{name:?} is not a name for shared memory"));
    }
    named(name, "shared memory", |c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// libvirt's `<shmem>` takes powers of two from 1 MiB.
fn shared_memory_size(node: &Node) -> Read<ByteSize> {
    let size = size(node)?;
    if size.as_bytes() < MI || !size.as_bytes().is_power_of_two() {
        return Err(format!("{size} is not a power of two of at least 1Mi, e.g. 64Mi"));
    }
    Ok(size)
}

fn qemu(mut section: Section<'_>) -> Qemu {
    let qemu = Qemu { args: section.list("args", quoted_text), env: section.map("env", env_name, text) };
    section.finish();
    qemu
}

fn env_name(name: &str) -> Read<String> {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("{name:?} starts with a digit: no variable does"));
    }
    named(name, "an environment variable", |c| c.is_ascii_alphanumeric() || c == '_')
}

fn guest(mut section: Section<'_>) -> Guest {
    let guest = Guest {
        kernel_args: section.list("kernelArgs", kernel_arg),
        modules: section.map("modules", module_name, text),
        deny_modules: section.list("denyModules", |node| text(node).and_then(|name| module_name(&name))),
        hugepages: hugepages(&mut section),
        memlock: section.take("memlock", memlock),
    };
    section.finish();
    guest
}

/// One argument an item; white space only within quotes, as in `dyndbg="file x +p"`.
fn kernel_arg(node: &Node) -> Read<String> {
    let arg = quoted_text(node)?;
    let mut quoted = false;
    for c in arg.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                return Err(format!("{} has white space: write one kernel argument an item", quote(&arg)));
            }
            _ => {}
        }
    }
    if quoted {
        return Err(format!("{} has a quote that is not closed", quote(&arg)));
    }
    Ok(arg)
}

fn module_name(name: &str) -> Read<String> {
    named(name, "a kernel module", |c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn hugepages(section: &mut Section<'_>) -> BTreeMap<String, u64> {
    section.map("hugepages", hugepage_size, integer(0..=i128::from(u32::MAX)))
}

/// A page size: a power of two from 64Ki (arm64) to 16Gi; the canonical text is the key.
fn hugepage_size(text: &str) -> Read<String> {
    let size: ByteSize = text.parse().map_err(|error: crate::base::ByteSizeError| error.to_string())?;
    let bytes = size.as_bytes();
    if !bytes.is_power_of_two() || !(64 << 10..=16 * GI).contains(&bytes) {
        return Err(format!("{text:?} is not a size of huge pages: write e.g. 2Mi or 1Gi"));
    }
    Ok(size.to_string())
}

/// A name of certain characters.
pub(super) fn named(name: &str, what: &str, allowed: impl Fn(char) -> bool) -> Read<String> {
    if name.is_empty() {
        return Err(format!("the name of {what} is empty"));
    }
    match name.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(format!("{} is not the name of {what}: {c:?} does not belong in one", quote(name))),
        None => Ok(name.to_owned()),
    }
}

/// Whether a node is there and not null.
pub(in crate::config) fn is_given(node: Option<&Node>) -> bool {
    node.is_some_and(|node| node.value != Value::Null)
}
