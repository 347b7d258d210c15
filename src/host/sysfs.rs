//! PCI functions as `/sys/bus/pci/devices` shows them (kernel: Documentation/PCI/sysfs-pci.rst, ABI/testing/sysfs-bus-pci).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::HostError;
use super::facts::{HostFacts, PciFunction};
use super::folder::{Folder, is_gone, read_error};
use super::values;
use crate::base::{PciAddress, PciAddressError};

/// The part of config space that an unprivileged reader gets (kernel: drivers/pci/pci-sysfs.c, pci_read_config).
const CONFIG_LIMIT: u64 = 64;

/// Reads the PCI functions of the machine whose file system is at `root`: `/`, or a folder with a captured `sys`.
///
/// A captured tree may keep the links of `/sys/bus/pci/devices`, if `sys/devices` is captured too, or have plain folders in their place;
/// links inside a function (`driver`, `iommu_group`) have to be links still, but may lead nowhere.
///
/// A machine without PCI (no `sys/bus/pci/devices`) has empty facts. A function that is unplugged while it is read is left out.
///
/// # Errors
///
/// [`HostError`], naming the path: `root` has no `sys`; a file of sysfs is missing, unreadable, of another kind or holds what the kernel
/// does not write there; a link leads out of `root`. Config space is the exception: what keeps it from being read (rights, a device in
/// the wrong power state) only leaves the header type open.
pub fn read_pci(root: &Path) -> Result<HostFacts, HostError> {
    let Some((real_root, devices)) = devices_of(root)? else { return Ok(HostFacts::default()) };
    let mut pci = BTreeMap::new();
    for name in Folder::open(&real_root, &devices)?.names()? {
        if let Some(function) = read_function(&real_root, &devices, &name)? {
            pci.insert(function.address, function);
        }
    }
    Ok(HostFacts { pci })
}

/// Reads one function; `None` if there is none at this address, or it is unplugged while it is read.
///
/// # Errors
///
/// As for [`read_pci`].
pub(super) fn read_one(root: &Path, address: PciAddress) -> Result<Option<PciFunction>, HostError> {
    let Some((real_root, devices)) = devices_of(root)? else { return Ok(None) };
    let name = address.to_string();
    match fs::symlink_metadata(devices.join(&name)) {
        Err(source) if is_gone(&source) => Ok(None),
        _ => read_function(&real_root, &devices, OsStr::new(&name)),
    }
}

/// A root without links, and its folder of PCI devices; `None` for a machine without PCI.
fn devices_of(root: &Path) -> Result<Option<(PathBuf, PathBuf)>, HostError> {
    let no_root = || HostError::NoRoot { root: root.to_owned() };
    let sys = root.join("sys");
    match fs::metadata(&sys) {
        Ok(metadata) if metadata.is_dir() => (),
        Ok(_) => return Err(no_root()),
        Err(source) if is_gone(&source) => return Err(no_root()),
        Err(source) => return Err(read_error(&sys, source)),
    }
    let real_root = fs::canonicalize(root).map_err(|source| read_error(root, source))?;
    let devices = sys.join("bus/pci/devices");
    match fs::symlink_metadata(&devices) {
        Err(source) if is_gone(&source) => Ok(None),
        _ => Ok(Some((real_root, devices))),
    }
}

/// Reads one entry of the PCI devices; `None` if it is gone by the time it has been read.
fn read_function(root: &Path, devices: &Path, name: &OsStr) -> Result<Option<PciFunction>, HostError> {
    let entry = devices.join(name);
    let address = name
        .to_string_lossy()
        .parse()
        .map_err(|source: PciAddressError| HostError::Name { path: entry.clone(), source })?;
    let function = Folder::open(root, &entry).and_then(|folder| read_folder(&folder, address));
    // The kernel removes this entry before what it leads to. So whatever was missing: with the entry still there it is a fault of
    // the tree (say, links captured without their targets), and without it the function has been unplugged.
    match fs::symlink_metadata(&entry) {
        Err(source) if is_gone(&source) => Ok(None),
        _ => function.map(Some),
    }
}

/// Reads a function from its folder.
fn read_folder(folder: &Folder, address: PciAddress) -> Result<PciFunction, HostError> {
    let driver = folder.link_name("driver")?;
    // A device that is open to VFIO has this entry whatever its driver is called (Linux 6.1; kernel: drivers/vfio/vfio_main.c). It is
    // the only sign where a vendor's own driver registers with VFIO, as NVIDIA's does for vGPU functions. Before 6.1 names have to do.
    let vfio = folder.has("vfio-dev") || driver.as_deref().is_some_and(values::is_vfio_name);
    Ok(PciFunction {
        address,
        vendor: required(folder, "vendor", "a PCI vendor id", values::id)?,
        device: required(folder, "device", "a PCI device id", values::id)?,
        class: required(folder, "class", "a PCI class of 24 bits", values::class)?,
        header_type: header_type(folder),
        driver,
        vfio,
        iommu_group: folder
            .link_name("iommu_group")?
            .map(|name| parse(folder, "iommu_group", &name, "a group number", values::number))
            .transpose()?,
        numa_node: optional(folder, "numa_node", "a NUMA node or -1", values::numa_node)?.flatten(),
        bars: required(folder, "resource", "six or more lines of start, end and flags", values::bars)?,
        reset: folder.has("reset"),
        reset_methods: folder.text("reset_method")?.map(|text| text.split_whitespace().map(str::to_owned).collect()),
        boot_vga: optional(folder, "boot_vga", "0 or 1", values::switch)?,
    })
}

/// The header type. Unlike the attributes, which the kernel answers from memory, config space asks the device itself: that this fails
/// says something about the device, not about the tree, and is no reason to know nothing of all others.
///
/// A device without power would get it for that (kernel: drivers/pci/pci.c, pci_config_pm_runtime_get), and nobody has asked for it. Such
/// a bridge is told by an attribute that only bridges have (kernel: drivers/pci/pci-sysfs.c, pci_bridge_attrs).
fn header_type(folder: &Folder) -> Option<u8> {
    if folder.text("power_state").is_ok_and(|state| state.as_deref() == Some("D3cold")) {
        return folder.has("secondary_bus_number").then_some(1);
    }
    let config = folder.bytes("config", CONFIG_LIMIT).ok().flatten()?;
    values::header_type(&config)
}

/// An attribute that every PCI function has.
fn required<T>(
    folder: &Folder,
    name: &str,
    expected: &'static str,
    value: impl FnOnce(&str) -> Option<T>,
) -> Result<T, HostError> {
    optional(folder, name, expected, value)?.ok_or_else(|| HostError::Missing { path: folder.path_of(name) })
}

/// An attribute that is there or not, by kernel and kind of device.
fn optional<T>(
    folder: &Folder,
    name: &str,
    expected: &'static str,
    value: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, HostError> {
    folder.text(name)?.map(|text| parse(folder, name, &text, expected, value)).transpose()
}

/// A text as a value.
fn parse<T>(
    folder: &Folder,
    name: &str,
    text: &str,
    expected: &'static str,
    value: impl FnOnce(&str) -> Option<T>,
) -> Result<T, HostError> {
    value(text).ok_or_else(|| folder.malformed(name, text, expected))
}
