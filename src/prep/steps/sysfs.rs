//! Names of PCI functions' files, as several kinds of step write them.

use crate::base::PciAddress;
use crate::prep::action::{Action, HostFile};

/// `sys/bus/pci/devices/<address>/<name>`.
pub(super) fn function(address: PciAddress, name: &str) -> String {
    format!("sys/bus/pci/devices/{address}/{name}")
}

/// A write to an attribute of a PCI function. `name` is a literal of ours or a parsed value, so it always makes a file that may be
/// written.
pub(super) fn write_function(address: PciAddress, name: &str, value: impl Into<String>) -> Option<Action> {
    write(function(address, name), value)
}

/// A write to any file; `None` if the path is no file that may be written.
pub(super) fn write(path: String, value: impl Into<String>) -> Option<Action> {
    HostFile::new(path).ok().map(|file| Action::write(file, value))
}
