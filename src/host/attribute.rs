//! Attributes that are there or not, by kernel and kind of device.
//!
//! One that cannot be read (not there, no right to it, the device does not answer) says nothing, and must not keep anybody from knowing
//! the rest of a machine: it is `None`. Lists of things are another matter: who cannot list a folder does not know that it is empty.

use super::root::Root;

/// A text without the blanks around it.
pub(super) fn text(root: &Root, path: &str) -> Option<String> {
    root.text(path).ok().flatten()
}

/// A text that `value` understands.
pub(super) fn value<T>(root: &Root, path: &str, value: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    value(&text(root, path)?)
}

/// The last name of where a link leads.
pub(super) fn link_name(root: &Root, path: &str) -> Option<String> {
    root.link_name(path).ok().flatten()
}

/// A whole number without a sign.
pub(super) fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}
