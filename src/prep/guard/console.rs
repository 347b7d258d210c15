//! Consoles that are no displays: serial lines, and those of a hypervisor.

use super::Allowance;
use super::site::Site;
use crate::base::PciAddress;
use crate::config::node::Risk;
use crate::host::Console;

/// Why a function stays that the kernel's console is on.
pub(super) fn refusals(site: &Site, address: PciAddress, allowance: Allowance<'_>) -> Vec<String> {
    if allowance.config.acknowledged(address, Risk::LastConsole).is_some() {
        return Vec::new();
    }
    let consoles = site.display.consoles.iter();
    let on = consoles.filter(|console| console.enabled && !console.is_display() && is_on(site, console, address));
    on.map(|console| {
        format!(
            "the kernel's console {} is on {address}: guards.acknowledge with risk: lastConsole for this address allows it",
            console.name
        )
    })
    .collect()
}

/// Whether a console is on a function or behind it.
pub(super) fn is_on(site: &Site, console: &Console, address: PciAddress) -> bool {
    // A hypervisor's console does not say whose it is (kernel: drivers/tty/hvc/hvc_console.c has no parent device).
    let virtio = || site.virtio.get(&address).is_some_and(|drivers| drivers.contains("virtio_console"));
    console.functions.contains(&address)
        || (console.name.starts_with("hvc") && console.functions.is_empty() && virtio())
}
