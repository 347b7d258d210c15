//! Numbers that people know in hexadecimal, for serde: a vendor is `"10de"`, an address `"0xfb000000"`.

use std::fmt::LowerHex;

use serde::Serializer;

/// A PCI vendor or device id: four digits, as in `lspci -n`.
pub(super) fn id<S: Serializer>(value: &u16, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:04x}"))
}

/// A PCI class code: six digits.
pub(super) fn class<S: Serializer>(value: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:06x}"))
}

/// An address or a set of flags, as sysfs writes it.
pub(super) fn prefixed<T: LowerHex, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:#x}"))
}
