//! The running kernel.

use serde::Serialize;

use super::attribute;
use super::root::Root;
use super::values;

/// The running kernel. What could not be read is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kernel {
    /// `uname -r`: where its modules lie. Never a reason to expect a feature, for distributions port things back.
    pub release: Option<String>,
    /// Another one after every boot.
    pub boot_id: Option<String>,
    /// Its arguments, to be shown to a person. Never a reason for a verdict: an argument may be misspelt, overridden or ignored.
    pub command_line: Option<String>,
    /// What the kernel keeps even from root; `None` too where the kernel knows no lockdown.
    pub lockdown: Option<Lockdown>,
    /// Whether loading modules has been forbidden until the next boot.
    pub modules_disabled: Option<bool>,
    /// Bits that say what the kernel's makers do not answer for (kernel: Documentation/admin-guide/tainted-kernels.rst).
    pub taint: Option<u64>,
    /// Whether VFIO hands out devices although their interrupts are not remapped (`allow_unsafe_interrupts`): a guest can attack the host.
    pub unsafe_interrupts: Option<bool>,
}

/// Kernel lockdown (kernel: security/lockdown).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Lockdown {
    /// Off.
    None,
    /// Root may not change the kernel: no modules without a signature.
    Integrity,
    /// Nor read its secrets.
    Confidentiality,
}

impl Kernel {
    /// Reads what can be read.
    pub fn read(root: &Root) -> Self {
        Self {
            release: attribute::text(root, "proc/sys/kernel/osrelease"),
            boot_id: attribute::text(root, "proc/sys/kernel/random/boot_id"),
            command_line: attribute::text(root, "proc/cmdline"),
            lockdown: attribute::value(root, "sys/kernel/security/lockdown", lockdown),
            modules_disabled: attribute::value(root, "proc/sys/kernel/modules_disabled", values::switch),
            taint: attribute::value(root, "proc/sys/kernel/tainted", attribute::number),
            unsafe_interrupts: attribute::value(
                root,
                "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
                letter,
            ),
        }
    }
}

/// A switch among module parameters: `Y` or `N`.
fn letter(text: &str) -> Option<bool> {
    match text {
        "Y" => Some(true),
        "N" => Some(false),
        _ => None,
    }
}

/// `none [integrity] confidentiality`: what is in brackets.
fn lockdown(text: &str) -> Option<Lockdown> {
    let chosen = text.split_ascii_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'))?;
    match chosen {
        "none" => Some(Lockdown::None),
        "integrity" => Some(Lockdown::Integrity),
        "confidentiality" => Some(Lockdown::Confidentiality),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Kernel, Lockdown};
    use crate::host::testing::Tree;

    #[test]
    fn what_it_says_of_itself() {
        let tree = Tree::new()
            .file("proc/sys/kernel/osrelease", "6.12.0-55.el10.x86_64\n")
            .file("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
            .file("proc/sys/kernel/modules_disabled", "0\n")
            .file("proc/sys/kernel/tainted", "4097\n")
            .file("sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N\n");
        let kernel = Kernel::read(&tree.root());
        assert_eq!(kernel.release.as_deref(), Some("6.12.0-55.el10.x86_64"));
        assert_eq!((kernel.lockdown, kernel.taint), (Some(Lockdown::Integrity), Some(4097)));
        assert_eq!((kernel.modules_disabled, kernel.unsafe_interrupts), (Some(false), Some(false)));
        assert_eq!(kernel.boot_id, None);
    }
}
