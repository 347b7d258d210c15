//! Attributes whose *reading* takes the device's lock.
//!
//! While an unbind of a device hangs, the kernel holds that lock, and a reader of these hangs with it and cannot be killed. So none of the
//! views reads them. Only a process that may be lost for good, a child with a deadline, may call what is here.

use super::error::HostError;
use super::pci::folder;
use super::root::Root;
use super::values;
use crate::base::PciAddress;

/// The driver that a function is reserved for; `None` without an override, or without such a function.
///
/// **May hang for ever**: only for an expendable child (kernel: drivers/pci/pci-sysfs.c, driver_override_show takes the device's
/// lock; newer kernels have a lock for the override alone, and nothing tells which one this is).
///
/// # Errors
///
/// [`HostError::Read`]: the system refused.
pub fn driver_override(root: &Root, address: PciAddress) -> Result<Option<String>, HostError> {
    let text = root.text(format!("{}/driver_override", folder(address)))?;
    // What the kernel prints for a null pointer. A driver's name cannot be that: it would have a folder of this name.
    Ok(text.filter(|text| !text.is_empty() && text != "(null)"))
}

/// How many virtual functions a physical one has; `None` without SR-IOV, or without such a function.
///
/// **May hang for ever**: only for an expendable child (kernel: drivers/pci/iov.c, sriov_numvfs_show takes the device's lock). The view
/// [`super::Pci`] has the links `virtfnN` instead.
///
/// # Errors
///
/// [`HostError::Read`]: the system refused. [`HostError::Malformed`]: it is no number.
pub fn sriov_numvfs(root: &Root, address: PciAddress) -> Result<Option<u32>, HostError> {
    root.value(format!("{}/sriov_numvfs", folder(address)), "a number of virtual functions", values::number)
}

#[cfg(test)]
mod tests {
    use super::{driver_override, sriov_numvfs};
    use crate::base::PciAddress;
    use crate::host::testing::Tree;

    #[test]
    fn an_override_or_none() {
        let address: PciAddress = "0000:01:00.0".parse().unwrap();
        for (text, wanted) in [("(null)\n", None), ("\n", None), ("vfio-pci\n", Some("vfio-pci"))] {
            let tree = Tree::new().file("sys/bus/pci/devices/0000:01:00.0/driver_override", text);
            assert_eq!(driver_override(&tree.root(), address).unwrap().as_deref(), wanted);
        }
        assert_eq!(driver_override(&Tree::new().root(), address).unwrap(), None, "no such device");
    }

    #[test]
    fn a_number_of_virtual_functions() {
        let address: PciAddress = "0000:01:00.0".parse().unwrap();
        let path = "sys/bus/pci/devices/0000:01:00.0/sriov_numvfs";
        assert_eq!(sriov_numvfs(&Tree::new().file(path, "3\n").root(), address).unwrap(), Some(3));
        assert!(sriov_numvfs(&Tree::new().file(path, "three\n").root(), address).is_err());
    }
}
