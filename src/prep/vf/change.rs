//! The PF's network interface, and one change by it.

use std::io;

use nix::libc;

use super::{VfSetting, netlink};
use crate::base::PciAddress;
use crate::host::Root;
use crate::prep::trouble::Trouble;

/// A PF's network interface: name and index. `None` if it has none, or it is in a pod's network namespace.
///
/// A card with several ports on one function has several: the first port's (`dev_port` 0) is the one that speaks for VFs.
pub(in crate::prep) fn interface_of(root: &Root, pf: PciAddress) -> Result<Option<(String, u32)>, Trouble> {
    let folder = format!("sys/bus/pci/devices/{pf}/net");
    let names = root.names(&folder)?;
    // Port representors (switchdev) are children of the PF as well; they bear the name of a VF's port.
    let mut found: Option<(bool, u32, String, u32)> = None;
    for name in names {
        let number = |file: &str| root.value(format!("{folder}/{name}/{file}"), "a number", |text| text.parse().ok());
        let Some(index) = number("ifindex")? else { continue };
        let port = number("dev_port")?.unwrap_or(0);
        let representor = root
            .text(format!("{folder}/{name}/phys_port_name"))
            .ok()
            .flatten()
            .is_some_and(|port| port.contains("vf") || port.contains("sf"));
        let candidate = (representor, port, name, index);
        if found.as_ref().is_none_or(|best| candidate < *best) {
            found = Some(candidate);
        }
    }
    Ok(found.map(|(_, _, name, index)| (name, index)))
}

/// Makes one change.
///
/// # Errors
///
/// [`Trouble`]: see [`crate::prep::Effects::set_vf`].
pub(in crate::prep) fn change(root: &Root, pf: PciAddress, index: u32, setting: VfSetting) -> Result<(), Trouble> {
    let Some((name, interface)) = interface_of(root, pf)? else {
        return Err(Trouble::new(no_interface(pf)));
    };
    netlink::set(root, interface, index, setting).map_err(|error| {
        let driver = root.link_name(format!("sys/bus/pci/devices/{pf}/driver")).ok().flatten();
        refused(&name, driver.as_deref().unwrap_or("no driver"), index, setting, &error)
    })
}

/// Why nothing can be set or read.
pub(in crate::prep) fn no_interface(pf: PciAddress) -> String {
    format!(
        "{pf} has no network interface in the host's network namespace, so its VFs cannot be set up: \
         give it its own driver, or back from the pod that has it"
    )
}

fn refused(name: &str, driver: &str, index: u32, setting: VfSetting, error: &io::Error) -> Trouble {
    let meaning = match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => Some(format!("driver {driver} has no {} for VFs", setting.name())),
        Some(libc::EPROTONOSUPPORT) => Some(format!("driver {driver} has no such kind of VLAN tag for VFs")),
        Some(libc::EINVAL) => Some(format!("driver {driver} does not take this {}", setting.name())),
        Some(libc::ENETDOWN | libc::EAGAIN) => Some(format!("set {name} up first")),
        _ => None,
    };
    let mut trouble = Trouble::io(format_args!("cannot set {setting} of VF {index} of {name}"), error);
    if let Some(meaning) = meaning {
        trouble.message = format!("{}: {meaning}", trouble.message);
    }
    trouble
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prep::vf::Mac;

    #[test]
    fn a_refusal_names_attribute_and_driver() {
        let error = io::Error::from_raw_os_error(libc::EOPNOTSUPP);
        let trouble = refused("eth0", "igb", 2, VfSetting::Trust(true), &error);
        assert_eq!(
            trouble.message,
            "cannot set trust on of VF 2 of eth0: Operation not supported (os error 95): driver igb has no trust for VFs"
        );
        let error = io::Error::from_raw_os_error(libc::EINVAL);
        let trouble = refused("eth0", "qede", 0, VfSetting::Mac(Mac::default()), &error);
        assert!(trouble.message.ends_with("driver qede does not take this MAC"), "{trouble}");
    }

    #[test]
    fn the_first_port_speaks_for_vfs() {
        let folder = tempfile::tempdir().unwrap();
        let pf: PciAddress = "0000:3b:00.0".parse().unwrap();
        let root = Root::new(folder.path());
        assert_eq!(interface_of(&root, pf).unwrap(), None);
        for (name, index, port, phys) in [("a0", 5, 0, "pf0vf1"), ("b0", 4, 1, "p1"), ("c0", 3, 0, "p0")] {
            let net = folder.path().join(format!("sys/bus/pci/devices/{pf}/net/{name}"));
            std::fs::create_dir_all(&net).unwrap();
            std::fs::write(net.join("ifindex"), format!("{index}\n")).unwrap();
            std::fs::write(net.join("dev_port"), format!("{port}\n")).unwrap();
            std::fs::write(net.join("phys_port_name"), format!("{phys}\n")).unwrap();
        }
        assert_eq!(interface_of(&root, pf).unwrap(), Some(("c0".to_owned(), 3)));
    }
}
