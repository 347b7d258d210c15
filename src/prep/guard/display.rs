//! Never the only screen, unless somebody says so.

use super::Allowance;
use super::site::Site;
use crate::base::PciAddress;
use crate::config::node::{PrepareStep, Risk};
use crate::host::{Parent, PciDevice, VtKind};

/// Why a display stays: the last console, or what still draws on it.
pub(super) fn refusals(site: &Site, address: PciAddress, allowance: Allowance<'_>) -> Vec<String> {
    let mut refusals = Vec::new();
    let prepared =
        |step: fn(&PrepareStep) -> bool| allowance.resource.is_some_and(|resource| resource.prepare.iter().any(step));
    let is_display = site.pci.get(address).is_some_and(shows);
    let firmware: Vec<&str> = site
        .display
        .firmware_framebuffers_of(&site.pci, address)
        .filter(|fb| fb.driver.is_some())
        .map(|fb| fb.device.as_str())
        .collect();
    let cards: Vec<&str> = site.display.cards_of(address).collect();
    if !is_display && firmware.is_empty() && cards.is_empty() {
        return refusals;
    }
    if is_last_console(site, address) && allowance.config.acknowledged(address, Risk::LastConsole).is_none() {
        refusals.push(format!(
            "{address} is the only display, and there is no serial console: guards.acknowledge with risk: lastConsole for this address \
             allows it"
        ));
    }
    // Without a configuration there is no prepare to lack anything.
    if allowance.resource.is_none() {
        return refusals;
    }
    let consoles = site.display.vtconsoles.values().any(|console| console.bound && console.kind == VtKind::FrameBuffer);
    let draws = !cards.is_empty() || !firmware.is_empty();
    if consoles && draws && !prepared(|step| matches!(step, PrepareStep::Consoles(_))) {
        refusals.push(format!(
            "the kernel's console draws on a framebuffer while {address} has one: add consoles: release to prepare"
        ));
    }
    if !firmware.is_empty() && !prepared(|step| matches!(step, PrepareStep::Framebuffer(_))) {
        refusals.push(format!(
            "the firmware framebuffer {} lies in the memory of {address}: add framebuffer: release to prepare",
            firmware.join(", ")
        ));
    }
    refusals
}

/// Whether nothing is left to look at when this display goes: neither another display nor a console that is none.
fn is_last_console(site: &Site, address: PciAddress) -> bool {
    let other_console = site.display.consoles.iter().any(|console| {
        console.enabled && console.terminal && !console.is_display() && !super::console::is_on(site, console, address)
    });
    let other_display =
        site.pci.functions.values().any(|device| device.address() != address && shows(device) && !device.function.vfio);
    let other_card =
        site.display.cards.values().any(|parent| matches!(parent, Parent::Pci(other) if *other != address));
    !other_console && !other_display && !other_card
}

/// Whether a screen may hang on a function. A 3D controller (0302) has no outputs, nor has a virtual function.
fn shows(device: &PciDevice) -> bool {
    device.function.class >> 16 == 0x03 && device.function.class >> 8 != 0x0302 && !device.is_vf()
}
