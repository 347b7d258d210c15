//! Never the only keyboard, unless somebody says so.

use super::Allowance;
use super::site::Site;
use crate::base::PciAddress;
use crate::config::node::Risk;

/// Why a USB controller stays. Disks and NICs on it are the others' business.
pub(super) fn refusals(site: &Site, address: PciAddress, allowance: Allowance<'_>) -> Vec<String> {
    let last = site.usb.only_keyboards(address);
    if last && allowance.config.acknowledged(address, Risk::LastKeyboard).is_none() {
        return vec![format!(
            "the only keyboard hangs on {address}: guards.acknowledge with risk: lastKeyboard for this address allows it"
        )];
    }
    Vec::new()
}
