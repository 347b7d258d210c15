//! The table.

use crate::base::PciAddress;
use crate::config::{AutoSize, MaxPhysAddr, NoneOnly, OnOff, PropertyValue};
use crate::host::PciFunction;

use super::{Fitting, Quirk};

const NVIDIA: u16 = 0x10de;
const INTEL: u16 = 0x8086;
/// Display controllers (class 03).
const DISPLAY: u32 = 0x03;
/// VGA compatible controller (class 0300): can be the first picture of a machine; data-centre cards are 0302.
const VGA: u32 = 0x0300;
/// A device with one 64-bit BAR of this size or more needs room beyond 4 GiB for sure.
const LARGE_BAR: u64 = 4 << 30;

/// Every quirk there is, in the order they are applied.
pub const QUIRKS: &[Quirk] = &[
    Quirk {
        name: "large-bars",
        reason: "large BARs do not fit the firmware's default 64-bit window: the device gets no memory and its driver fails",
        source: "kubevirt#11093, harvester#5619; OVMF X-PciMmio64Mb",
        matches: |function| function.bars.iter().any(|bar| bar.wide && bar.size >= LARGE_BAR),
        apply: large_bars,
    },
    Quirk {
        name: "nvidia-consumer",
        reason: "GeForce drivers before 465 stop with code 43 when they see a hypervisor",
        source: "kubevirt#1919, kubevirt#3285; NVIDIA driver 465 release notes",
        matches: |function| function.vendor == NVIDIA && function.class >> 8 == VGA,
        apply: nvidia_consumer,
    },
    Quirk {
        name: "primary-gpu",
        reason: "beside an emulated display the guest may take that one for its first picture, and the monitor stays dark",
        source: "kubevirt#8232, kubevirt#12825",
        matches: |function| function.class >> 8 == VGA && !is_igd(function),
        apply: primary_gpu,
    },
    Quirk {
        name: "intel-igd",
        reason: "Intel's driver finds its firmware tables only at guest address 00:02.0 with the OpRegion passed on",
        source: "QEMU docs/igd-assign.txt; kubevirt#11338",
        matches: is_igd,
        apply: intel_igd,
    },
    Quirk {
        name: "no-reset",
        reason: "the device has no reset: after the VM stops it may not work again until the host is powered off",
        source: "Linux Documentation/ABI/testing/sysfs-bus-pci, reset_method",
        // Functions other than 0 are reset with their slot; most of them have no method of their own.
        matches: |function| function.address.function() == 0 && !function.can_reset(),
        apply: |fitting| {
            Err(format!("{} offers no reset method; this is a warning, nothing is changed", fitting.facts.address))
        },
    },
];

fn is_igd(function: &PciFunction) -> bool {
    let at = function.address;
    function.vendor == INTEL
        && function.class >> 16 == DISPLAY
        && (at.domain, at.bus, at.slot(), at.function()) == (0, 0, 2, 0)
}

fn large_bars(fitting: &mut Fitting<'_>) -> Result<(), String> {
    if fitting.domain.window.is_none() {
        return Err("the BARs of the assigned devices fit the default 64-bit window of 32 GiB".to_owned());
    }
    let profile = &mut *fitting.profile;
    if fitting.domain.efi {
        profile.firmware.mmio64.get_or_insert(AutoSize::Auto);
    }
    if fitting.domain.q35 {
        profile.pci.hole64.get_or_insert(AutoSize::Auto);
    }
    if fitting.domain.host_cpu {
        profile.cpu.max_phys_addr.get_or_insert(MaxPhysAddr::Passthrough);
        return Ok(());
    }
    Err("the CPU model is not the host's, so its address width stays; large BARs may not fit".to_owned())
}

fn nvidia_consumer(fitting: &mut Fitting<'_>) -> Result<(), String> {
    if fitting.domain.hyperv_passthrough {
        return Err(
            "<hyperv mode='passthrough'> shows the guest a hypervisor whatever is hidden, so nothing is hidden"
                .to_owned(),
        );
    }
    let profile = &mut *fitting.profile;
    profile.features.hide_kvm.get_or_insert(OnOff::On);
    if fitting.domain.hyperv {
        profile.features.hyperv_vendor_id.get_or_insert_with(|| "virt-tailor".to_owned());
    }
    Ok(())
}

fn primary_gpu(fitting: &mut Fitting<'_>) -> Result<(), String> {
    if fitting.domain.graphics {
        return Err("the domain has <graphics> (VNC), which needs the emulated display; set autoattachGraphicsDevice: false in the VM".to_owned());
    }
    if fitting.domain.mdev_display {
        return Err("a mediated device shows its picture through the emulated display".to_owned());
    }
    fitting.profile.devices.video.get_or_insert(NoneOnly::None);
    Ok(())
}

fn intel_igd(fitting: &mut Fitting<'_>) -> Result<(), String> {
    let Some(wanted) = PciAddress::new(0, 0, 2, 0) else { return Ok(()) };
    let explicit = fitting.device.address.is_some_and(|address| address != wanted);
    let occupied = fitting.domain.occupied.iter().any(|address| address.same_slot(wanted));
    if explicit || occupied {
        return Err(
            "guest address 0000:00:02.0 is taken, or another one is asked for; the driver may find no OpRegion"
                .to_owned(),
        );
    }
    fitting.device.address = Some(wanted);
    fitting.device.properties.entry("x-igd-opregion".to_owned()).or_insert(PropertyValue::Bool(true));
    Ok(())
}
