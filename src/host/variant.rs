//! The VFIO driver that was made for a device: modules announce themselves with `alias vfio_pci:v…` (kernel: scripts/mod/file2alias.c).

use super::error::HostError;
use super::root::Root;

/// The fields of a PCI alias, in order (kernel: scripts/mod/file2alias.c, do_pci_entry): vendor, device, those of the card, class.
const FIELDS: [&str; 7] = ["v", "d", "sv", "sd", "bc", "sc", "i"];

/// The module of the best VFIO variant driver for a device; `None` if plain `vfio-pci` is all there is, or the release has no list.
///
/// Of several the one with the fewest wildcards, the first of equal ones (libvirt: src/util/virpci.c,
/// virPCIDeviceFindBestVFIOVariant). `modalias` is the device's, `pci:v…`. The module's name is not the driver's: see [`pci_drivers`].
///
/// # Errors
///
/// [`HostError`]: the list is there and cannot be read.
pub fn vfio_variant(root: &Root, release: &str, modalias: &str) -> Result<Option<String>, HostError> {
    let Some(device) = modalias.strip_prefix("pci:").and_then(fields) else { return Ok(None) };
    // A name from outside must not lead elsewhere.
    if release.is_empty() || release.starts_with('.') || release.contains('/') {
        return Ok(None);
    }
    // Under another machine's root an absolute link /lib would lead to our own.
    for modules in ["usr/lib/modules", "lib/modules"] {
        if let Some(aliases) = root.text(format!("{modules}/{release}/modules.alias"))? {
            return Ok(best(&aliases, device));
        }
    }
    Ok(None)
}

/// The PCI drivers that a loaded module provides: `vfio-pci` of `vfio_pci`. Empty if it is not loaded, or built into the kernel without
/// a name.
///
/// # Errors
///
/// [`HostError::Read`]: the list cannot be read.
pub fn pci_drivers(root: &Root, module: &str) -> Result<Vec<String>, HostError> {
    // modprobe takes both, the kernel knows the underscore only (kernel: scripts/Makefile.lib, name-fix).
    let names = root.names(format!("sys/module/{}/drivers", module.replace('-', "_")))?;
    Ok(names.iter().filter_map(|name| name.strip_prefix("pci:")).map(str::to_owned).collect())
}

/// The module of the best alias.
fn best(aliases: &str, device: [&str; 7]) -> Option<String> {
    let candidate = |line: &str| {
        let mut words = line.strip_prefix("alias ")?.split_ascii_whitespace();
        let alias = fields(words.next()?.strip_prefix("vfio_pci:")?)?;
        let module = words.next()?;
        let fits = |(alias, device): (&&str, &&str)| *alias == "*" || alias.eq_ignore_ascii_case(device);
        let wildcards = alias.iter().filter(|field| **field == "*").count();
        // The plain driver's own entry, which wants to be named by somebody (override_only), has wildcards only.
        alias.iter().zip(&device).all(fits).then(|| (wildcards, module.to_owned()))
    };
    let best = aliases.lines().filter_map(candidate).min_by_key(|(wildcards, _)| *wildcards);
    best.map(|(_, module)| module).filter(|module| module != "vfio_pci")
}

/// The texts of an alias' fields; `None` if it is no PCI alias.
fn fields(alias: &str) -> Option<[&str; 7]> {
    let mut rest = alias.strip_prefix(FIELDS[0])?;
    let mut found = [""; 7];
    for (slot, next) in found.iter_mut().zip(FIELDS.iter().skip(1)) {
        // Values are upper case, names are not.
        let (value, after) = rest.split_once(next)?;
        (*slot, rest) = (value, after);
    }
    *found.last_mut()? = rest;
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::{pci_drivers, vfio_variant};
    use crate::host::testing::Tree;

    const CONNECTX: &str = "pci:v000015B3d0000101Esv000015B3sd00000043bc02sc00i00";
    const ALIASES: &str = "# Aliases extracted from modules themselves.
alias pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_core
alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci
alias vfio_pci:v000015B3d*sv*sd*bc*sc*i* too_wide
alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci
alias vfio_pci:v000015B3d0000101Fsv*sd*bc*sc*i* another_device
";

    fn variant(modalias: &str, release: &str) -> Option<String> {
        let tree = Tree::new().file("lib/modules/6.12.1/modules.alias", ALIASES);
        vfio_variant(&tree.root(), release, modalias).unwrap()
    }

    #[test]
    fn the_fewest_wildcards_win() {
        assert_eq!(variant(CONNECTX, "6.12.1").as_deref(), Some("mlx5_vfio_pci"));
        let wide = CONNECTX.replace("101E", "1021");
        assert_eq!(variant(&wide, "6.12.1").as_deref(), Some("too_wide"));
    }

    #[test]
    fn none_is_plain_vfio_pci() {
        let nvidia = "pci:v000010DEd00002206sv00001458sd0000403Bbc03sc00i00";
        assert_eq!(variant(nvidia, "6.12.1"), None);
        assert_eq!(variant(CONNECTX, "6.13.0"), None, "another release");
        assert_eq!(variant(CONNECTX, "../modules/6.12.1"), None);
        assert_eq!(variant("usb:v1D6B", "6.12.1"), None);
    }

    #[test]
    fn a_driver_is_not_called_like_its_module() {
        let tree = Tree::new()
            .folder("sys/module/xe_vfio_pci/drivers/pci:xe-vfio-pci")
            .folder("sys/module/xe_vfio_pci/drivers/usb:x");
        assert_eq!(pci_drivers(&tree.root(), "xe-vfio-pci").unwrap(), ["xe-vfio-pci"]);
        assert!(pci_drivers(&tree.root(), "nothing").unwrap().is_empty());
    }
}
